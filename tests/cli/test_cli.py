"""The commands as typed: what they print, where, and what they end with."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_run import nas

from nas.system.places import shipped_folder

TABLE = shipped_folder("latency_tables") / "pixel-cpu"
SEARCH = ["search", "--space", "mobile", "--target", "pixel-cpu", "--budget", "3000"]


def run(*arguments: str, cwd: Path, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "nas", *arguments], cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}
    )
    assert result.returncode == code, result.stderr
    return result


def refused(*arguments: str, cwd: Path, code: int = 2) -> str:
    """A wrong request: one or two lines on stderr, nothing on stdout, nothing left behind."""
    before = sorted(cwd.rglob("*"))
    result = run(*arguments, cwd=cwd, code=code)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert 1 <= len(result.stderr.splitlines()) <= 2
    assert sorted(cwd.rglob("*")) == before
    return result.stderr


def test_the_main_job(tmp_path: Path) -> None:
    result = run(*SEARCH, cwd=tmp_path)
    for word in (
        "measured",
        "interpolated",
        "±",
        "proxy top-1",
        "efficientnet-b0",
        "untrained",
        "proof     proved: no",
    ):
        assert word in result.stdout
    folder = tmp_path / "runs" / "mobile-pixel-cpu-1"
    for name in ("config.json", "arch.txt", "model.onnx", "model.py"):
        assert (folder / "winner" / name).is_file()
    again = run(*SEARCH, "--no-prove", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["run"].endswith("mobile-pixel-cpu-2")


def test_json_is_one_object_with_the_contract(tmp_path: Path) -> None:
    document = json.loads(run(*SEARCH, "--latency", "75ms", "--seed", "0", "--no-prove", "--json", cwd=tmp_path).stdout)
    assert document.keys() >= {"run", "winner", "front", "evaluations", "seconds", "archs_per_second"}
    assert document["proof"] is None
    assert document["winner"].keys() >= {"decisions", "latency_ms", "accuracy", "macs", "params"}
    assert document["winner"]["latency_ms"] <= 75
    config = Path(tmp_path, document["run"], "winner", "config.json")
    estimate = json.loads(run("estimate", str(config), "--target", "pixel-cpu", "--json", cwd=tmp_path).stdout)
    assert estimate["latency_ms"] == pytest.approx(document["winner"]["latency_ms"], abs=1e-9)
    assert estimate.keys() >= {"target", "latency_ms", "coverage", "latency_error_pct", "macs", "params"}
    assert estimate["coverage"].keys() == {"measured", "derived", "simulated", "interpolated"}
    assert sum(estimate["coverage"].values()) == pytest.approx(1)


def test_resume_by_space_and_target_and_from_another_folder(tmp_path: Path) -> None:
    first = json.loads(run(*SEARCH, "--no-prove", "--json", cwd=tmp_path).stdout)
    named = run("search", "--space", "mobile", "--target", "pixel-cpu", "--resume", "--json", cwd=tmp_path)
    assert json.loads(named.stdout) == first
    (tmp_path / "elsewhere").mkdir()
    by_path = run("search", "--resume", "--out", f"../{first['run']}", "--json", cwd=tmp_path / "elsewhere")
    assert json.loads(by_path.stdout)["winner"] == first["winner"]


@pytest.mark.parametrize(
    "network",
    [
        ("single-path-nas", 79.0, 0.05),
        ("mobilenetv2-1.0", 73.8, 0.12),
        ("mnasnet-a1-1.4", 135.0, 0.12),
        ("mnasnet-a1-0.5", 32.0, 0.12),
        ("mobilenetv2-1.4", 138.0, 0.12),
        ("mobilenetv2-0.35", 19.7, 0.12),
        ("proxylessnas-mobile", 78.0, 0.12),
        ("mnasnet-b1", 79.0, 0.12),
    ],
    ids=lambda network: network[0],
)
def test_published_networks_on_the_pixel(tmp_path: Path, network: tuple[str, float, float]) -> None:
    name, published, tolerance = network
    file = TABLE / "networks" / f"{name}.json"
    found = json.loads(run("estimate", "--arch-def", str(file), "--target", "pixel-cpu", "--json", cwd=tmp_path).stdout)
    assert found["latency_ms"] == pytest.approx(published, rel=tolerance)


def test_table_check_estimates_whole_networks_anew(tmp_path: Path) -> None:
    document = json.loads(run("table", "check", "pixel-cpu", "--json", cwd=tmp_path).stdout)
    assert document["worst_pct"] < 12
    header = json.loads(run("table", "show", "pixel-cpu", "--json", cwd=tmp_path).stdout)["header"]
    stored = {network["name"]: network["table_ms"] for network in header["error"]["whole_networks"]}
    for network in document["whole_networks"]:
        assert network["table_ms"] == pytest.approx(stored[network["name"]], abs=0.006)
    assert "left out" in run("table", "check", "pixel-cpu", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["table", "list"], ["pixel-cpu", "measured"]),
        (["table", "show", "pixel-cpu"], ["Pixel 1", "TFLite", "Apache-2.0"]),
        (["spaces", "list"], ["mobile", "1.0e+11"]),
        (["spaces", "show", "mobile"], ["stage6.depth", "1 2 3 4", "efficientnet-b0"]),
        (["estimate", "--arch-def", str(TABLE / "networks/mnasnet-a1-1.0.json"), "--target", "pixel-cpu"], ["ms", "%"]),
    ],
)
def test_what_people_read(tmp_path: Path, command: list[str], words: list[str]) -> None:
    text = run(*command, cwd=tmp_path).stdout
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["search"], "--space is required"),
        (["search", "--space", "mobile"], "--target is required"),
        (["search", "--space", "mobil", "--target", "pixel-cpu"], "No search space named 'mobil'"),
        (["search", "--space", "no/such.yaml", "--target", "pixel-cpu"], "no such search-space file"),
        (["search", "--space", "mobile", "--target", "pixel"], "No target named 'pixel'"),
        (["search", "--space", "mobile", "--target", "no/table"], "a latency table is a folder"),
        ([*SEARCH, "--controller", "annealing"], "No controller named"),
        ([*SEARCH, "--accuracy", "oracle"], "No accuracy named"),
        ([*SEARCH, "--objective", "best"], "No objective named"),
        ([*SEARCH, "--latency", "75"], "with its unit"),
        ([*SEARCH, "--latency", "-75ms"], "positive"),
        ([*SEARCH, "--latency", "nanms"], "positive"),
        ([*SEARCH, "--latency", "infms"], "positive"),
        ([*SEARCH, "--latency", "0ms"], "positive"),
        ([*SEARCH, "--at-most", "watts=3"], "one of macs=, params="),
        ([*SEARCH, "--at-most", "macs=-3M"], "one of macs=, params="),
        ([*SEARCH, "--budget", "soon"], "such as 200000"),
        ([*SEARCH, "--budget", "0"], "such as 200000"),
        ([*SEARCH, "--budget", "1e30"], "evaluations"),
        ([*SEARCH, "--seed", "x"], "--seed"),
        ([*SEARCH, "--seed", "-1"], "seed"),
        ([*SEARCH, "--resume"], "no run to resume"),
        (["search", "--resume"], "--out"),
        (["search", "--resume", "--out", "nothing"], "no run to resume"),
        ([*SEARCH, "--out", "/proc/nas"], "/proc/nas"),
        ([*SEARCH, "--unknown"], "--unknown"),
        (["sarch"], "sarch"),
        (["estimate", "--target", "pixel-cpu"], "just one"),
        (["estimate", "no.json", "--target", "pixel-cpu"], "no.json"),
        (["estimate", "--arch-def", "no.json", "--target", "pixel-cpu"], "no.json"),
        (["table", "show", "pixel"], "No target named"),
        (["spaces", "show", "mobil"], "No search space named"),
        (["export", "no-run", "--out", "x"], "no-run"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else None,
)
def test_wrong_requests(tmp_path: Path, arguments: list[str], part: str) -> None:
    assert part in refused(*arguments, cwd=tmp_path)


def test_unattainable_bounds_end_with_1_and_the_range(tmp_path: Path) -> None:
    message = refused(*SEARCH, "--latency", "5ms", cwd=tmp_path, code=1)
    assert "this space attains" in message
    assert "ms" in message


def test_an_unwritable_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(*SEARCH, "--out", "file/run", cwd=tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    assert "new or empty folder" in refused(*SEARCH, "--out", "full", cwd=tmp_path)


def test_a_layer_outside_the_models_range_is_told_with_the_range(tmp_path: Path) -> None:
    file = tmp_path / "net.json"
    document = json.loads((TABLE / "networks" / "mobilenetv2-1.0.json").read_text())
    file.write_text(json.dumps(document | {"resolution": 192}))
    found = json.loads(run("estimate", str(file), "--target", "pixel-cpu", "--json", cwd=tmp_path).stdout)
    assert found["latency_ms"] is None
    assert "224" in found["why"]


def test_export_writes_the_formats_asked_for(tmp_path: Path) -> None:
    run(*SEARCH, "--out", "run", cwd=tmp_path)
    run("export", "run", "--format", "torch,timm", "--out", "model", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["arch.txt", "model.py"]
    run("export", "model/../run/winner/config.json", "--format", "config", "--out", "copy", cwd=tmp_path)
    original = json.loads((tmp_path / "run/winner/config.json").read_text())
    assert json.loads((tmp_path / "copy/config.json").read_text()) == original
    assert "format" in refused("export", "run", "--format", "tflite", "--out", "x", cwd=tmp_path)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in run("search", "--space", "mobil", "--target", "x", cwd=tmp_path, code=2, NAS_DEBUG="1").stderr


def test_help_is_quick(tmp_path: Path) -> None:
    def seconds(*command: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=tmp_path)
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds("-m", "nas", "--help") <= 3 * seconds("-c", "import click")


def test_a_space_without_a_predictor_is_ranked_by_zero_cost_proxies_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.accuracy.zero_cost.SAMPLE", 8)  # of 32, which take half a minute
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = ["search", "--space", "single-path", "--target", "pixel-cpu", "--latency", "79ms", "--budget", "2"]
    result = nas(*command, cwd=tmp_path)
    assert "zero-cost score" in result.stdout
    assert "proxy top-1" not in result.stdout
    coverage = json.loads((tmp_path / "runs/single-path-pixel-cpu-1/result.json").read_text())["winner"]["coverage"]
    assert coverage["interpolated"] == coverage["simulated"] == 0  # every searchable block is measured
    assert coverage["measured"] > 0.5


def test_a_mistake_of_ours_is_not_taken_for_a_wrong_request(tmp_path: Path) -> None:
    script = (
        "import sys, nas.cli, nas.system.places\n"
        "def broken(): raise KeyError('x')\n"
        "nas.system.places.space_names = broken\n"
        "sys.argv = ['nas', 'spaces', 'list']\n"
        "nas.cli.main()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 70
    assert "KeyError('x')" in result.stderr
    assert "<string>:2" in result.stderr
    assert len(result.stderr.splitlines()) == 1

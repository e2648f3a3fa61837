"""Tables of one's own device as typed: this very machine, really timed, on a space small enough for a test."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SPACE = """
format: nas-space/1
name: tiny
source: this test
input: {resolution: 32}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: 16, kernel: 3, stride: 2}
  - {name: one, block: mbconv, width: 24, stride: 2, kernel: {choice: [3, 5]}, expansion: {choice: [2, 4]}}
  - {name: two, block: mbconv, width: 48, stride: 2, kernel: {choice: [3, 5]}, expansion: {choice: [2, 4]}}
head: {width: 64}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "XDG_DATA_HOME": str(home / "data"), "XDG_CONFIG_HOME": str(home / "config")}


def nas(home: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "nas", *words], cwd=home, env=environment(home), capture_output=True, text=True
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def samples(folder: Path) -> int:
    return len((folder / "samples.jsonl").read_bytes().splitlines())


def test_from_nothing_to_a_measured_winner(home: Path) -> None:
    profiled = nas(home, "profile", "--space", "tiny.yaml", "--target", "cpu", "--budget", "4s", "--json")
    document = json.loads(profiled.stdout)
    table = Path(document["table"])
    assert table == home / "data" / "nas" / "latency_tables" / "cpu-tiny"
    assert document["header"]["error"]["networks"]["mape_pct"] < 50  # of a few sessions on a busy machine
    before = (table / "table.yaml").read_bytes(), samples(table)

    nas(home, "profile", "--space", "tiny.yaml", "--target", "cpu", "--budget", "4s")
    assert ((table / "table.yaml").read_bytes(), samples(table)) == before  # a second run measures nothing

    searched = nas(
        home, "search", "--space", "tiny.yaml", "--target", "cpu", "--latency", "1s", "--budget", "8", "--json"
    )
    found = json.loads(searched.stdout)
    assert found["winner"]["latency_ms"] == pytest.approx(found["measured"]["latency_ms"])
    assert found["measured"]["measured_ms"] > 0
    assert found["winner"]["coverage"]["measured"] == pytest.approx(1)

    verified = nas(home, "verify", "runs/tiny-cpu-1", "--tolerance", "100%", "--json")
    figures = json.loads(verified.stdout)
    names = {"target", "latency_ms", "coverage", "latency_error_pct", "macs", "params"}
    assert figures.keys() >= names | {"measured_ms", "measured_p10_ms", "measured_p90_ms", "error_pct"}
    assert figures["measured_p10_ms"] <= figures["measured_p90_ms"]
    assert figures["error_pct"] == pytest.approx(100 * (figures["measured_ms"] / figures["latency_ms"] - 1))
    nas(home, "verify", "runs/tiny-cpu-1", "--tolerance", "0.00001", code=1)

    moved = nas(home, "table", "diff", "cpu-tiny", str(table), "--json")
    assert json.loads(moved.stdout)["rows"]["both"] == document["rows"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_half_way_it_goes_on(home: Path, number: signal.Signals) -> None:
    words = ["profile", "--space", "tiny.yaml", "--target", "cpu", "--budget", "5s", "--out", "table"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nas", *words], cwd=home, env=environment(home), stderr=subprocess.PIPE, text=True
    )
    file, deadline = home / "table" / "samples.jsonl", time.monotonic() + 60
    while not (file.is_file() and samples(file.parent) > 100):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    message = process.communicate(timeout=30)[1]
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    assert ("samples were taken. They are kept" in message) == (number == signal.SIGINT)
    before = file.read_bytes()
    nas(home, *words)
    assert file.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert (home / "table" / "table.yaml").is_file()


def test_networks_of_another_size_and_number_of_classes_have_a_table_of_their_own(home: Path) -> None:
    words = ["profile", "--space", "tiny.yaml", "--target", "fake", "--resolution", "16", "--classes", "5"]
    found = json.loads(nas(home, *words, "--json").stdout)
    assert Path(found["table"]).name == "fake-tiny-16px-keep-5c"
    assert found["header"]["resolution"] == 16
    rows = (Path(found["table"]) / "table.csv").read_text().splitlines()
    (head,) = (row.split(",") for row in rows if row.startswith("head,"))
    assert head[rows[0].split(",").index("out_channels")] == "5"


def test_what_can_be_measured_is_listed(home: Path) -> None:
    listed = json.loads(nas(home, "devices", "--json").stdout)
    by_target = {device["target"]: device for device in listed}
    assert by_target["cpu"]["usable"]
    assert not by_target["cuda"]["usable"] or "CUDA" in by_target["cuda"]["note"]
    assert "nas devices --install browser" in by_target["browser"]["note"]
    (home / "config" / "nas").mkdir(parents=True)
    (home / "config" / "nas" / "devices.yaml").write_text("desk: cpu:2t\nnowhere: ssh:no-such-host.invalid\n")
    named = {d["target"]: d for d in json.loads(nas(home, "devices", "--json").stdout)}
    assert named["desk"]["usable"]
    assert not named["nowhere"]["usable"]
    assert "no-such-host" in named["nowhere"]["note"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["profile", "--space", "mobile", "--target", "toaster"], "toaster"),
        (["profile", "--space", "mobile", "--target", "pixel-cpu"], "is no device"),
        (["profile", "--space", "nowhere", "--target", "cpu"], "No search space"),
        (["profile", "--space", "mobile", "--target", "cpu", "--precision", "0%"], "percent"),
        (["profile", "--space", "mobile", "--target", "cpu", "--resolution", "0"], "1 to 4,096"),
        (["profile", "--space", "mobile", "--target", "cpu", "--classes", "65537"], "1 to 65,536"),
        (["profile", "--space", "mobile", "--target", "cpu", "--budget", "many"], "budget"),
        (["profile", "--space", "mobile", "--target", "cpu", "--budget", "500"], "is a time"),
        (["profile", "--space", "mobile", "--target", "ssh:-oProxyCommand=x"], "ssh device is written"),
        (["profile", "--space", "mobile", "--target", "cuda"], "not CUDAExecutionProvider"),
        (["estimate", "tiny.yaml", "--target", "cpu"], "JSON"),
        (["verify", "nothing.json", "--target", "cpu"], "no such file"),
        (["devices", "--install", "toaster"], "takes browser"),
        (["search", "--space", "mobile", "--target", "ssh:"], "ssh device is written"),
    ],
)
def test_wrong_requests(home: Path, words: list[str], message: str) -> None:
    result = nas(home, *words, code=2)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert not (home / "runs").exists()
    assert not list((home / "data").rglob("*"))


def test_a_profile_names_the_search_that_uses_it(home: Path) -> None:
    told = nas(home, "profile", "--space", "tiny.yaml", "--target", "fake").stdout
    assert re.search(r"^use it    nas search --space tiny\.yaml --target fake --latency [0-9.]+ms$", told, re.MULTILINE)
    assert " ·  · " not in told  # what a device does not tell leaves no gap


def test_folders_with_a_config_are_estimated_and_verified_as_runs_are(home: Path) -> None:
    nas(home, "profile", "--space", "tiny.yaml", "--target", "fake")
    search = ["search", "--space", "tiny.yaml", "--target", "fake", "--latency", "9ms", "--accuracy", "zero-cost:macs"]
    nas(home, *search, "--budget", "4", "--out", "run")
    nas(home, "export", "run", "--format", "config", "--out", "model")
    by_run, by_folder = (
        json.loads(nas(home, "estimate", place, "--target", "fake", "--json").stdout) for place in ("run", "model")
    )
    assert by_folder == by_run
    assert "measured" in nas(home, "verify", "model", "--target", "fake").stdout
    assert "--target is required" in nas(home, "verify", "model", code=2).stderr

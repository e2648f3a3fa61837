"""What version 0.1 wrote is read as before and comes out the same: see tests/fixtures/0.1/README.md.

Only the command line and the names of `nas` itself are used.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from witnesses import (
    KEPT,
    SEARCHES,
    SPACES,
    answer,
    command,
    drawn,
    interface,
    machine,
    network_numbers,
    plain_answer,
    published_numbers,
    run_content,
    searched,
    space_numbers,
    weights_hash,
)

import nas

WITNESSES: dict[str, Any] = json.loads((KEPT / "witnesses.json").read_text())
CONFIGS = sorted(file.stem for file in (KEPT / "configs").iterdir())
LEARNING = ("killed-fbnet", "killed-reinforce", "killed-single-path", "killed-supernet")
MATRICES = ("surrogate",)
"""Searches whose last bits depend on the machine."""


def plain(content: object) -> Any:
    """As JSON has it: lists for tuples."""
    return json.loads(json.dumps(content))


def known(kept: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether a command's answer has all that it had; there may be more of it."""
    return {name: found.get(name) for name in kept} == kept


def with_more(kept: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What a run comes to now, without entries of its result and its proof, and block strings, that there were not."""
    result = {name: value for name, value in found["result"].items() if name in kept["result"]}
    for part in ("proof", "policy"):
        if kept["result"][part]:
            result[part] = {name: result[part][name] for name in kept["result"][part]}
    files = dict(found["files"])
    if "winner/arch.txt" in files.keys() - kept["files"].keys():  # once groups had no block strings
        del files["winner/arch.txt"]
        result["written"] = [name for name in result["written"] if name != "winner/arch.txt"]
        result["notes"] = [*result["notes"], *(note for note in kept["result"]["notes"] if "no groups" in note)]
    return found | {"result": result, "files": files}


def same_machine() -> bool:
    """Whether convolutions and matrix products come out here to the last bit as they did when this was written."""
    return bool(WITNESSES["of"]["machine"] == machine())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of all that is kept, to work in."""
    copy = tmp_path / "kept"
    shutil.copytree(KEPT, copy, ignore=shutil.ignore_patterns("*.py", "witnesses.json"))
    return copy


def test_what_may_be_typed_and_imported(tmp_path: Path) -> None:
    """There may be more of it; none of this is missing, or ends in another way."""
    found, kept = interface(tmp_path), WITNESSES["interface"]
    assert found["codes"] == kept["codes"]
    for name, options in kept["options"].items():
        assert set(options) <= set(found["options"][name]), name
    for name, parameters in kept["names"].items():
        assert name in found["names"]
        assert (
            parameters is None or found["names"][name] is None or found["names"][name][: len(parameters)] == parameters
        )


@pytest.mark.parametrize("name", SPACES)
def test_spaces(name: str) -> None:
    assert plain(space_numbers(name)) == WITNESSES["spaces"][name]


@pytest.mark.parametrize("name", SEARCHES)
def test_searches(name: str, tmp_path: Path) -> None:
    kept = WITNESSES["searches"][name]
    found = with_more(kept, plain(searched([*SEARCHES[name], "--no-prove"], tmp_path)))
    if name in MATRICES and not same_machine():
        assert found["result"].keys() == kept["result"].keys()
        assert found["result"]["winner"]["accuracy"] == pytest.approx(kept["result"]["winner"]["accuracy"], abs=1.0)
    else:
        assert found == kept


def test_no_network_is_left_out() -> None:
    assert sorted(WITNESSES["networks"]) == CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_networks(name: str, tmp_path: Path) -> None:
    kept = dict(WITNESSES["networks"][name])
    found = plain(network_numbers(KEPT / "configs" / f"{name}.json", tmp_path))
    expected = pytest.approx(kept.pop("answer"), rel=1e-5, abs=1e-6)
    assert found.pop("answer") == expected
    if kept["estimate"] == 2:  # once a table that does not answer was a refusal
        assert kept.pop("estimate") == 2
        assert found.pop("estimate")["latency_ms"] is None
    elif found["estimate"] != kept["estimate"]:  # there may be more of it
        assert known(kept.pop("estimate"), found.pop("estimate"))
    if kept["arch.txt"] != found["arch.txt"]:  # once groups had no block strings
        assert (kept.pop("arch.txt"), len(found.pop("arch.txt"))) == (2, 64)
        again = nas.read_archdef(tmp_path / "timm" / "arch.txt")
        assert again == nas.read_config(KEPT / "configs" / f"{name}.json").architecture
    assert found == kept
    out = tmp_path / "out"
    assert plain_answer(out / "model.py", out / "model.onnx") == pytest.approx(
        WITNESSES["networks"][name]["answer"], rel=1e-4, abs=1e-4
    )
    assert nas.read_config(out / "config.json") == nas.read_config(KEPT / "configs" / f"{name}.json")


@pytest.mark.parametrize("file", sorted((KEPT / "archdefs").iterdir()), ids=lambda file: file.stem)
def test_archdefs(file: Path) -> None:
    assert nas.read_archdef(file) == nas.read_config(KEPT / "configs" / f"archdef-{file.stem}.json").architecture


def test_published_networks(tmp_path: Path) -> None:
    found, kept = plain(published_numbers(tmp_path)), WITNESSES["published"]
    assert found.keys() == kept.keys()
    assert all(known(kept[name], found[name]) for name in kept)


def test_the_table(folder: Path) -> None:
    kept = WITNESSES["table"]
    table, space = nas.load_table(folder / "table"), nas.load_space(folder / "tiny.yaml")
    assert table.fingerprint == kept["fingerprint"]
    assert nas.latency(space, table)(drawn(space, 50)).tolist() == kept["latencies"]
    assert command("table", "show", "table", cwd=folder).stdout == kept["show"]
    assert json.loads(command("table", "show", "table", "--json", cwd=folder).stdout) == kept["show --json"]
    checked = command("table", "check", "table", "--space", "tiny.yaml", "--json", cwd=folder).stdout
    found, before = json.loads(checked), json.loads(kept["check"])
    new = {"leave_one_out": found.pop("leave_one_out"), "thirds": found["networks_error"].pop("thirds")}
    assert found == before
    assert new["leave_one_out"].keys() == {"mean_pct", "p90_pct"}
    assert sum(third["count"] for third in new["thirds"]) == found["networks_error"]["count"]


def test_a_killed_profile(folder: Path) -> None:
    words = ["profile", "--space", "tiny.yaml", "--target", "fake", "--budget", "2s", "--precision", "50%"]
    before = (folder / "killed-profile" / "samples.jsonl").read_bytes()
    command(*words, "--out", "killed-profile", cwd=folder)
    after = (folder / "killed-profile" / "samples.jsonl").read_bytes()
    assert after.startswith(before[: before.rindex(b"\n") + 1])
    found, kept = (nas.load_table(folder / name) for name in ("killed-profile", "table"))
    space = nas.load_space(folder / "tiny.yaml")
    latencies = [nas.latency(space, table)(drawn(space, 50)) for table in (found, kept)]
    np.testing.assert_allclose(*latencies, rtol=0.05)  # noise of the device


def test_a_finished_run(folder: Path) -> None:
    kept = WITNESSES["finished"]
    assert command("search", "--resume", "--out", "finished", cwd=folder).stdout == kept["resume"]
    assert plain(run_content(folder / "finished")) == plain(run_content(KEPT / "finished"))
    assert (folder / "finished" / "report.html").is_file()
    assert json.loads(command("verify", "finished", "--json", cwd=folder).stdout) == kept["verify"]
    report = command("report", "finished", "--out", "again.html", cwd=folder)
    assert report.stdout
    assert "</html>" in (folder / "again.html").read_text()
    command("export", "finished", "--format", "config", "--out", "exported", cwd=folder)
    kept_config = KEPT / "finished" / "winner" / "config.json"
    assert (folder / "exported" / "config.json").read_bytes() == kept_config.read_bytes()


def test_a_killed_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone on with, it ends as it would have, and nothing is evaluated again."""
    monkeypatch.chdir(folder)
    done: list[int] = []
    nas.search(out="killed", resume=True, progress=lambda asked, planned, note: done.append(asked))
    assert with_more(WITNESSES["killed"], plain(run_content(folder / "killed"))) == WITNESSES["killed"]
    assert done[0] > 1_000


def test_a_killed_run_whose_last_block_is_torn(folder: Path) -> None:
    ledger = folder / "killed" / "ledger.bin"
    ledger.write_bytes(ledger.read_bytes()[:-7])
    command("search", "--resume", "--out", "killed", cwd=folder)
    assert with_more(WITNESSES["killed"], plain(run_content(folder / "killed"))) == WITNESSES["killed"]


class Steps:
    """A teller that notes how far training was each time."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def progress(self, done: int, total: int, note: str) -> None:
        if note == "img":  # before, pictures are decoded
            self.shares.append(done / total)

    def say(self, line: str) -> None:
        pass


@pytest.mark.parametrize("name", LEARNING)
def test_a_killed_run_with_a_supernet(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checkpoint, of two thirds of the steps, is gone on with; the same result, where convolutions come out the
    same."""
    monkeypatch.chdir(folder)
    steps = Steps()
    nas.search(out=name, resume=True, teller=steps)
    assert steps.shares[0] > 0.6
    kept = WITNESSES[name]
    found = with_more(kept, plain(run_content(folder / name)))
    if same_machine():
        assert found == kept
    assert found["result"].keys() == kept["result"].keys()
    assert found["result"]["winner"]["latency_ms"] <= 0.035
    assert found["result"]["winner"]["accuracy"] == pytest.approx(kept["result"]["winner"]["accuracy"], abs=10)


def test_a_trained_network(folder: Path) -> None:
    kept = WITNESSES["trained"]
    said = re.sub(r" · top-5 [0-9.]+ %", "", kept["resume"])  # which is told of more than ten classes, since
    assert command("train", "--resume", "--out", "trained", cwd=folder).stdout == said
    command("export", "trained", "--format", "onnx,hf", "--out", "exported", cwd=folder)
    assert answer(folder / "exported" / "model.onnx") == pytest.approx(kept["answer"], rel=1e-6, abs=1e-6)
    assert weights_hash(folder / "exported" / "model.safetensors") == kept["weights"]
    assert (folder / "exported" / "config.json").read_bytes() == (KEPT / "trained" / "config.json").read_bytes()


def test_a_killed_training(folder: Path) -> None:
    kept, metrics = WITNESSES["trained"]["result"], folder / "killed-training" / "metrics.csv"
    before = metrics.read_text().splitlines()
    command("train", "--resume", "--out", "killed-training", cwd=folder)
    assert metrics.read_text().splitlines()[:3] == before[:3]  # with its seconds: two epochs are not trained again
    found = json.loads((folder / "killed-training" / "result.json").read_text())
    assert found.keys() == kept.keys() | {"peak_memory_bytes"}  # which is told since
    if same_machine():
        assert weights_hash(folder / "killed-training" / "model.safetensors") == WITNESSES["trained"]["weights"]


def test_inherited_weights(folder: Path) -> None:
    """A trained folder is a start for the next training."""
    command("train", "trained", "--data", "digits", "--epochs", "1", "--out", "tuned", cwd=folder)
    assert json.loads((folder / "tuned" / "result.json").read_text())

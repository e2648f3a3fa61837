"""`nas search --data`: policies and inherited accuracy as typed, what they leave, and requests that are refused."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nas.data import load_data
from nas.data.batches import evaluation_batches

SEARCH = ["search", "--space", "single-path", "--target", "pixel-cpu", "--latency", "60ms", "--data", "digits"]
PLAIN = ["--finalists", "0"]
"""The race has tests of its own."""
QUICK = [*SEARCH, *PLAIN, "--proxy-resolution", "32"]
ENTRY = "import sys, nas.training.stepper as s; s.CHECKPOINT_SECONDS = 0.0; from nas.cli import main; main()"
"""A checkpoint after every step, so that a test need not wait for one."""


pytestmark = pytest.mark.usefixtures("own_folders")


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ENTRY, *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str, cwd: Path, code: int = 0) -> tuple[str, str]:
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate()
    assert process.returncode == code, err
    return out, err


def check_winner(document: dict[str, Any], folder: Path, side: int) -> None:
    """The weights beside model.py give the accuracy that was reported, on the digits that were held out."""
    winner = folder / "winner"
    config = json.loads((winner / "config.json").read_text())
    assert config["weights"] == "supernet"
    network = runpy.run_path(str(winner / "model.py"))["model"]()
    missing, unexpected = network.load_state_dict(load_file(winner / "model.safetensors"), strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    digits = load_data("digits", side)
    network.eval()
    right = 0
    with torch.no_grad():
        for x, y in evaluation_batches(digits, digits.validation, 128):
            right += int((network(x).argmax(1) == y).sum())
    percent = 100 * right / len(digits.validation)
    assert document["winner"]["accuracy"] == pytest.approx(percent, abs=0.4)  # a picture of 287 is 0.35


@pytest.mark.parametrize(
    "controller",
    [
        "reinforce",
        pytest.param("single-path", marks=pytest.mark.slow),
        pytest.param("proxyless", marks=pytest.mark.slow),
        pytest.param("fbnet", marks=pytest.mark.slow),
    ],
)
def test_a_policy_ends_within_the_bound_with_the_weights_it_has_trained(tmp_path: Path, controller: str) -> None:
    out, _ = run(*QUICK, "--controller", controller, "--budget", "8", "--json", "--out", "run", cwd=tmp_path)
    document = json.loads(out)
    policy, latency = document["policy"], document["winner"]["latency_ms"]
    assert policy.keys() >= {"argmax_ms", "expected_ms", "changed", "floored", "entropy", "argmax", "steps"}
    assert 0.95 * 60 <= latency <= 60
    assert policy["floored"]
    assert policy["steps"] == 8
    assert "8 training steps are fewer than the 20 decisions to learn" in document["doubts"][0]
    low, high = document["attainable"]
    assert low <= policy["argmax_ms"] <= high
    assert low <= policy["expected_ms"] <= high
    argmax, chosen = policy["argmax"], document["winner"]["decisions"]
    assert policy["changed"] == sum(argmax[name] != chosen[name] for name in chosen)
    rows = (tmp_path / "run" / "policy.csv").read_text().splitlines()
    assert rows[0] == "step,loss,expected_ms,multiplier,entropy,skips"
    assert len(rows) == 1 + 8
    assert document["evaluations"] == 1
    check_winner(document, tmp_path / "run", 32)


def test_evolution_with_inherited_weights(tmp_path: Path) -> None:
    command = [*QUICK, "--accuracy", "supernet:6", "--budget", "12", "--json", "--out", "run"]
    document = json.loads(run(*command, cwd=tmp_path)[0])
    assert document["winner"]["latency_ms"] <= 60
    assert document["evaluations"] == 12
    assert document["accuracy"]["label"] == "supernet top-1"
    assert "6 training steps are fewer than the 20 decisions to learn" in document["doubts"][0]
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(f"Doubt: {doubt}." in page for doubt in document["doubts"])
    assert "policy" not in document or document["policy"] is None
    check_winner(document, tmp_path / "run", 32)


@pytest.mark.slow
def test_mobile_with_a_policy_and_a_bound_on_macs(tmp_path: Path) -> None:
    command = ["search", "--space", "mobile", "--target", "pixel-cpu", "--latency", "75ms", "--at-most", "macs=300M"]
    more = ["--data", "digits", "--proxy-resolution", "32", "--controller", "proxyless", "--budget", "10", "--json"]
    document = json.loads(run(*command, *more, "--out", "run", cwd=tmp_path)[0])
    assert document["winner"]["latency_ms"] <= 75
    assert document["winner"]["macs"] <= 300e6
    check_winner(document, tmp_path / "run", 32)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


def settled(folder: Path) -> dict[str, Any]:
    result = json.loads((folder / "result.json").read_text())
    return {name: result[name] for name in ("winner", "policy", "front", "references")}


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--controller", "reinforce", "--budget", "30"], ["--accuracy", "supernet:30"]])
def test_killed_or_interrupted_it_ends_as_if_nothing_had_happened(tmp_path: Path, how: list[str]) -> None:
    command = [*QUICK, *how] + (["--budget", "8"] if "--budget" not in how else [])
    run(*command, "--out", "whole", cwd=tmp_path)
    for number in (signal.SIGKILL, signal.SIGINT):
        name = f"cut-{number}"
        process = start(*command, "--out", name, cwd=tmp_path)
        wait_for(tmp_path / name / "supernet.safetensors", process)
        time.sleep(0.3)
        os.kill(process.pid, number)
        _, error = process.communicate()
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert f"nas search --resume --out {name}" in error
            assert "Traceback" not in error
        else:
            assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / name / "result.json").exists()
        run("search", "--resume", "--out", name, cwd=tmp_path)
        assert settled(tmp_path / name) == settled(tmp_path / "whole")
        if "reinforce" in how:
            assert (tmp_path / name / "policy.csv").read_bytes() == (tmp_path / "whole" / "policy.csv").read_bytes()


def test_interrupted_after_the_first_checkpoint_it_says_how_to_go_on(tmp_path: Path) -> None:
    process = start(*QUICK, "--controller", "reinforce", "--budget", "500", "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "supernet.safetensors", process)
    os.kill(process.pid, signal.SIGINT)
    out, error = process.communicate()
    assert process.returncode == 130
    assert out == ""
    last = error.splitlines()[-1]
    assert "of 500 steps are kept" in last
    assert "nas search --resume --out run" in last


@pytest.mark.parametrize(
    ("arguments", "part", "code"),
    [
        ([*SEARCH[:-2], "--controller", "reinforce"], "add --data", 2),
        ([*SEARCH[:-2], "--accuracy", "supernet"], "add --data", 2),
        ([*SEARCH[:-2], "--proxy-resolution", "32"], "there is no --data", 2),
        ([*SEARCH[:-2], "--skip-broken"], "there is no --data", 2),
        ([*SEARCH, "--proxy-resolution", "0"], "1 to 4,096", 2),
        ([*SEARCH, "--controller", "reinforce", "--accuracy", "zero-cost"], "leave --accuracy out", 2),
        ([*SEARCH, "--controller", "reinforce", "--objective", "front"], "front", 2),
        ([*SEARCH, "--controller", "reinforce", "--objective", "mnasnet-soft"], "objective `bound`", 2),
        ([*SEARCH, "--controller", "reinforce", "--prove"], "no proof", 2),
        ([*QUICK[:1], "--space", "mobile", *QUICK[3:-1], "8", "--controller", "fbnet"], "smaller than the strides", 2),
        ([*SEARCH[:-1], "digit", "--proxy-resolution", "32"], "no data named", 2),
        ([*SEARCH[:-1], "imagefolder:nowhere", "--proxy-resolution", "32"], "nowhere", 2),
        ([*QUICK, "--accuracy", "supernet:nonsense"], "takes a number of steps", 2),
        ([*SEARCH, "--resolution", "32", "--controller", "reinforce"], "Choose --strides keep (", 2),
        ([*SEARCH, "--resolution", "32", "--strides", "drop", "--controller", "reinforce"], "224", 2),
        ([*SEARCH, "--strides", "drop", "--controller", "reinforce"], "add --resolution", 2),
        ([*SEARCH, "--resolution", "96", "--strides", "some"], "'keep', 'drop'", 2),
        ([*QUICK[:5], "--latency", "5ms", *QUICK[7:], "--controller", "reinforce"], "this space attains", 1),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, list) else None,
)
def test_wrong_requests(tmp_path: Path, arguments: list[str], part: str, code: int) -> None:
    """In one process with the next, as each would take seconds to import torch."""
    out, error = inside(tmp_path, arguments, code)
    assert out == ""
    assert part in error
    assert "Traceback" not in error
    remarks = ("nas: Validation: 20%", "nas: strides of")
    refusal = [line for line in error.splitlines() if not line.startswith(remarks)]
    assert 1 <= len(refusal) <= 2
    assert list(tmp_path.rglob("*")) == []


SIZES = """
format: nas-space/1
name: sizes
source: test
num_classes: 10
input: {resolution: {choice: [16, 32]}}
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: {choice: [3, 5]}}
head: {width: 16}
"""


@pytest.mark.parametrize("controller", ["fbnet", "proxyless"])
def test_several_resolutions_are_refused_before_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controller: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "tables"))
    space = tmp_path / "sizes.yaml"
    space.write_text(SIZES)
    (tmp_path / "here").mkdir()
    command = ["search", "--space", str(space), "--target", "fake", "--latency", "1ms", "--data", "digits"]
    _, error = inside(tmp_path / "here", [*command, "--controller", controller], 2)
    assert error.splitlines()[-1].startswith("nas: sizes has several resolutions")
    assert list((tmp_path / "here").iterdir()) == []


def inside(folder: Path, arguments: list[str], code: int) -> tuple[str, str]:
    """The command, run in this process; returns what it prints."""
    from contextlib import chdir, redirect_stderr, redirect_stdout
    from io import StringIO

    from nas.cli import main

    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, chdir(folder), redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["nas", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == code, err.getvalue()
    return out.getvalue(), err.getvalue()


def test_a_wrong_request_as_typed(tmp_path: Path) -> None:
    out, error = run(*SEARCH[:-2], "--controller", "reinforce", cwd=tmp_path, code=2)
    assert out == ""
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []

"""`nas search` by several processes: as typed with torchrun, stopped and gone on with, and when one of them fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Ended, together
from test_search_with_data import inside

from nas.data import load_data
from nas.errors import NasError
from nas.space.load import load_space
from nas.supernet.shared_weights import SharedSettings, SharedWeights
from nas.system.teller import Silent
from nas.training.processes import Processes

SPACE = """
format: nas-space/1
name: small
source: test
num_classes: 10
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 12, depth: {choice: [1, 2]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 2]}}
head: {width: 16}
references:
  plain: {body: {depth: 2, kernel: 5, expansion: 2}}
"""
SEARCH = ["search", "--space", "small.yaml", "--target", "fake", "--data", "digits", "--finalists", "0"]
SUPERNET = [*SEARCH, "--accuracy", "supernet:6", "--budget", "8"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

TYPED = "import sys\nfrom nas.cli import main\nsys.argv = ['nas', *sys.argv[1:]]\n{first}\nmain()\n"
OFTEN = "import nas.training.stepper as s; s.CHECKPOINT_SECONDS = -1.0"
FAILS = """
import os, nas.supernet.training as t
from nas.errors import OutOfMemory
real = t.WeightTraining.step
def step(self, number, backward):
    if number == 3 and os.environ["RANK"] == "1":
        raise OutOfMemory("memory is short here")
    return real(self, number, backward)
t.WeightTraining.step = step
"""


pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*arguments: str, first: str = "") -> subprocess.Popen[str]:
    program = Path("typed.py")
    program.write_text(TYPED.format(first=first))
    return subprocess.Popen(
        [*TORCHRUN, str(program), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def typed(*arguments: str, first: str = "") -> list[Ended]:
    return together(TYPED.format(first=first), *arguments, count=2)


def test_torchrun_as_typed(here: Path) -> None:
    done = subprocess.run([*TORCHRUN, "-m", "nas", *SUPERNET, "--json", "--out", "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["evaluations"] == 8
    assert document["accuracy"]["label"] == "supernet top-1"
    assert done.stderr.count("Validation: 20%") == 1  # the first one tells, and only it
    written = {path.name for path in (here / "run").iterdir()}
    assert {"request.json", "setup.json", "supernet.safetensors", "ledger.bin", "result.json", "report.html"} <= written


@pytest.mark.slow
def test_two_processes_plan_a_time_together(here: Path) -> None:
    ended = typed(*SEARCH, "--controller", "reinforce", "--budget", "2s", "--json", "--out", "run")
    assert [process.code for process in ended] == [0, 0], ended
    assert ended[1].stdout == ended[1].stderr == ""
    planned = json.loads((here / "run/setup.json").read_text())["planned"]
    assert json.loads(ended[0].stdout)["policy"]["steps"] == planned >= 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--controller", "single-path", "--budget", "150"], ["--accuracy", "supernet:150"]])
def test_stopped_it_goes_on_with_one_process_or_two(here: Path, how: list[str]) -> None:
    command = [*SEARCH, *how] + (["--budget", "8"] if "--budget" not in how else [])
    started = start(*command, "--out", "run", first=OFTEN)
    until = time.monotonic() + 240
    while not Path("run/supernet.safetensors").exists():
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(started.pid, signal.SIGINT)
    out, error = started.communicate()
    assert started.returncode != 0
    assert out == ""
    told = [line for line in error.splitlines() if line.startswith("nas: Interrupted: ")]
    assert len(told) == 1, error
    assert "steps are kept. Go on: nas search --resume --out run" in told[0]
    assert not Path("run/result.json").exists()
    ended = together(TYPED.format(first=""), "search", "--resume", "--out", "run", "--json", count=2)
    assert [process.code for process in ended] == [0, 0], ended
    winner = json.loads(ended[0].stdout)["winner"]
    Path("run/result.json").unlink()  # as if it had been cut off at the very end
    out, _ = inside(here, ["search", "--resume", "--out", "run", "--json"], 0)
    assert json.loads(out)["winner"] == winner


@pytest.mark.slow
def test_one_that_fails_does_not_keep_the_others_waiting(here: Path) -> None:
    first, second = typed(*SUPERNET, "--out", "run", first=OFTEN + FAILS)
    assert (first.code, second.code) == (2, 2)
    assert second.stderr == "nas: memory is short here\n"
    assert first.stderr.splitlines()[-1].startswith("nas: Another of the 2 processes has ended")
    assert first.stdout == second.stdout == ""
    assert Path("run/supernet.safetensors").exists()
    out, _ = inside(here, ["search", "--resume", "--out", "run", "--json"], 0)  # on one
    assert json.loads(out)["evaluations"] == 8


@pytest.mark.slow
def test_what_the_first_refuses_it_tells_alone_and_nothing_stays(here: Path) -> None:
    first, second = typed(*SUPERNET[:-4], "--accuracy", "supernet:nonsense", "--out", "run")
    assert (first.code, second.code) == (2, 2)
    assert "takes a number of steps" in first.stderr
    assert second.stderr == second.stdout == ""
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["search", "--space", "mobile", "--target", "pixel-cpu", "--out", "run"], "this search trains none"),
        ([*SEARCH, "--accuracy", "train:1", "--out", "run"], "this search trains none"),
        (SUPERNET, "Several processes need --out."),
    ],
)
def test_wrong_requests_are_refused_before_processes_meet(
    here: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], part: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        out, error = inside(here, arguments, 2)
        assert out == ""
        assert (part in error) == (rank == 0)
        assert len(error.splitlines()) == 1 - rank
    assert [path.name for path in here.iterdir()] == ["small.yaml"]


def test_a_batch_falls_into_equal_parts(here: Path) -> None:
    space, data = load_space(here / "small.yaml"), load_data("digits", 16)

    def shared(count: int, **settings: Any) -> SharedWeights:
        team = Processes(0, count, torch.device("cpu"))
        return SharedWeights(space, data, SharedSettings(**settings), 0, None, Silent(), team)

    for count in (2, 32):
        shared(count)
    for wrong, kind in ((3, "superkernel"), (64, "superkernel"), (32, "multi-path")):
        with pytest.raises(NasError, match=f"Each of {wrong} processes takes an equal part of a batch"):
            shared(wrong, kind=kind)

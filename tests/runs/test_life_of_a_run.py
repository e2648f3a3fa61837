"""The life of a run as a state machine: it is killed, interrupted, starved of disk, torn, gone on with, looked at.

Every command is a process of its own, a fork of this one, which has imported everything. A fault comes at a moment: the
n-th time that the process makes, syncs or places a file, or appends to its ledger; or in the middle of a write, when a
file has so many bytes. Whatever happens, the folder is
either to be begun, or resumable, or finished; its ledger is the beginning of an undisturbed run's; and its end is that
run's, byte for byte.
"""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from small_run import Done, content, nas, snapshot

from nas.runs.ledger import Ledger
from nas.system.atomic import PART

CONTROLLERS = ("evolution", "random", "nsga2")
KILL, TORN, FULL, SECOND = "kill -9", "killed in a write", "full disk", "second process"
SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}
MOMENTS = 60
"""More than a run has: some faults never come."""

faults = st.none() | st.tuples(st.sampled_from([KILL, SECOND, *SIGNALS]), st.integers(1, MOMENTS))
faults |= st.tuples(st.sampled_from([FULL, TORN]), st.integers(0, 600) | st.integers(0, 25_000))  # bytes of a file


def at_moment(number: int, act: Callable[[], None]) -> None:
    """Have `act` called once, the n-th time that this process does something to a file."""
    left = [number]

    def watched(holder: Any, name: str) -> None:
        real = getattr(holder, name)

        def call(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                act()
            return real(*arguments, **named)

        setattr(holder, name, call)

    for holder, name in ((tempfile, "mkstemp"), (os, "fsync"), (os, "replace"), (Ledger, "append"), (Ledger, "sync")):
        watched(holder, name)


def forked(words: list[str], cwd: Path, fault: tuple[str, int] | None) -> Done:
    """A command in a process of its own, with a fault; a negative code where it was killed."""
    answer = cwd / "answer"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        code = 1
        try:
            if fault is not None:
                _prepare(*fault, cwd)
            done = nas(*words, cwd=cwd, code=None)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            answer.write_bytes(pickle.dumps(tuple(done)))
            code = 0
        finally:
            os._exit(code)  # nothing of pytest's is done twice
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Done(-os.WTERMSIG(status), "", "")
    assert os.WEXITSTATUS(status) == 0, "the fork itself failed"
    return Done(*pickle.loads(answer.read_bytes()))


def _prepare(kind: str, number: int, cwd: Path) -> None:
    if kind in (FULL, TORN):
        if kind == TORN:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # what fits is written, then the process is killed
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
    elif kind == KILL:
        at_moment(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif kind == SECOND:
        at_moment(number, lambda: _second(cwd))
    else:
        at_moment(number, lambda: os.kill(os.getpid(), SIGNALS[kind]))


def _second(cwd: Path) -> None:
    """A second process is refused, and touches nothing."""
    then = snapshot(cwd)
    if "run/request.json" in then:
        done = nas("search", "--resume", "--out", "run", cwd=cwd, code=None)
        assert done.code == 2, done
        assert "another process is working on this run" in done.stderr
    assert snapshot(cwd) == then


class Life(RuleBasedStateMachine):
    words: ClassVar[list[str]]
    undisturbed: ClassVar[dict[str, dict[str, Any]]]
    place: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(dir=self.place))
        self.run = self.home / "run"
        self.controller = ""

    @property
    def begun(self) -> bool:
        return (self.run / "request.json").is_file()

    @property
    def finished(self) -> bool:
        return (self.run / "result.json").is_file()

    def ended(self, done: Done, fault: tuple[str, int] | None) -> None:
        """How a command may end with a fault, and what it says."""
        kind = None if fault is None else fault[0]
        codes = {None: {0}, KILL: {0, -9}, TORN: {0, -signal.SIGXFSZ}, FULL: {0, 2}, SECOND: {0}}.get(kind, {0, 130})
        assert done.code in codes, done
        assert len(done.stderr.splitlines()) <= 2, done
        if done.code in (2, 130) and self.begun:
            assert "nas search --resume --out run" in done.stderr, done
        if done.code == 0:
            assert self.finished
        if done.code >= 0:
            assert not list(self.run.rglob(f"*{PART}"))

    @precondition(lambda self: not self.begun)
    @rule(controller=st.sampled_from(CONTROLLERS), fault=faults)
    def start(self, controller: str, fault: tuple[str, int] | None) -> None:
        self.controller = controller
        words = [*self.words, "--controller", controller, "--out", "run"]
        self.ended(forked(words, self.home, fault), fault)

    @precondition(lambda self: self.begun)
    @rule(fault=faults)
    def resume(self, fault: tuple[str, int] | None) -> None:
        self.ended(forked(["search", "--resume", "--out", "run"], self.home, fault), fault)

    @precondition(lambda self: self.begun)
    @rule(controller=st.sampled_from(CONTROLLERS))
    def start_where_there_is_a_run(self, controller: str) -> None:
        then = snapshot(self.run)
        done = forked([*self.words, "--controller", controller, "--out", "run"], self.home, None)
        assert done.code == 2
        assert "there is a run here" in done.stderr
        assert snapshot(self.run) == then

    @rule(words=st.sampled_from([["report", "run", "--out", "other.html"], ["export", "run", "--out", "exported"]]))
    def look(self, words: list[str]) -> None:
        """Reports and exports are of finished runs, and change nothing of theirs."""
        then = snapshot(self.run)
        done = forked(words, self.home, None)
        assert done.code == (0 if self.finished else 2), done
        assert snapshot(self.run) == then

    @precondition(lambda self: (self.run / "ledger.bin").is_file() and not self.finished)
    @rule(lost=st.integers(1, 3_000))
    def tear(self, lost: int) -> None:
        """A power cut: the end of the ledger never reached the disk."""
        with (self.run / "ledger.bin").open("r+b") as file:
            file.truncate(max(0, os.fstat(file.fileno()).st_size - lost))

    @precondition(lambda self: self.begun)
    @rule(name=st.sampled_from(["front.csv", "winner/model.py", "setup.json"]))
    def lose_a_part(self, name: str) -> None:
        """An unfinished file, as a power cut leaves it; or somebody removes them all."""
        parts = list(self.run.rglob(f"*{PART}"))
        for part in parts:
            part.unlink()
        file = self.run / name
        if not parts and file.parent.is_dir():
            (file.parent / f".{file.name}.abcd1234{PART}").write_bytes(b"half")

    @invariant()
    def the_ledger_is_the_beginning_of_an_undisturbed_one(self) -> None:
        file = self.run / "ledger.bin"
        if self.begun and file.is_file():
            assert self.undisturbed[self.controller]["ledger.bin"].startswith(file.read_bytes())

    @invariant()
    def a_finished_run_is_an_undisturbed_one(self) -> None:
        if self.finished:
            found = {name: value for name, value in content(self.run).items() if not name.endswith(PART)}
            assert found == self.undisturbed[self.controller]

    def teardown(self) -> None:
        """Whatever happened: one command more, and all is well."""
        if self.begun:
            self.resume(None)
            assert content(self.run) == self.undisturbed[self.controller]
            assert (self.run / "report.html").is_file()
        shutil.rmtree(self.home)


@pytest.mark.parametrize("examples", [12, pytest.param(400, marks=pytest.mark.slow)])
def test_whatever_happens_to_a_run_its_end_is_the_same(examples: int, small: list[str], tmp_path: Path) -> None:
    Life.words, Life.place, Life.undisturbed = [*small, "--budget", "60"], tmp_path, {}
    for controller in CONTROLLERS:
        nas(*Life.words, "--controller", controller, "--out", controller, cwd=tmp_path)
        Life.undisturbed[controller] = content(tmp_path / controller)
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples,
            stateful_step_count=8,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=examples == 12,
            print_blob=False,
        ),
    )

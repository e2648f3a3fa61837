"""Signals, closed streams, pauses and clocks that jump: nothing is lost, and how it ends is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_run import before, content, nas, process

from nas.system.interrupt import Signals, Stopwatch, interruptible, raised

WAIT = """
import select
from nas.runs.ledger import Ledger
append, calls = Ledger.append, []
def slow(self, *arguments):
    calls.append(1)
    if len(calls) == 3:
        print("begun", file=sys.__stderr__, flush=True)
    select.select([], [], [], 0.02)  # libfaketime breaks time.sleep
    return append(self, *arguments)
Ledger.append = slow
"""
"""A search that says when it is in the middle of its work, and takes its time for it."""
NOHUP = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
BUDGET = ["--budget", "200"]


@pytest.fixture(scope="module")
def undisturbed(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    nas(*small, *BUDGET, "--out", "run", cwd=folder)
    return folder / "run"


def until_begun(search: subprocess.Popen[str]) -> None:
    assert search.stderr is not None
    line = search.stderr.readline()
    assert line == "begun\n", line + search.communicate()[1]


def test_what_a_terminal_sends(small: list[str], undisturbed: Path, tmp_path: Path) -> None:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        resume = [] if number == signal.SIGHUP else ["--resume"]  # each goes on where the last one was interrupted
        search = process(
            *(["search"] if resume else [*small, *BUDGET]), *resume, "--out", "run", cwd=tmp_path, first=WAIT
        )
        until_begun(search)
        search.send_signal(number)
        out, err = search.communicate(timeout=60)
        assert search.returncode == 130, err
        assert out == ""
        assert err.startswith("nas: Interrupted: ")
        assert err.endswith(" evaluations are kept. Go on: nas search --resume --out run\n")
    nas("search", "--resume", "--out", "run", cwd=tmp_path)
    assert content(tmp_path / "run") == content(undisturbed)


def test_nohup_is_respected_and_a_pause_is_no_time(small: list[str], undisturbed: Path, tmp_path: Path) -> None:
    search = process(*small, *BUDGET, "--json", "--out", "run", cwd=tmp_path, first=NOHUP + WAIT)
    until_begun(search)
    search.send_signal(signal.SIGHUP)
    search.send_signal(signal.SIGSTOP)
    time.sleep(1)
    search.send_signal(signal.SIGCONT)
    began = time.monotonic()
    out, err = search.communicate(timeout=120)
    assert search.returncode == 0, err
    assert content(tmp_path / "run") == content(undisturbed)
    assert json.loads(out)["seconds"] < 1 + (time.monotonic() - began)


@pytest.mark.parametrize("stage", ["nas.runs.search.Problem.load", "nas.runs.search.conclude"])
def test_an_interrupt_before_and_after_the_search(
    stage: str, small: list[str], undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before(stage, lambda: os.kill(os.getpid(), signal.SIGTERM), monkeypatch)
    done = nas(*small, *BUDGET, "--out", "run", cwd=tmp_path, code=130)
    assert done.stderr == "nas: Interrupted: what was done is kept. Go on: nas search --resume --out run\n"
    nas("search", "--resume", "--out", "run", cwd=tmp_path)
    assert content(tmp_path / "run") == content(undisturbed)


def test_a_pause_in_the_warm_up_of_a_time_budget_does_not_cut_it(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seconds of pause, by a clock that jumps with SIGCONT, in a budget of two."""
    clock = {"ahead": 0.0}
    monkeypatch.setattr("nas.system.interrupt.perf_counter", lambda: time.perf_counter() + clock["ahead"])

    def pause() -> None:
        clock["ahead"] += 3.0
        os.kill(os.getpid(), signal.SIGCONT)

    before("nas.runs.standing.Standing.update", pause, monkeypatch)
    nas(*small, "--budget", "2s", "--controller", "random", "--out", "run", cwd=tmp_path)
    setup = json.loads((tmp_path / "run/setup.json").read_text())
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert setup["planned"] is None or setup["planned"] > 20  # the first batches are of 1, 2, 4, …
    assert result["evaluations"] > 20
    assert result["seconds"] < 3


def test_a_stopwatch_leaves_out_steps_in_which_we_were_stopped() -> None:
    signals = Signals()
    watch = Stopwatch(signals)
    time.sleep(0.02)
    assert watch.lap()
    assert 0.02 <= watch.seconds < 1
    before_pause = watch.seconds
    signals.continued(signal.SIGCONT, None)
    assert not watch.lap()
    assert watch.seconds == before_pause
    assert watch.lap()


def test_handlers_are_put_back_and_the_second_signal_is_answered_at_once() -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)]
    with raised(), interruptible() as interrupted:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # each for the first time: one wish
            os.kill(os.getpid(), number)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT)] == handlers


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = f"nas() {{ '{sys.executable}' -m nas \"$@\"; }}\n{command}"
    return subprocess.run(["bash", "-c", program], cwd=cwd, capture_output=True, text=True)


def test_streams_that_are_closed_or_full(small: list[str], undisturbed: Path, tmp_path: Path) -> None:
    search = " ".join([*small, *BUDGET])
    done = shell(f"nas {search} --out a 2>&1 | head -0; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout == "0\n"
    assert done.stderr == ""
    assert shell(f"nas {search} --out b <&- >&- 2>&-", tmp_path).returncode == 0
    full = shell(f"nas {search} --out c > /dev/full", tmp_path)
    assert full.returncode == 2
    assert full.stderr == "nas: what was to be printed could not be written (No space left on device).\n"
    for name in "abc":
        assert content(tmp_path / name) == content(undisturbed)
    assert shell("nas spaces list 2> /dev/full | head -1", tmp_path).stdout.startswith("attentive ")


FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
"""Debian's libfaketime."""


def test_a_clock_that_jumps_by_years(small: list[str], undisturbed: Path, tmp_path: Path) -> None:
    """The wall clock goes back ten years and forth twenty during a search and a profile; files are of the future."""
    if not FAKETIME.is_file():
        pytest.skip("libfaketime is not installed")
    moved = tmp_path / "clock"
    env = {
        **os.environ,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(moved),
        "FAKETIME_NO_CACHE": "1",
    }
    moved.write_text("+0")
    search = process(*small, *BUDGET, "--json", "--out", "run", cwd=tmp_path, first=WAIT, env=env)
    until_begun(search)
    moved.write_text("-10y")
    time.sleep(0.3)
    moved.write_text("+20y")
    out, err = search.communicate(timeout=120)
    assert search.returncode == 0, err
    assert content(tmp_path / "run") == content(undisturbed)
    assert 0 < json.loads(out)["seconds"] < 60
    timed = [*small[1:], "--budget", "1s", "--out", "timed"]
    jumping = subprocess.run(
        [sys.executable, "-c", f"{JUMPS}sys.argv = {['nas', 'search', *timed]!r}\nmain()", str(moved)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert jumping.returncode == 0, jumping.stderr
    assert 0 < json.loads((tmp_path / "timed/result.json").read_text())["seconds"] < 20
    future = time.time() + 20 * 365 * 86_400
    for path in (tmp_path / "run").rglob("*"):
        os.utime(path, (future, future))
    nas("search", "--resume", "--out", "run", cwd=tmp_path)
    nas("report", "run", cwd=tmp_path)


JUMPS = """
import select, sys, threading
def jump(path):
    years = 1
    while True:
        open(path, "w").write(f"{years:+d}y")
        years = -2 * years if abs(years) < 8 else 1
        select.select([], [], [], 0.02)
threading.Thread(target=jump, args=(sys.argv[1],), daemon=True).start()
from nas.cli import main
"""


def test_what_is_solved_is_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt after the one batch of a solver: going on solves again, but does not record it again."""
    before("nas.runs.search.conclude", lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch)
    words = ["search", "--space", "mobile", "--target", "pixel-cpu", "--latency", "40ms", "--controller", "exact"]
    nas(*words, "--out", "run", cwd=tmp_path, code=130)
    recorded = (tmp_path / "run/ledger.bin").read_bytes()
    nas("search", "--resume", "--out", "run", cwd=tmp_path)
    assert (tmp_path / "run/ledger.bin").read_bytes() == recorded

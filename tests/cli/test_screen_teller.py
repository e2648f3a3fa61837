"""What is told of long work: bars on a terminal, lines in a log."""

from __future__ import annotations

import io
import re
import sys
import time

import pytest

from nas.cli import output
from nas.cli.output import ScreenTeller


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Patch = pytest.MonkeyPatch


def log_of(patch: Patch) -> io.StringIO:
    """From now on stderr is a file, where lines come soon. (No fixture: pytest sets its own stderr after those.)"""
    for name in ("FIRST_LINE_S", "NEXT_LINE_S", "LOOK_S"):
        patch.setattr(output, name, 0.02)
    stream = io.StringIO()
    patch.setattr(sys, "stderr", stream)
    return stream


def terminal_of(patch: Patch) -> io.StringIO:
    """From now on stderr is a terminal, where silence is short."""
    for name in ("SILENCE_S", "LOOK_S"):
        patch.setattr(output, name, 0.02)
    patch.setenv("COLUMNS", "120")
    patch.setenv("TERM", "xterm")
    stream = Terminal()
    patch.setattr(sys, "stderr", stream)
    return stream


def seen(stream: io.StringIO, wait_for: str = "") -> str:
    """What is on the screen, without its colours, once that is there."""
    end = time.monotonic() + 10
    while wait_for not in plain(stream) and time.monotonic() < end:
        time.sleep(0.01)
    return plain(stream)


def plain(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


@pytest.mark.parametrize(
    ("note", "done", "total", "line"),
    [
        ("img", 320, 6_400, "nas: train 320 of 6,400 img, 5 %"),
        ("networks", 3, 40, "nas: networks 3 of 40, 7 %"),
        ("pictures", 0, 10, "nas: decode 0 of 10 img, 0 %"),
        ("tested", 256, 2_000, "nas: test 256 of 2,000 img, 12 %"),
        ("proof", 28, 100, "nas: proof 28 of 100 %"),
        ("widgets", 1, 2, "nas: work 1 of 2 widgets, 50 %"),
    ],
)
def test_a_log_is_told_how_work_stands(monkeypatch: Patch, note: str, done: int, total: int, line: str) -> None:
    log = log_of(monkeypatch)
    with ScreenTeller("work") as teller:
        teller.progress(done, total, note)
        assert line in seen(log, line)


def test_a_log_is_told_of_all_that_is_under_way_and_not_of_what_is_done(monkeypatch: Patch) -> None:
    log = log_of(monkeypatch)
    with ScreenTeller("search") as teller:
        teller.progress(10, 10, "pictures")
        teller.searched(3, None, "best 45.00")
        teller.progress(64, 640, "img")
        assert "nas: search 3 arch, best 45.00; train 64 of 640 img, 10 %" in seen(log, "img")
    assert "decode" not in log.getvalue()


def test_a_log_is_not_silent_where_nothing_is_told(monkeypatch: Patch) -> None:
    log = log_of(monkeypatch)
    with ScreenTeller("export"):
        assert re.search(r"nas: export: 0:0\d so far", seen(log, "so far"))


def test_nothing_is_said_of_what_is_quick(monkeypatch: Patch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with ScreenTeller("work") as teller:
        teller.progress(1, 2, "img")
        teller.progress(2, 2, "img")
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_process_that_is_not_the_first_is_silent(monkeypatch: Patch) -> None:
    log = log_of(monkeypatch)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with ScreenTeller("train"):
        time.sleep(0.2)
    assert log.getvalue() == ""


def test_a_terminal_has_a_bar_for_each_kind_of_work(monkeypatch: Patch) -> None:
    terminal = terminal_of(monkeypatch)
    with ScreenTeller("search") as teller:
        teller.progress(0, 640, "img")
        assert "train" in seen(terminal, "0/640")
        for at in (64, 640, 0, 128):  # it begins anew with the next network, on the same line
            teller.progress(at, 640, "img")
        teller.searched(1, 30, "best 45.00")
        teller.say("a remark [red]")
    text = seen(terminal)
    assert "nas: a remark [red]" in text
    last = text.splitlines()[-2:]
    assert re.search(r"train .*128/640", last[0])
    assert re.search(r"search .*1/30 .*best 45.00", last[1])


def test_a_terminal_shows_that_something_goes_on_where_nothing_is_told(monkeypatch: Patch) -> None:
    terminal = terminal_of(monkeypatch)
    with ScreenTeller("export") as teller:
        assert "export" in seen(terminal, "export")
        teller.progress(5, 5, "pictures")
        assert "decode" in seen(terminal, "5/5")


STAGES = {"tune": 240.0, "search": None, "race": 300.0}


def test_a_log_has_a_line_for_each_stage_that_begins(monkeypatch: Patch) -> None:
    log = log_of(monkeypatch)
    with ScreenTeller("search") as teller:
        teller.stages(STAGES)
        for name in ("profile", "tune", "search"):  # the first is not of the plan
            teller.stage(name)
    assert log.getvalue() == "nas: tune 1/3, about 4:00 of the budget\nnas: search 2/3\n"


def test_one_stage_alone_is_not_worth_a_word(monkeypatch: Patch) -> None:
    log = log_of(monkeypatch)
    with ScreenTeller("search") as teller:
        teller.stages({"search": 10.0})
        teller.stage("search")
    assert "1/1" not in log.getvalue()


def test_a_terminal_has_a_bar_for_each_stage(monkeypatch: Patch) -> None:
    terminal = terminal_of(monkeypatch)
    with ScreenTeller("search") as teller:
        teller.stages(STAGES)
        teller.stage("tune")
        assert re.search(r"tune 1/3 .*0:00:0\d of ~4:00", seen(terminal, "of ~4:00"))
        teller.stage("race")
        seen(terminal, "of ~5:00")
    assert re.search(r"race 3/3 .*of ~5:00", plain(terminal).splitlines()[-1])

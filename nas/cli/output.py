"""What all commands print with: JSON, text, and progress on stderr.

Names that strangers chose are part of messages and summaries; nothing that moves a cursor or sets a title is printed.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from nas.blocks.precision import MEASURED
from nas.errors import RunError
from nas.system import ranks
from nas.system.pace import Pace, minutes, to_go

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

precision_option = click.option(
    "--precision",
    type=click.Choice(MEASURED),
    help="Of the network's numbers: int8 as ONNX Runtime quantises it. Default: float32, or what its file says.",
)
resolution_option = click.option(
    "--resolution", type=int, metavar="PX", help="Of the deployed network. Default: the space's."
)
strides_option = click.option(
    "--strides",
    type=click.Choice(["keep", "drop"]),
    help="At that resolution. Default: keep, if 2 pixels remain; drop leaves out early ones until 4 remain.",
)
network_option = click.option(
    "--resolution", type=int, metavar="PX", help="Of the network's pictures. Default: what its file says."
)
classes_option = click.option(
    "--classes", type=int, metavar="N", help="That networks tell apart. Default: those of the space or network."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, indent=1))


MAX_LINE = 1_000
"""A line of a message has at most so many letters."""


def show(text: str) -> None:
    """A result in words, on stdout."""
    click.echo(printable(text), nl=False)


def show_result(result: Mapping[str, Any], summary: Callable[[Mapping[str, Any]], str], as_json: bool) -> None:
    """A result on stdout, as JSON or in words."""
    if as_json:
        print_json(result)
    else:
        show(summary(result))


def tell(message: str) -> None:
    """A message, on stderr: at most two lines, none of them without end."""
    lines = printable(message).split("\n")
    lines = [*lines[:1], " ".join(lines[1:])] if len(lines) > 2 else lines
    click.echo("nas: " + "\n".join(f"{line[:MAX_LINE]}…" if len(line) > MAX_LINE else line for line in lines), err=True)


def summed_up(summary: Callable[[Mapping[str, Any]], str], result: Mapping[str, Any], file: Path) -> str:
    """The summary of a result that was read from a file. Raises `RunError` where it is none of ours."""
    try:
        return summary(result)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, ArithmeticError) as problem:
        raise RunError(f"{file}: this is no result of nas ({problem!r}).") from None


def printable(text: str) -> str:
    """Text as a terminal may get it: escape sequences, and whatever else has no shape of its own, become `?`."""
    return "".join(letter if letter.isprintable() or letter in _SPACES else "?" for letter in text)


_SPACES = "\n\u00a0\u202f\u3000"


_KINDS = {
    "archs": ("search", "arch"),
    "img": ("train", "img"),
    "tested": ("test", "img"),
    "pictures": ("decode", "img"),
    "networks": ("networks", ""),
    "options": ("options", ""),
    "proof": ("proof", "%"),
    "sessions": ("measure", "sessions"),
    "slices": ("measure", "slices"),
    "seconds": ("measure", "s"),
    "quantised": ("quantise", ""),
}
"""What is told of, by its name: the label of its line, and what is counted; anything else is what the command does."""
SILENCE_S = 2.0
"""After so much of it a terminal shows that something is going on."""
FIRST_LINE_S, NEXT_LINE_S = 10.0, 30.0
"""Where there is no terminal: from the beginning to the first line on how work stands, and to the next."""
LOOK_S = 0.2
"""Between two looks whether something is to be shown."""


@dataclass
class _Line:
    """How one kind of work stands."""

    label: str
    unit: str
    done: int = 0
    total: int | None = None
    word: str = ""
    pace: Pace = field(default_factory=Pace)
    task: TaskID | None = None
    """Its bar, where there is a terminal."""

    @property
    def under_way(self) -> bool:
        return self.total is None or self.done < self.total

    @property
    def rate(self) -> str:
        rate = None if self.unit in ("", "%", "s") else self.pace.rate
        return "" if rate is None else f"{rate:,.{0 if rate >= 10 else 1}f} {self.unit}/s"

    def __str__(self) -> str:
        share = "" if not self.total or self.unit == "%" else f"{100 * self.done // self.total} %"
        of = "" if self.total is None else f" of {self.total:,}"
        parts = (
            f"{self.done:,}{of} {self.unit}".rstrip(),
            share,
            self.rate,
            to_go(self.pace.left(self.total)),
            self.word,
        )
        return f"{self.label} {', '.join(filter(None, parts))}"


@dataclass
class _Stage:
    """One of several stages that work goes through."""

    name: str
    place: str
    """Such as `2/4`."""
    seconds: float | None
    begun: float
    task: TaskID | None = None

    def __str__(self) -> str:
        about = "" if self.seconds is None else f", about {minutes(self.seconds)} of the budget"
        return f"{self.name} {self.place}{about}"


class ScreenTeller:
    """A `nas.system.teller.Staged` on stderr: remarks, in which stage work is, and how it stands.

    Where it is a terminal that is a bar for each kind of work, and one without an end where nothing is told for a
    while; elsewhere a line every so often.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self._lines: dict[str, _Line] = {}
        self._live: Progress | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._begun = self._told = monotonic()
        self._idle: TaskID | None = None
        self._planned: dict[str, float | None] = {}
        self._stage: _Stage | None = None

    def __enter__(self) -> ScreenTeller:
        if not ranks.rank():
            threading.Thread(target=self._watch, name="progress", daemon=True).start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ended.set()
        with self._lock:
            if self._live is not None:
                if self._idle is not None:
                    self._live.update(self._idle, visible=False)
                self._end_stage()
                self._live.stop()

    def searched(self, done: int, total: int | None, word: str) -> None:
        """The progress of a search; see `nas.runs.controller_search.Progress`."""
        self._show("archs", done, total, word)

    def progress(self, done: int, total: int, note: str) -> None:
        """Show it."""
        self._show(note, done, total, "")

    def say(self, line: str) -> None:
        """Above the bars, if there are any."""
        if self._live is not None:
            self._live.console.print(f"nas: {printable(line)}", highlight=False, markup=False)
        else:
            self._told = monotonic()
            tell(line)

    def stages(self, planned: Mapping[str, float | None]) -> None:
        """What is to come; one stage alone is not worth a word."""
        self._planned = dict(planned) if len(planned) > 1 else {}

    def stage(self, name: str) -> None:
        """On a terminal a bar that fills with its time; elsewhere a line."""
        if name not in self._planned or ranks.rank():
            return
        with self._lock:
            self._end_stage()
            place = f"{[*self._planned].index(name) + 1}/{len(self._planned)}"
            self._stage = _Stage(name, place, self._planned[name], monotonic())
            if not sys.stderr.isatty():
                self._lines.clear()  # what was told of the one before is over
                tell(str(self._stage))
            elif not self._ended.is_set():
                self._stage.task = self._bar(f"{name} {place}")
                self._tick()

    def _tick(self) -> None:
        """Have the bar of the stage fill; one that takes longer than its share stays all but full."""
        stage = self._stage
        if stage is not None and stage.task is not None:
            took, of = monotonic() - stage.begun, stage.seconds
            about = "" if of is None else f"of ~{minutes(of)}"
            self._bars().update(stage.task, completed=min(took, 0.99 * (of or 0.0)), total=of, count=about)

    def _end_stage(self) -> None:
        if self._stage is not None and self._stage.task is not None:
            self._bars().update(self._stage.task, completed=1, total=1)
        self._stage = None

    def _show(self, kind: str, done: int, total: int | None, word: str) -> None:
        with self._lock:
            line = self._lines.get(kind)
            if line is None or done < line.done:  # it begins anew, as with the next network
                label, unit = _KINDS.get(kind, (self.label, kind))
                line = self._lines[kind] = _Line(label, unit, task=None if line is None else line.task)
                if line.task is not None and self._live is not None:
                    self._live.reset(line.task)
            line.done, line.total, line.word = done, total, word
            line.pace.update(done)
            if sys.stderr.isatty() and not self._ended.is_set():
                self._draw(line)

    def _draw(self, line: _Line) -> None:
        live = self._bars()
        if line.task is None:
            line.task = self._bar(line.label)
        if self._idle is not None:
            live.update(self._idle, visible=False)
        self._told = monotonic()
        left = to_go(line.pace.left(line.total)) if line.under_way else ""
        of = "?" if line.total is None else f"{line.total:,}"
        total = line.total if line.done else None  # until something is done it moves to and fro
        live.update(line.task, completed=line.done, total=total, count=f"{line.done:,}/{of}", rate=line.rate)
        live.update(line.task, left=left, word=line.word)

    def _bar(self, label: str) -> TaskID:
        return self._bars().add_task(label, total=None, count="", rate="", left="", word="")

    def _bars(self) -> Progress:
        if self._live is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            fields = [TextColumn(f"{{task.fields[{name}]}}") for name in ("count", "rate", "left", "word")]
            self._live = Progress(
                TextColumn("{task.description:<9}"),
                BarColumn(),
                TimeElapsedColumn(),
                *fields,
                console=Console(stderr=True),
            )
            self._live.start()
        return self._live

    def _watch(self) -> None:
        """Have it seen that something is going on while nothing is told."""
        terminal, wait = sys.stderr.isatty(), FIRST_LINE_S
        while not self._ended.wait(LOOK_S):
            now = monotonic()
            with self._lock:
                if self._ended.is_set():
                    return
                if terminal:
                    self._tick()
                    if now - self._told > SILENCE_S and not any(line.under_way for line in self._lines.values()):
                        live = self._bars()
                        if self._idle is None:
                            self._idle = self._bar(self.label)
                        live.update(self._idle, visible=True)
                elif now - self._told > wait:
                    self._told, wait = now, NEXT_LINE_S
                    with suppress(OSError, ValueError):  # nobody reads it
                        tell(
                            "; ".join(map(str, self._at_work())) or f"{self.label}: {minutes(now - self._begun)} so far"
                        )

    def _at_work(self) -> list[_Line]:
        return [line for line in self._lines.values() if line.under_way]


class Commands(click.Group):
    """Lists commands in the order of use."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

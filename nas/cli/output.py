"""What all commands print with: JSON, text, and progress on stderr.

Names that strangers chose are part of messages and summaries; nothing that moves a cursor or sets a title is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from nas.errors import RunError

resolution_option = click.option(
    "--resolution", type=int, metavar="PX", help="Of the deployed network. Default: the space's."
)
strides_option = click.option(
    "--strides",
    type=click.Choice(["keep", "drop"]),
    help="At that resolution. Default: keep, if 2 pixels remain; drop leaves out early ones until 4 remain.",
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


@contextmanager
def search_bar() -> Iterator[Callable[[int, int | None, str], None]]:
    """A bar on stderr with the rate, or nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total, note: None
        return
    bar = _Bar("search", "arch/s")
    try:
        yield bar.show
    finally:
        bar.live.stop()


class _Bar:
    """A rich progress bar that begins with its first figure."""

    def __init__(self, label: str, unit: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.live = Progress(
            TextColumn(f"{label:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self.unit = unit
        self.task = self.live.add_task(label, total=None, rate="", note="")
        self.first: int | None = None

    def show(self, done: int, total: int | None, note: str) -> None:
        """How much is done, of how much, and a word."""
        if self.first is None:
            self.first = done
            self.live.start()
        elapsed = self.live.tasks[0].elapsed or 0
        rate = f"{(done - self.first) / elapsed:,.0f} {self.unit}" if elapsed > 0.2 else ""
        self.live.update(self.task, completed=done, total=total, rate=rate, note=note)


_LABELS = {"img": "train", "pictures": "decode", "networks": "batch"}
"""What is done with what is counted, where it is not what the whole command does."""


class ScreenTeller:
    """A `nas.system.teller.Teller` on stderr: a bar where it is a terminal, remarks in any case."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._bar: _Bar | None = None
        self._of = ""

    def __enter__(self) -> ScreenTeller:
        return self

    def __exit__(self, *problem: object) -> None:
        if self._bar is not None:
            self._bar.live.stop()

    def progress(self, done: int, total: int, note: str) -> None:
        """Show it; what is counted in something else gets a bar of its own."""
        if note != self._of and sys.stderr.isatty():
            if self._bar is not None:
                self._bar.live.stop()
            self._bar = _Bar(_LABELS.get(note, self.label), f"{note}/s")
            self._of = note
        if self._bar is not None:
            self._bar.show(done, total, "")

    def say(self, line: str) -> None:
        """Above the bar, if there is one."""
        if self._bar is not None:
            self._bar.live.console.print(f"nas: {printable(line)}", highlight=False, markup=False)
        else:
            tell(line)


class Commands(click.Group):
    """Lists commands in the order of use."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

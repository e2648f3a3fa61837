"""Teller: where long work tells how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


class Teller(Protocol):
    """Progress and remarks of long work."""

    def progress(self, done: int, total: int, note: str) -> None:
        """How much is done, of how much, and what of."""

    def say(self, line: str) -> None:
        """Something that the user should know, in one line."""


@runtime_checkable
class Staged(Protocol):
    """A teller that shows in which stage of a plan long work is."""

    def stages(self, planned: Mapping[str, float | None]) -> None:
        """The stages that are to come, by name, and about how many seconds each may take; None where that is open."""

    def stage(self, name: str) -> None:
        """This one begins now."""


def stage(teller: Teller, name: str) -> None:
    """Have it told that a stage begins, where somebody shows stages."""
    if isinstance(teller, Staged):
        teller.stage(name)


class Silent:
    """Tells nobody."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

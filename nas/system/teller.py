"""Teller: where long work tells how it stands."""

from __future__ import annotations

from typing import Protocol


class Teller(Protocol):
    """Progress and remarks of long work."""

    def progress(self, done: int, total: int, note: str) -> None:
        """How much is done, of how much, and what of."""

    def say(self, line: str) -> None:
        """Something that the user should know, in one line."""


class Silent:
    """Tells nobody."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

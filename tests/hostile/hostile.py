"""Hostile: one input that a stranger made, the command that reads it, and the words that refuse it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from box import Box

Make = Callable[[Box], list[str]]
"""Makes the input in a box; returns the words after `nas`."""


@dataclass(frozen=True)
class Hostile:
    """One input, which is refused with exit code 2."""

    name: str
    make: Make
    says: str
    """A part of the message."""
    more_mb: float = 24
    """Peak memory that it may take beyond that of a harmless input of the same command."""
    lines: int = 2
    """Of the message, with remarks before it."""


@dataclass(frozen=True)
class Reader:
    """Inputs of one kind of file, and a harmless one to hold their memory against."""

    name: str
    harmless: Make
    inputs: tuple[Hostile, ...]
    slow: bool = False
    """Whether its command takes seconds, for the import of torch."""

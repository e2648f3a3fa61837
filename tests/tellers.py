"""A teller that remembers what it was told."""

from __future__ import annotations


class Said:
    """Lines that were said, and steps of progress: done, of how many."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def progress(self, done: int, total: int, note: str) -> None:
        self.steps.append((done, total))

    def say(self, line: str) -> None:
        self.lines.append(line)

"""Pace: how fast work goes, and how long what is left of it takes."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from time import monotonic

MEMORY_S = 20.0
"""What was done so long ago counts a third of what is done now; where work has taken long, half of that time."""
LEAST_S = 0.5
"""Before so much time has passed nothing is said."""


class Pace:
    """Work is counted from the first `update` on: what a run that is gone on with did before does not count.

    The pace is what was done over the time that it took, both fading: steady, and in time a new one.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._begun = self._last = clock()
        self._at: float | None = None
        self._done = self._time = 0.0

    def update(self, at: float) -> None:
        """How far it is now."""
        now = self._clock()
        if self._at is None:
            self._begun = now
        else:
            faded = exp(-(now - self._last) / max(MEMORY_S, (now - self._begun) / 2))
            self._done = self._done * faded + at - self._at
            self._time = self._time * faded + now - self._last
        self._at, self._last = at, now

    @property
    def seconds(self) -> float:
        """Since the first update."""
        return self._clock() - self._begun

    @property
    def rate(self) -> float | None:
        """A second; None while that is not known."""
        return self._done / self._time if self._time > LEAST_S and self._done > 0 else None

    def left(self, total: float | None) -> float | None:
        """Seconds until it has come so far; None while that is not known."""
        if self.rate is None or total is None or self._at is None:
            return None
        return max(0.0, (total - self._at) / self.rate - (self._clock() - self._last))


def minutes(seconds: float) -> str:
    """`0:42`, `12:05` or `1:02:05`."""
    whole = round(seconds)
    hours = f"{whole // 3600}:{whole // 60 % 60:02}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02}"


def to_go(seconds: float | None) -> str:
    """As the end of a line of progress; nothing where it is not known."""
    return "" if seconds is None else f"{minutes(seconds)} to go"

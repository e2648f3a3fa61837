"""Axis: from values to places in percent, with ticks that a person would have chosen."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0, 20.0)
MOST_TICKS, FEWER_TICKS, SHORT = 9, 6, 4
"""Ticks that a phone has room for where all labels are of so many letters, and where some are longer."""


@dataclass(frozen=True)
class Axis:
    """A range of values, `low` to `high`, and what is written beside it."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    title: str
    """What is shown, with its unit."""
    log: bool = False

    def place(self, value: float) -> float:
        """Percent of the way from `low` to `high`."""
        return float(self.places(np.array([value]))[0])

    def places(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`place` of each value."""
        if self.log:
            values, low, high = np.log10(values), log10(self.low), log10(self.high)
        else:
            low, high = self.low, self.high
        return np.asarray(100 * (values - low) / (high - low))


def linear(low: float, high: float, title: str, *, pad: float = 0.04) -> Axis:
    """An axis over a range, wider by `pad` of it at both ends; a range of nothing becomes one around the value."""
    extent = high - low
    if extent <= 1e-9 * max(abs(low), abs(high), 1e-9):
        extent = abs(low) * 0.2 or 1.0
        low, high = low - extent / 2, high + extent / 2
    low, high = low - pad * extent, high + pad * extent
    for most in (MOST_TICKS, FEWER_TICKS):
        found, digits = ticks(low, high, most)
        labels = tuple(f"{tick:,.{digits}f}" for tick in found)
        if max(map(len, labels), default=0) <= SHORT:
            break
    return Axis(low, high, found, labels, title)


def counting(high: int, title: str) -> Axis:
    """An axis of whole numbers, from 0."""
    found, _ = ticks(0, high, min(high + 1, FEWER_TICKS))
    return Axis(0, high, found, tuple(short(tick) for tick in found), title)


def logarithmic(low: float, high: float, title: str) -> Axis:
    """An axis of powers of ten, for counts of 1 and more."""
    high = max(high, low * 10)
    first, last = ceil(log10(low) - 1e-9), floor(log10(high) + 1e-9)
    every = ceil((last - first + 1) / 6)
    found = tuple(10.0**power for power in range(first, last + 1, every))
    return Axis(low, high, found, tuple(short(tick) for tick in found), title, log=True)


def ticks(low: float, high: float, most: int) -> tuple[tuple[float, ...], int]:
    """At most so many round values within a range, evenly spaced, and the decimals that tell them apart."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(step for step in (power * s for s in STEPS) if (high - low) / step <= most - 1 + 1e-9)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    digits = next(d for d in range(13) if d == 12 or abs(step - round(step, d)) < 1e-6 * step)
    return tuple(round(step * n, digits) + 0.0 for n in range(first, last + 1)), digits


def short(count: float) -> str:
    """`500`, `20k`, `5M`."""
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{count / scale:g}{unit}"
    return f"{count:g}"

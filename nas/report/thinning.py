"""Thinning: what of many points is drawn, so that a file stays small whatever a ledger holds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nas.runs.ledger_file import STRETCH

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def evenly(count: int, most: int) -> Indices:
    """At most so many of `count` indices, evenly apart, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else _NONE


def rises(values: Floats) -> Indices:
    """Where a running maximum goes up: the first finite value, and every one that beats all before it."""
    found, best = [_NONE], -np.inf
    for start in range(0, len(values), STRETCH):
        part = values[start : start + STRETCH]
        running = np.maximum.accumulate(np.append(best, np.where(np.isfinite(part), part, -np.inf)))
        found.append(start + np.flatnonzero(running[1:] > running[:-1]))
        best = running[-1]
    return np.concatenate(found)


def averaged(values: Floats, most: int) -> Floats:
    """At most so many means of neighbours, of values `float64[N]` or of columns `float64[N, C]`."""
    starts = np.linspace(0, len(values), min(len(values), most) + 1).astype(np.int64)
    sums = np.add.reduceat(values, starts[:-1], axis=0)
    sizes = np.diff(starts).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(sums / sizes)


@dataclass(frozen=True)
class Cells:
    """How many points lie in each cell of a grid over the unit square: rows from the bottom."""

    counts: NDArray[np.int64]
    """int64[rows, columns]."""

    @classmethod
    def none(cls, columns: int, rows: int) -> Cells:
        """A grid of no points."""
        return cls(np.zeros((rows, columns), dtype=np.int64))

    def __add__(self, other: Cells) -> Cells:
        return Cells(self.counts + other.counts)

    def levels(self, most: int) -> list[tuple[int, int, NDArray[np.int64]]]:
        """Ranges of counts, evenly apart on a scale of logarithms, and the cells in each, `int64[n, 2]`: row, column.

        Empty cells and empty ranges are left out.
        """
        largest = int(self.counts.max(initial=0))
        edges = np.unique(np.geomspace(1, largest + 1, most + 1).round().astype(np.int64)) if largest else _NONE
        found = []
        for low, high in pairwise(edges.tolist()):
            cells = np.argwhere((self.counts >= low) & (self.counts < high))
            if len(cells):
                found.append((low, high - 1, cells))
        return found


def cells(x: Floats, y: Floats, columns: int, rows: int) -> Cells:
    """Count points whose places are in percent; those outside 0 to 100 are left out."""
    inside = (x >= 0) & (x <= 100) & (y >= 0) & (y <= 100)
    column = np.minimum((x[inside] * columns / 100).astype(np.int64), columns - 1)
    row = np.minimum((y[inside] * rows / 100).astype(np.int64), rows - 1)
    return Cells(np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns))


_NONE = np.zeros(0, dtype=np.int64)

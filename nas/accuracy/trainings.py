"""Trainings: what became of each network that was trained, kept in a file as soon as it is known.

`trainings.jsonl` in the run folder: a line that says what the trainings have in common, then a line a network, its
decisions and the top-1 on held-out pictures after each of its epochs. A batch of a search can take hours: what was
finished when it was killed is not trained again, nor is a winner for its error band. A last line that was cut off by a
crash is left out and written over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.space.index import GenotypeIndex
from nas.space.space import Population, Space
from nas.system.json_lines import JsonLines

FILE = "trainings.jsonl"
FORMAT = "nas-trainings/1"

Curve = tuple[float, ...]
"""Top-1 in percent after each epoch, at least one."""


class Trainings:
    """The curve of every network that was trained, by its canonical genotype."""

    def __init__(self, space: Space, path: Path | None, fingerprint: str) -> None:
        """`fingerprint` is of everything that a curve depends on; without `path` nothing is kept.

        Raises `RunError` where the file is of other trainings.
        """
        self._space = space
        self._index = GenotypeIndex(space.cardinalities)
        self._curves: list[Curve] = []
        self._lines = JsonLines(path, {"format": FORMAT, "fingerprint": fingerprint}, "training", self._read)

    def __len__(self) -> int:
        return len(self._curves)

    def missing(self, population: Population) -> NDArray[np.int64]:
        """Rows of a canonical population `uint8[N, D]` that are not known, each genotype once."""
        return np.flatnonzero(self._index.first_new(population))

    def add(self, genotype: NDArray[np.uint8], curve: Curve) -> None:
        """Keep the curve of a canonical genotype `uint8[D]`."""
        self._lines.add({"decisions": self._space.choices(genotype), "epochs": len(curve), "top1": curve})
        self._take(genotype, curve)

    def of(self, population: Population) -> list[Curve]:
        """Curves of a canonical population, all of it known."""
        return [self._curves[row] for row in self._index.find(population)]

    def _take(self, genotype: NDArray[np.uint8], curve: Curve) -> None:
        if self._index.first_new(genotype[None])[0]:
            self._index.add(genotype[None])
            self._curves.append(curve)

    def _read(self, document: Any) -> None:
        genotype = self._space.canonical(self._space.encode([document["decisions"]]))[0]
        self._take(genotype, _curve(document["top1"]))


def _curve(values: Sequence[Any]) -> Curve:
    if not (isinstance(values, list) and values and all(type(v) is float and 0 <= v <= 100 for v in values)):
        raise ValueError("`top1` is a list of percents.")
    return tuple(values)

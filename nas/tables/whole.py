"""Whole networks of one space that were measured on a device, in place of their layers: a table's `whole.csv.gz`.

    arch         option indices in the order of the space's decisions: see `nas.space.codes`
    latency_ms   of the whole network

Networks without a row are answered by an additive fit to those that have one: a constant and a number for each option
of each decision, by least squares of the relative error over canonical genotypes.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, cached_property
from math import nan, prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.cost.factors import Factor, Factors
from nas.errors import TableError
from nas.space.codes import parse_codes
from nas.space.index import GenotypeIndex
from nas.space.load import load_space
from nas.space.space import MAX_COMBINATIONS, Population, Space
from nas.system.files import lines
from nas.system.places import space_names
from nas.tables.header import WholeHeader

FILE = "whole.csv.gz"
COLUMNS = ["arch", "latency_ms"]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WholeNetworks:
    """Codes and milliseconds of networks of the space that the header names."""

    path: Path
    header: WholeHeader
    codes: tuple[str, ...]
    ms: Array

    @classmethod
    def parse(cls, path: Path, text: str, header: WholeHeader) -> WholeNetworks:
        """From the text of a file. Raises `TableError`: file, line, rule and what came."""
        try:
            names, *rows = csv.reader(lines(text, path, TableError), strict=True)
        except csv.Error as problem:
            raise TableError(f"{path}: not valid CSV: {problem}.") from None
        except ValueError:
            raise TableError(f"{path}: whole networks have a header and at least one row.") from None
        if names != COLUMNS or not rows:
            raise TableError(f"{path}: whole networks have the columns {', '.join(COLUMNS)} and at least one row.")
        ms = np.fromiter(map(_figure, rows), np.float64, len(rows))
        broken = ~(np.isfinite(ms) & (ms > 0))
        if broken.any():
            row = int(broken.argmax())
            rule = "a code and a finite number of milliseconds above 0"
            raise TableError(f"{path}: line {row + 2}: a row is {rule}, got {','.join(rows[row])[:60]!r}.")
        return cls(path, header, tuple(values[0] for values in rows), ms)

    def are_of(self, space: Space) -> bool:
        """Whether this is the very space that they are of."""
        return self.header.space == space.name and self.header.space_sha256 == space.fingerprint

    def factors(self, space: Space) -> Factors:
        """Latency of the space's networks: as measured, by the additive fit where one was not."""
        known, ms = self.of(space)
        axes = tuple(range(len(space.decisions)))
        array = np.where(np.isnan(known), ms, known).reshape(space.cardinalities)
        return Factors.of([int(n) for n in space.cardinalities], 0.0, [Factor(axes, array)])

    def find(self, network: Architecture) -> tuple[float, bool] | None:
        """Milliseconds of a network, and whether it was measured; None where it is none of the space, or the space is
        none that ships."""
        place = self._places.get(network.layers)
        if place is None:
            return None
        measured = not np.isnan(self._own[0][place])
        return float(self._own[0 if measured else 1][place]), measured

    def left_out(self) -> Array | None:
        """Percent that the additive fit to some networks, at most 2,000, is off on each of the others; None where the
        space does not ship."""
        if self._space is None:
            return None
        index, ms = self._measured(self._space)
        fitted = min(2_000, len(ms) * 4 // 5)
        some = np.zeros(len(ms), bool)
        some[np.random.default_rng(0).permutation(len(ms))[:fitted]] = True
        genotypes = index.genotypes()
        found = additive(genotypes[some], ms[some], genotypes[~some], self._space.cardinalities)
        off: Array = 100 * np.abs(found / ms[~some] - 1)
        return off

    def _measured(self, space: Space) -> tuple[GenotypeIndex, Array]:
        """Canonical genotypes with a row, and the mean of their rows in ms."""
        index = GenotypeIndex(space.cardinalities)
        owners = index.add(space.canonical(parse_codes(self.path, space, self.codes, TableError)))
        return index, np.bincount(owners, weights=self.ms) / np.bincount(owners, minlength=len(index))

    def of(self, space: Space) -> tuple[Array, Array]:
        """For each genotype, in the order of a C array, ms as measured (NaN where it was not) and by the fit. Raises
        `TableError` for codes of another space, and for one too large."""
        if prod(map(int, space.cardinalities)) > MAX_COMBINATIONS:
            raise TableError(f"{self.path}: whole networks are of a space of at most {MAX_COMBINATIONS:,} genotypes.")
        index, mean = self._measured(space)
        everything = space.canonical(_all(space))
        rows = index.find(everything)
        known = np.where(rows < 0, np.nan, mean[np.maximum(rows, 0)])
        if (rows >= 0).all():
            return known, known
        return known, additive(index.genotypes(), mean, everything, space.cardinalities)

    @cached_property
    def _space(self) -> Space | None:
        space = _shipped(self.header.space)
        return space if space is not None and self.are_of(space) else None

    @cached_property
    def _own(self) -> tuple[Array, Array]:
        assert self._space is not None
        return self.of(self._space)

    @cached_property
    def _places(self) -> dict[tuple[Layer, ...], int]:
        """Of every network of the space its place among all genotypes."""
        space = self._space
        if space is None:
            return {}
        population = space.enumerate()
        slots = [
            [c.chains[code] for code in np.broadcast_to(c.code[tuple(population[:, c.decisions].T)], len(population))]
            for c in space.candidates
        ]
        places = np.ravel_multi_index(tuple(population.T), tuple(space.cardinalities))
        networks = (tuple(layer for chain in chains for layer in chain) for chains in zip(*slots, strict=True))
        return dict(zip(networks, places.tolist(), strict=True))


@cache
def _shipped(name: str) -> Space | None:
    """A space that ships, read once; None where none of this name does."""
    return load_space(name) if name in space_names() else None


def _figure(row: list[str]) -> float:
    """Milliseconds of a row; NaN where it is none."""
    try:
        _, figure = row
        return float(figure)
    except ValueError:
        return nan


def additive(known: Population, ms: Array, asked: Population, cardinalities: NDArray[np.int64]) -> Array:
    """ms, float64[N], of asked genotypes by an additive fit to known ones; none is below half of the least known."""

    def columns(population: Population) -> Array:
        hot = [population[:, [d]] == np.arange(1, options) for d, options in enumerate(cardinalities)]
        return np.hstack([np.ones((len(population), 1)), *hot])

    numbers, *_ = np.linalg.lstsq(columns(known) / ms[:, None], np.ones(len(ms)), rcond=None)
    found: Array = np.maximum(columns(asked) @ numbers, ms.min() / 2)
    return found


def _all(space: Space) -> Population:
    """Every genotype, in the order of a C array."""
    grid = np.indices(tuple(space.cardinalities), dtype=np.uint8)
    return np.ascontiguousarray(grid.reshape(len(space.decisions), -1).T)

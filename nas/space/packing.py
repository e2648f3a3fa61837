"""Packing: genotypes as few whole numbers, so that an index of millions of them stays small.

The options of neighbouring decisions are the digits of one number, in mixed radix: in `mobile` all 28 fit into one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Words = NDArray[np.uint64]
"""uint64[N, W]: a row a genotype; equal rows are equal genotypes."""

_EXACT = 2**53
"""Below it, whole numbers are exact in float64, in which a matrix product is fast."""


class Packing:
    """Between genotypes `uint8[N, D]` and words `uint64[N, W]`, exactly, for decisions of so many options each.

    An index of an option that is not there would be taken for another genotype: who cannot be sure asks `fits`.
    """

    def __init__(self, cardinalities: ArrayLike) -> None:
        self._cardinalities = np.asarray(cardinalities, dtype=np.int64)
        cuts, size = [0], 1
        for place, options in enumerate(self._cardinalities.tolist()):
            if size * options > _EXACT:
                cuts.append(place)
                size = 1
            size *= options
        self._spans = [slice(*span) for span in zip(cuts, [*cuts[1:], self.decisions], strict=True)]
        self._radices = np.ones(self.decisions)
        for span in self._spans:
            for place in range(span.stop - 2, span.start - 1, -1):
                self._radices[place] = self._radices[place + 1] * self._cardinalities[place + 1]

    @property
    def decisions(self) -> int:
        """Width of a genotype, D."""
        return len(self._cardinalities)

    @property
    def words(self) -> int:
        """Width of a packed genotype, W."""
        return len(self._spans)

    def fits(self, population: NDArray[np.uint8]) -> bool:
        """Whether every index is one of an option."""
        return bool((population.max(axis=0, initial=0) < self._cardinalities).all())

    def pack(self, population: NDArray[np.uint8]) -> Words:
        """Genotypes as words."""
        packed = np.empty((len(population), self.words), dtype=np.uint64)
        for word, span in enumerate(self._spans):
            packed[:, word] = population[:, span] @ self._radices[span]
        return packed

    def unpack(self, packed: Words) -> NDArray[np.uint8]:
        """The inverse of `pack`."""
        population = np.empty((len(packed), self.decisions), dtype=np.uint8)
        for word, span in enumerate(self._spans):
            rest = packed[:, word]
            for place in range(span.stop - 1, span.start - 1, -1):
                rest, digit = np.divmod(rest, np.uint64(self._cardinalities[place]))
                population[:, place] = digit
        return population

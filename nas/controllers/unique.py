"""A wrapper that keeps any controller from asking for what is known already."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.random import Generator

from nas.controllers.controller import Controller, Values
from nas.space.index import GenotypeIndex
from nas.space.space import Population, Space

TRIES = 8
SMALL = 100_000


class Unique:
    """Replaces repeats in what `inner` asks for by further asks, then by random genotypes.

    Where `inner` asks for something new, that comes first and in its order.

    `known` holds everything told so far and is kept up to date by its owner. In a space of at most 100,000
    genotypes what is left to evaluate is found for certain; repeats are asked for only when nothing is left.
    """

    def __init__(self, inner: Controller, space: Space, known: GenotypeIndex) -> None:
        self._inner = inner
        self._space = space
        self._known = known

    def ask(self, n: int, rng: Generator) -> Population:
        """`n` genotypes, different from each other and from all known ones as far as the space allows."""
        kept = self._inner.ask(n, rng)
        kept = kept[self._known.first_new(kept)]
        for _ in range(TRIES):
            if len(kept) == n:
                return kept
            drafts = np.concatenate([kept, self._inner.ask(2 * (n - len(kept)), rng)])
            kept = drafts[self._known.first_new(drafts, len(kept))][:n]
        drafts = np.concatenate([kept, self._fallback(n, rng)])
        fresh = self._known.first_new(drafts)
        return np.concatenate([drafts[fresh], drafts[~fresh]])[:n]

    def _fallback(self, n: int, rng: Generator) -> Population:
        """At least `n` random genotypes; of a small space, all of them."""
        if self._space.size > SMALL:
            return self._space.canonical(self._space.sample(n, rng))
        everything = self._everything[rng.permutation(len(self._everything))]
        return everything[np.arange(max(n, len(everything))) % len(everything)]

    def tell(self, population: Population, values: Values, violations: Values) -> None:
        self._inner.tell(population, values, violations)

    @cached_property
    def _everything(self) -> Population:
        return self._space.enumerate()

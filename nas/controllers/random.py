"""Random search."""

from __future__ import annotations

from numpy.random import Generator

from nas.controllers.controller import Values
from nas.space.space import Population, Space


class Random:
    """Uniform over raw genotypes: the yardstick for every other controller."""

    def __init__(self, space: Space) -> None:
        self._space = space

    @classmethod
    def sized(cls, space: Space, initial: Population, budget: int | None) -> Random:
        return cls(space)

    def ask(self, n: int, rng: Generator) -> Population:
        return self._space.canonical(self._space.sample(n, rng))

    def tell(self, population: Population, values: Values, violations: Values) -> None:
        """Nothing to learn."""

"""NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017) on arrays, with constrained domination."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nas.controllers.controller import Values
from nas.cost.front import crowding, ranks
from nas.space.space import Population, Space


class NSGA2:
    """Keeps the best `size` of parents and children: first by layer of domination, then by crowding distance.

    Children come from binary tournaments by the same order, uniform crossover and one mutated decision.
    """

    def __init__(self, space: Space, initial: Population, size: int = 400) -> None:
        self._space = space
        self._initial = initial
        self._size = size
        self._alive: Population = initial[:0]
        self._values: Values = np.zeros((0, 0))
        self._violations: Values = np.zeros(0)
        self._told = 0

    @classmethod
    def sized(cls, space: Space, initial: Population, budget: int | None) -> NSGA2:
        """With a population that leaves room for some 20 generations within the budget."""
        return cls(space, initial, 400 if budget is None else min(400, max(10, budget // 20)))

    def ask(self, n: int, rng: Generator) -> Population:
        """The initial genotypes, random ones until the population is full, then children."""
        if self._told < self._size:
            start = self._initial[self._told : self._told + n]
            return self._space.canonical(np.concatenate([start, self._space.sample(n - len(start), rng)]))
        mothers, fathers = (self._alive[self._winners(n, rng)] for _ in range(2))
        children = self._space.crossover(mothers, fathers, rng)
        return self._space.canonical(self._space.mutate(children, rng))

    def tell(self, population: Population, values: Values, violations: Values) -> None:
        """Parents and children compete; the survivors stay sorted from best to worst."""
        self._told += len(population)
        values = np.concatenate([self._values.reshape(-1, values.shape[1]), values])
        violations = np.concatenate([self._violations, violations])
        order = survival(values, violations)[: self._size]
        self._alive = np.concatenate([self._alive, population])[order]
        self._values, self._violations = values[order], violations[order]

    def _winners(self, n: int, rng: Generator) -> NDArray[np.int64]:
        """Of two rivals the one that stands earlier: int64[n]."""
        rivals = rng.integers(len(self._alive), size=(n, 2))
        return np.asarray(rivals.min(axis=1), dtype=np.int64)


def survival(values: Values, violations: Values) -> NDArray[np.int64]:
    """Indices from first to last to survive, for values `float64[N, m]` and violations `float64[N]`.

    What breaks a bound comes after all that meets them, by how much it breaks them (section VI, constrained
    domination); the rest by layer, and within a layer the least crowded first.
    """
    layers = np.zeros(len(values), dtype=np.int64)
    distance = np.zeros(len(values))
    feasible = np.flatnonzero(violations <= 0)
    if len(feasible):
        layers[feasible] = ranks(values[feasible])
        distance[feasible] = crowding(values[feasible], layers[feasible])
    return np.lexsort((-distance, layers, violations))

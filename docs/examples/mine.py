"""A controller and an accuracy of one's own, `mine:Climber` and `mine:Sparing` (docs/own.md)."""

import numpy as np

from nas.controllers.controller import ranking
from nas.cost import counts


class Climber:
    """Asks for mutations of the best so far."""

    def __init__(self, space, initial, budget):
        self.space = space
        self.best = None  # genotype, value, violation

    def ask(self, n, rng):
        if self.best is None:
            return self.space.canonical(self.space.sample(n, rng))
        parents = np.repeat(self.best[0][None], n, axis=0)
        return self.space.canonical(self.space.mutate(parents, rng))

    def tell(self, population, values, violations):
        if self.best is not None:
            population = np.concatenate([self.best[0][None], population])
            values = np.concatenate([self.best[1][None], values])
            violations = np.concatenate([[self.best[2]], violations])
        first = ranking(values[:, 0], violations)[0]
        self.best = population[first].copy(), values[first].copy(), violations[first]


class Sparing:
    """The fewer parameters, the better."""

    label, unit, provenance = "sparing", "", "minus the logarithm of the parameters"
    fingerprint = "sparing/1"  # another one wherever figures would differ: a run is then not gone on with

    def __init__(self, space, means):
        self.params = counts.params(space)

    def __call__(self, population):
        return -np.log(self.params(population))

    def uncertainty(self, population):
        return np.zeros(len(population))

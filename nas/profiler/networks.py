"""Which whole networks are measured: some calibrate a table, others check it."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from nas.blocks.architecture import Architecture
from nas.profiler.fit import counts
from nas.space.space import Space

CANDIDATES = 1_000
SPREAD = 0.3
"""Standard deviation of a decision about its network's size, as a share of its options."""


def calibrating(space: Space, n: int, rng: Generator) -> list[Architecture]:
    """`n` networks, or all of a smaller space, in which every layer of the space stands about as often as any other.

    Greedy: of a thousand from small to large, each time the one whose layers stand least often in those chosen before.
    Networks drawn uniformly would leave layers out, and the ends of the range, where bounds lie.
    """
    candidates = ranged(space, CANDIDATES, rng)
    has = counts([network.layers for network in candidates], space.layers()) > 0
    chosen: list[int] = []
    seen = np.zeros(has.shape[1])
    for _ in range(min(n, len(candidates))):
        worth = has @ (1 / (1 + seen) ** 2) / has.sum(axis=1)
        worth[chosen] = -1
        chosen.append(int(worth.argmax()))
        seen += has[chosen[-1]]
    return [candidates[index] for index in chosen]


def random_networks(space: Space, n: int, rng: Generator) -> list[Architecture]:
    """`n` networks drawn uniformly over genotypes, no two alike as far as the space has so many."""
    population = space.canonical(space.sample(20 * n, rng))
    _, first = np.unique(population, axis=0, return_index=True)
    return [space.decode(population[row]) for row in np.sort(first)[:n]]


def ranged(space: Space, n: int, rng: Generator) -> list[Architecture]:
    """`n` networks from small to large, as far as a space has so many: where options stand in order, each has them
    all about as far up, and one is at every n-th of the way. Networks drawn uniformly are all of a middle size."""
    level = rng.permutation((np.arange(n) + rng.random(n)) / n)
    width = len(space.decisions)
    share = np.clip(level[:, None] + rng.normal(0.0, SPREAD, (n, width)), 0.0, 1.0 - 1e-9)
    population = space.canonical((share * space.cardinalities).astype(np.uint8))
    _, first = np.unique(population, axis=0, return_index=True)
    return [space.decode(population[row]) for row in np.sort(first)]

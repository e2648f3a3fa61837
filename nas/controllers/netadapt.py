"""NetAdapt (arXiv:1804.03230), with MobileNetV3's choice among proposals (arXiv:1905.02244, section 4.2).

From a network that breaks the bounds, one decision is changed at a time. A round proposes, for every decision, the
option that lowers the excess over the bounds by at least one step, and least of those. All are evaluated; the one that
loses least value per excess is gone on from, until the bounds are met. Then all is done again in half the step.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nas.controllers.controller import Excess, Values
from nas.cost.counts import macs
from nas.space.space import Population, Space

FIRST_STEPS, MOST_STEPS = 4, 100
"""From the start to the bounds: where no budget says how many, and at most; MobileNetV3's step is a hundredth."""
HALVINGS = 6
"""Of a step that no decision alone can make; then whatever lowers the excess will do."""


class NetAdapt:
    """Starts at the first of the genotypes worth asking for, or at the largest network where that meets the bounds."""

    def __init__(self, space: Space, initial: Population, steps: int, excess: Excess) -> None:
        self._space, self._steps, self._excess = space, steps, excess
        first = initial[0] if (excess(initial[:1]) > 0).any() else _largest(space)
        self._start = self._current = first
        known = np.concatenate([initial, first[None]])
        self._proposals = known[np.argsort(excess(known), kind="stable")]
        """Of this round; of the first one whatever is worth asking for, first what meets the bounds."""
        self._begun = False
        self._values: dict[bytes, float] = {}
        """Of all that was told."""
        self.ended = False
        """Whether there is nothing left to propose."""

    @classmethod
    def sized(cls, space: Space, initial: Population, budget: int | None, excess: Excess) -> NetAdapt:
        """With as many steps from the start to the bounds as the budget is enough for."""
        decisions = max(1, int((space.cardinalities > 1).sum()))
        steps = FIRST_STEPS if budget is None else min(MOST_STEPS, max(1, budget // decisions))
        return cls(space, initial, steps, excess)

    def ask(self, n: int, rng: Generator) -> Population:
        """What the round proposes and is not known yet; mutants of its network where that is less."""
        asked = self._proposals[[genotype.tobytes() not in self._values for genotype in self._proposals]][:n]
        mutants = self._space.mutate(np.repeat(self._current[None], n - len(asked), axis=0), rng)
        return np.concatenate([asked, self._space.canonical(mutants)])

    def tell(self, population: Population, values: Values, violations: Values) -> None:
        """Ends the round, and those after it, of which all is known now."""
        self._values |= zip(map(bytes, population), values[:, 0].tolist(), strict=True)
        while not self.ended and all(genotype.tobytes() in self._values for genotype in self._proposals):
            if self._begun:
                self._current = self._best()
            self._begun = True
            self._proposals = self._smaller()
            if not len(self._proposals) and 2 * self._steps <= MOST_STEPS:  # the bounds are met: once more
                self._steps, self._current = 2 * self._steps, self._start
                self._proposals = self._smaller()
            self.ended = not len(self._proposals)

    def _best(self) -> NDArray[np.uint8]:
        """The proposal that gains most, or loses least, per excess that it is rid of."""
        values = np.array([self._values[genotype.tobytes()] for genotype in self._proposals])
        rid = self._excess(self._current[None]) - self._excess(self._proposals)
        gains = (values - self._values[self._current.tobytes()]) / rid
        return cast(NDArray[np.uint8], self._proposals[gains.argmax()])

    def _smaller(self) -> Population:
        """For every decision the change that leaves most excess of those that lower it by a step, or end it; none
        where the bounds are met already."""
        now = float(self._excess(self._current[None])[0])
        if now <= 0:
            return self._start[None][:0]
        options = self._space.cardinalities
        decisions = np.repeat(np.arange(len(options)), options)
        changed = np.repeat(self._current[None], len(decisions), axis=0)
        changed[np.arange(len(decisions)), decisions] = np.concatenate([np.arange(n) for n in options])
        left = self._excess(changed)
        step = float(self._excess(self._start[None])[0]) / self._steps
        for halved in [*(step / 2**n for n in range(HALVINGS)), 0.0]:
            enough = np.flatnonzero((left <= max(now - halved, 0.0)) & (left < now))
            if len(enough):
                break
        order = enough[np.lexsort((-left[enough], decisions[enough]))]
        _, first = np.unique(decisions[order], return_index=True)
        return self._space.canonical(changed[order[first]])


def _largest(space: Space) -> NDArray[np.uint8]:
    return cast(NDArray[np.uint8], space.canonical((macs(space) * -1.0).cheapest()[None])[0])

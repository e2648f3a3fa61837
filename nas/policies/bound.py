"""Bounds inside the loss: dual ascent on log(E[cost] / bound), so that one run ends at the bound.

A maximum, such as peak memory, has no expectation of this kind. Options that are over its bound in some place of the
network can never be within it, whatever else is chosen: what is driven to 0 is how many such places are expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nas.cost.cost import latencies_of
from nas.cost.factors import Factors
from nas.space.space import Population

RATE = 0.1
"""Of dual ascent."""
DAMPING = 4.0
"""Weight of the squared excess (augmented Lagrangian), which keeps multiplier and expectation from circling."""
TWO_SIDED = "latency_ms"
"""The bound that is aimed at rather than only kept: latency that is not used is accuracy given away, as in the
absolute reward of TuNAS (arXiv:2008.06120, section 3.2). Of several targets it is whichever is tightest at a step."""


class Latency(Protocol):
    """What policies know of latency, in ms: a cost as Factors, or the `Tightest` of several."""

    def __call__(self, genotypes: Population) -> NDArray[np.float64]:
        """Of each of N genotypes, `float64[N]`."""

    def expected_cost(self, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        """Of independent decisions, a scalar that is differentiable in the probabilities."""


class Tightest:
    """Latency on whichever target is tightest for its bound, as so many ms of the first target's bound."""

    def __init__(self, limits: Sequence[tuple[Factors, float]]) -> None:
        self._costs = [cost * (limits[0][1] / bound) for cost, bound in limits]

    def __call__(self, genotypes: Population) -> NDArray[np.float64]:
        return np.asarray(np.max([cost(genotypes) for cost in self._costs], axis=0))

    def expected_cost(self, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack([cost.expected_cost(probabilities) for cost in self._costs]).max()


class Bounds:
    """Multipliers of the bounds, and the term that they add to a policy's loss.

    The Lagrangian of `min loss subject to E[cost_k] ≤ bound_k` with logarithms of both sides; its multiplier moves
    along the logarithm of the excess after each step and stays at or above 0, but for latency. Of a maximum it is that
    of `E[places over bound_k] = 0`.
    """

    def __init__(self, costs: Mapping[str, Factors], bounds: Mapping[str, float]) -> None:
        self.bounds = dict(bounds)
        self.costs = {name: costs[name] for name in bounds}
        self._over = {name: cost.excess(bounds[name]) for name, cost in self.costs.items() if cost.fold == "max"}
        self.latencies = latencies_of(bounds)
        others = [name for name in bounds if name not in self.latencies]
        self.multipliers = dict.fromkeys([*([TWO_SIDED] if self.latencies else []), *others], 0.0)

    def excesses(self, probabilities: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """log(E[cost] / bound) of each sum, of latencies the largest; E[places over the bound] of each maximum: float64
        scalars with gradients; the expectations are exact."""
        own = [p.cpu() for p in probabilities]
        found = {
            name: self._over[name].expected_cost(own)
            if name in self._over
            else torch.log(cost.expected_cost(own) / self.bounds[name])
            for name, cost in self.costs.items()
        }
        times = [found.pop(name) for name in self.latencies]
        return {TWO_SIDED: torch.stack(times).max(), **found} if times else found

    def term(self, excesses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The term that is added to the loss, a float64 scalar."""
        total = torch.zeros((), dtype=torch.float64)
        for name, excess in excesses.items():
            squared = excess if name == TWO_SIDED else excess.clamp_min(0)
            total = total + self.multipliers[name] * excess + DAMPING / 2 * squared**2
        return total

    def ascend(self, excesses: Mapping[str, torch.Tensor]) -> None:
        """One step of dual ascent for each multiplier."""
        for name, excess in excesses.items():
            moved = self.multipliers[name] + RATE * float(excess.detach())
            self.multipliers[name] = moved if name == TWO_SIDED else max(0.0, moved)

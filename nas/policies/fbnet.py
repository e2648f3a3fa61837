"""FBNet (arXiv:1812.03443): every candidate is a branch, weighted by a Gumbel-softmax of the logits."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
import torch
from numpy.random import Generator
from torch.nn.functional import cross_entropy

from nas.policies.bound import Latency
from nas.policies.policy import FreePolicy
from nas.space.space import Space
from nas.supernet.multi_path import MultiPath
from nas.supernet.shares import shares_of
from nas.supernet.supernet import Supernet

ALPHA, BETA = 0.2, 0.6
"""Of eq. 2, as in section 4.1."""
HOTTEST, COLDEST = 5.0, 0.2
"""Temperature of the Gumbel-softmax: 5 at first (section 4.1), annealed exponentially."""
LEAST_SHARE = 0.01
"""Branches that a draw leaves less than this are not computed: when it is cold, that is most of them."""


class FBNet(FreePolicy):
    """Weights and logits follow the loss of the whole mixture.

    The loss is `CE · α log(LAT)^β` (eq. 2), LAT in microseconds, so that the logarithm is positive for whatever takes
    over 1 µs; `docs/policies.md` says what is ambiguous about it. LAT is the exact expected latency under the sampled
    weights. Decisions that a stage shares get one Gumbel draw together. For two steps of the
    weights there is one of the logits (the paper has four to one, over many more steps).
    """

    every: ClassVar[int] = 2

    def __init__(self, space: Space, latency: Latency) -> None:
        super().__init__(space)
        self.latency = latency
        self.temperature = HOTTEST

    @classmethod
    def of(cls, space: Space, supernet: Supernet, latency: Latency, target_ms: float) -> FBNet:
        return cls(space, latency)

    def begin_step(self, progress: float) -> None:
        self.temperature = HOTTEST * (COLDEST / HOTTEST) ** progress

    def weights_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        """Cross-entropy of the mixture; the logits get no gradient from training pictures."""
        with torch.no_grad():
            chances = self._relaxed(rng)
        return self._mixture_loss(supernet, x, y, chances)

    def policy_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        """Eq. 2."""
        chances = self._relaxed(rng)
        microseconds = 1_000 * self.latency.expected_cost([chance.cpu() for chance in chances])
        loss = self._mixture_loss(supernet, x, y, chances)
        return loss * ALPHA * microseconds.log().clamp_min(1e-6).float().to(loss.device) ** BETA

    def _mixture_loss(
        self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, chances: list[torch.Tensor]
    ) -> torch.Tensor:
        shares = [shares_of(choice, chances) for choice in supernet.choices]
        return cross_entropy(cast(MultiPath, supernet).mixed(x, shares, LEAST_SHARE), y)

    def _relaxed(self, rng: Generator) -> list[torch.Tensor]:
        """Gumbel-softmax (eq. 5 and 6): one float32[options] a decision."""
        relaxed = []
        for logits in self.logits():
            noise = torch.from_numpy(rng.gumbel(size=len(logits)).astype(np.float32)).to(logits.device)
            relaxed.append(((logits.log_softmax(0) + noise) / self.temperature).softmax(0))
        return relaxed

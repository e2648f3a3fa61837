"""TuNAS (arXiv:2008.06120): policy gradient on shared weights, with the absolute reward."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator

from nas.policies.bound import Latency
from nas.policies.policy import LEAST, FreePolicy
from nas.space.space import Space
from nas.supernet.supernet import Supernet

SAMPLES = 4
"""Networks a step; the mean of the others is each one's baseline."""
BETA = -0.07
"""Of the absolute reward, section 3.2."""


class Reinforce(FreePolicy):
    """REINFORCE (Williams 1992) on the reward `accuracy + β |latency / target - 1|` (eq. 3).

    The paper has one sample a step and a moving average for a baseline. On small batches, accuracy varies more from
    batch to batch than from network to network, so several networks see the same batch here, and each one's baseline is
    the mean of the others.
    """

    def __init__(self, space: Space, latency: Latency, target_ms: float) -> None:
        super().__init__(space)
        self.latency = latency
        self.target_ms = target_ms

    @classmethod
    def of(cls, space: Space, supernet: Supernet, latency: Latency, target_ms: float) -> Reinforce:
        return cls(space, latency, target_ms)

    def weights_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(supernet(x, self.sample(rng)), y)

    def policy_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        """Minus the advantage times the log-probability, averaged over the networks."""
        genotypes = np.stack([self.sample(rng) for _ in range(SAMPLES)])
        with torch.no_grad():
            right = [float((supernet(x, genotype).argmax(1) == y).float().mean()) for genotype in genotypes]
        rewards = np.array(right) + BETA * np.abs(self.latency(genotypes) / self.target_ms - 1)
        advantages = (rewards - rewards.mean()) * SAMPLES / (SAMPLES - 1)
        logs = [p.clamp_min(LEAST).log() for p in self.probabilities()]
        total = torch.zeros(())
        for genotype, advantage in zip(genotypes, advantages, strict=True):
            total = total - advantage * torch.stack([log[int(o)] for log, o in zip(logs, genotype, strict=True)]).sum()
        return total / SAMPLES

"""ProxylessNAS (arXiv:1812.00332): one sampled path for the weights, two for the architecture."""

from __future__ import annotations

import torch
from numpy.random import Generator
from torch.nn.functional import cross_entropy

from nas.policies.bound import Latency
from nas.policies.policy import FreePolicy
from nas.space.space import Space
from nas.supernet.supernet import Genotype, Supernet


class Proxyless(FreePolicy):
    """The logits follow the loss of two networks at once, each slot weighted by their probabilities.

    The paper samples two different candidates a layer; here, where a decision may settle several layers, two genotypes
    that differ in every decision are sampled, and a slot's weights are the chances of their options there, scaled to
    sum to 1 (section 3.2.1). The gradient is then opposite for the two and zero for all other options, so that their
    total chance stays what it was.
    """

    @classmethod
    def of(cls, space: Space, supernet: Supernet, latency: Latency, target_ms: float) -> Proxyless:
        return cls(space)

    def weights_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        return cross_entropy(supernet(x, self.sample(rng)), y)

    def policy_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        chances = self.probabilities()
        first = self.sample(rng)
        second = self._other(first, chances, rng)
        shares = []
        for choice in supernet.choices:
            one, other = (
                torch.stack([chances[d][int(genotype[d])] for d in choice.decisions] or [torch.ones(())]).prod()
                for genotype in (first, second)
            )
            shares.append(one / (one + other).clamp_min(1e-12))
        return cross_entropy(supernet.paired(x, first, second, shares), y)

    @torch.no_grad()
    def _other(self, first: Genotype, chances: list[torch.Tensor], rng: Generator) -> Genotype:
        """For every decision another option than `first` has, by the chances of those left."""
        second = first.copy()
        for decision, chance in enumerate(chances):
            if len(chance) > 1:
                left = chance.double().cpu().numpy().clip(1e-12)
                left[first[decision]] = 0
                second[decision] = rng.choice(len(left), p=left / left.sum())
        return second

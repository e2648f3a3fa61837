"""The contract of a policy: independent option probabilities per decision, trained with a supernet by gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import nn

from nas.cost.factors import Factor, Factors
from nas.policies.bound import Latency
from nas.space.space import Space
from nas.supernet.supernet import Genotype, Supernet

LEAST = 1e-9
"""Below this probability all options are equally out of the question."""


class Policy(nn.Module, ABC):
    """Chances of the options of every decision, independent of each other.

    `nas.policies.descent` trains it: in every step the weights of the supernet follow `weights_loss` on training
    pictures, then the policy's own parameters follow `policy_loss` on pictures held out of them. A `joint` policy
    learns from the first loss alone, on training pictures, together with the weights. The latency bound and the entropy
    are the descent's business.
    """

    joint: ClassVar[bool] = False
    every: ClassVar[int] = 1
    """Steps of the weights for one of the policy."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    @classmethod
    @abstractmethod
    def of(cls, space: Space, supernet: Supernet, latency: Latency, target_ms: float) -> Policy:
        """The policy for a space and its supernet, given the latency and its bound in ms."""

    @abstractmethod
    def logits(self) -> list[torch.Tensor]:
        """One float32[options] a decision, differentiable in the parameters."""

    @abstractmethod
    def weights_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        """A scalar for the supernet's weights, on training pictures float32[N,3,H,W] and labels int64[N]."""

    @abstractmethod
    def policy_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        """A scalar for the policy's parameters, on pictures held out."""

    def begin_step(self, progress: float) -> None:
        """Called before each step of learning with the share of it that is done, 0 to 1."""

    def probabilities(self) -> list[torch.Tensor]:
        """One float32[options] a decision, each summing to 1."""
        return [logits.softmax(0) for logits in self.logits()]

    def entropy(self) -> torch.Tensor:
        """Mean over decisions of entropy / log(options): 1 is undecided, 0 is decided; a scalar."""
        shares = [-(p * p.clamp_min(LEAST).log()).sum() / np.log(len(p)) for p in self.probabilities() if len(p) > 1]
        return torch.stack(shares).mean() if shares else torch.zeros(())

    @torch.no_grad()
    def sample(self, rng: Generator) -> Genotype:
        """A genotype `uint8[D]`, drawn from these probabilities."""
        return np.array(
            [np.searchsorted(_cumulative(p), rng.random(), side="right") for p in self.probabilities()], dtype=np.uint8
        )

    @torch.no_grad()
    def argmax(self) -> Genotype:
        """The likeliest option of every decision, whatever it costs: `uint8[D]`."""
        return np.array([int(p.argmax()) for p in self.probabilities()], dtype=np.uint8)

    @torch.no_grad()
    def log_probability(self) -> Factors:
        """Natural logarithm of a genotype's probability, as Factors: what a solver maximises within the bounds."""
        chances = [p.double().clamp_min(LEAST).log().cpu().numpy() for p in self.probabilities()]
        terms = [Factor((decision,), chance) for decision, chance in enumerate(chances)]
        return Factors.of([len(chance) for chance in chances], 0.0, terms)


class FreePolicy(Policy):
    """A policy whose logits are its parameters."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.free = Logits(space)

    def logits(self) -> list[torch.Tensor]:
        return self.free()  # type: ignore[no-any-return]


class Logits(nn.Module):
    """Free logits, all options equally likely at first."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.values = nn.ParameterList(torch.zeros(len(decision.options)) for decision in space.decisions)

    def forward(self) -> list[torch.Tensor]:
        """One float32[options] a decision."""
        return list(self.values)


def _cumulative(probabilities: torch.Tensor) -> NDArray[np.float64]:
    """Upper ends of the options' shares of 0..1, the last left out: it takes what rounding leaves."""
    total = probabilities.double().cpu().numpy().cumsum()
    return np.asarray(total[:-1] / total[-1])

"""WeightTraining: the weights of a supernet following a loss, step by step, resumable from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from numpy.random import Generator

from nas.data.batches import Augmentation, train_batch
from nas.data.data import Data, Split
from nas.supernet.supernet import Supernet
from nas.system.pace import to_go
from nas.training.processes import Processes, alone
from nas.training.stepper import Stepper, sgd

LINES, LINE_S = 10, 10.0
"""Lines that a training has told of itself, at most, and seconds between two of them, at least."""


@dataclass(frozen=True, kw_only=True)
class WeightSettings:
    """How weights are trained: SGD with Nesterov's momentum, a short warm-up, then a cosine to zero."""

    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-5
    """Of convolutions and linear layers."""
    clip: float = 5.0
    """Largest norm of a gradient."""
    warm_up: int = 50
    """Steps in which the learning rate rises."""

    @classmethod
    def of(cls, supernet: Supernet) -> WeightSettings:
        """For a kind of supernet: its own batch, and a learning rate in proportion (arXiv:1706.02677, section 2.1)."""
        return cls(batch=supernet.batch, learning_rate=cls.learning_rate * supernet.batch / cls.batch)


@dataclass(eq=False)
class WeightTraining:
    """A supernet with its optimiser and its data.

    Several processes do the same steps, each on its part of the pictures, with the mean of their gradients.
    """

    supernet: Supernet
    data: Data
    planned: int
    """Steps."""
    seed: int
    given: WeightSettings | None = None
    """None: those of the supernet's kind."""
    processes: Processes | None = None
    path: Path | None = None
    """Of its checkpoint."""
    fingerprint: str = ""
    """Of everything that the checkpoint depends on."""

    def __post_init__(self) -> None:
        self.team = self.processes or alone()
        self.device = self.team.device
        self.supernet = self.supernet.to(self.device)
        self.team.share([parameter.detach() for parameter in self.supernet.parameters()])
        self.settings = self.given or WeightSettings.of(self.supernet)
        self.stepper = Stepper(
            network=self.supernet,
            optimiser=sgd(self.supernet, self.settings.momentum, self.settings.weight_decay),
            rate=self.rate,
            clip=self.settings.clip,
            planned=self.planned,
            batch=self.settings.batch,
            team=self.team,
            path=self.path,
            identity={"space, data set or seed": self.fingerprint},
            names=("weight/", "momentum/"),
            former=self.supernet.former_names(),
            diverged="Start again with another --seed, or with more --budget, in which the learning rate falls slower.",
            short="Lower --proxy-resolution, or search with a superkernel (--controller single-path, proxyless or "
            "reinforce) rather than with fbnet.",
        )

        self._losses: list[float] = []
        """Since the last line."""
        self._said = monotonic()

    def rng(self, step: int, purpose: int) -> Generator:
        """The generator of one use of randomness in one step."""
        return np.random.default_rng([self.seed, 2, step, purpose])

    def batch(self, step: int, split: Split | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's pictures float32[N,3,S,S] and labels int64[N] of a step; of the training split by default."""
        x, y = self.team.part(*train_batch(self.data, step, self.settings.batch, self.seed, Augmentation(), split))
        return x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)

    def step(self, step: int, backward: Callable[[], float]) -> float:
        """One step along the gradient that `backward` computes; returns the loss that it returns. Both are means over
        processes. Raises `NasError` where one is not finite."""
        loss = self.stepper.follow(step, lambda: self.team.mean(self.supernet.parameters(), backward()))
        self._say(step + 1, loss)
        return loss

    def _say(self, done: int, loss: float) -> None:
        """Have a line told at every tenth of the steps, if some time has passed."""
        self._losses.append(loss)
        now = monotonic()
        if done * LINES // self.planned > (done - 1) * LINES // self.planned and now - self._said >= LINE_S:
            left = to_go(self.stepper.left)
            mean = sum(self._losses) / len(self._losses)
            line = f"supernet: step {done:,} of {self.planned:,} · loss {mean:.3f}" + (f" · {left}" if left else "")
            self.stepper.teller.say(line)
            self._losses, self._said = [], now

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rising = min(1.0, (step + 1) / min(self.settings.warm_up, max(1, self.planned // 10)))
        return self.settings.learning_rate * rising * (1 + cos(pi * step / self.planned)) / 2

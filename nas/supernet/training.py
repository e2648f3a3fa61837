"""WeightTraining: the weights of a supernet following a loss, step by step, resumable from a checkpoint.

Whatever a step uses follows from its number and the seed: its batch, its networks, its learning rate. So a run that
goes on from a checkpoint does what it would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, isfinite, pi
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from nas.data.batches import Augmentation, train_batch
from nas.data.data import Data, Split
from nas.errors import NasError, OutOfMemory, RunError
from nas.supernet.supernet import Supernet
from nas.system.checkpoint import read_checkpoint, write_checkpoint
from nas.training.fit import is_out_of_memory
from nas.training.processes import Processes, alone

CHECKPOINT_SECONDS = 20.0


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


class WeightTraining:
    """A supernet with its optimiser and its data.

    Several processes do the same steps, each on its part of the pictures, with the mean of their gradients.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: Data,
        planned: int,
        seed: int,
        settings: WeightSettings | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.team = processes or alone()
        self.device = self.team.device
        self.supernet = supernet.to(self.device)
        self.team.share([parameter.detach() for parameter in supernet.parameters()])
        self.data = data
        self.planned = planned
        self.seed = seed
        self.settings = settings or WeightSettings.of(supernet)
        named = list(supernet.named_parameters())
        groups = [
            {"params": [p for _, p in named if p.dim() > 1], "weight_decay": self.settings.weight_decay},
            {"params": [p for _, p in named if p.dim() <= 1], "weight_decay": 0.0},
        ]
        self._names = [name for dims in (True, False) for name, p in named if (p.dim() > 1) == dims]
        self.optimiser = torch.optim.SGD(
            groups, lr=self.settings.learning_rate, momentum=self.settings.momentum, nesterov=True
        )

    def rng(self, step: int, purpose: int) -> Generator:
        """The generator of one use of randomness in one step."""
        return np.random.default_rng([self.seed, 2, step, purpose])

    def batch(self, step: int, split: Split | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's pictures float32[N,3,S,S] and labels int64[N] of a step; of the training split unless told
        otherwise."""
        x, y = self.team.part(*train_batch(self.data, step, self.settings.batch, self.seed, Augmentation(), split))
        return x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)

    def step(self, step: int, backward: Callable[[], float]) -> float:
        """Let the weights follow the gradient that `backward` leaves in them; returns the loss that it returns. Both
        are means over processes.

        Raises `NasError` where the loss is not finite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.team.mean(self.supernet.parameters(), backward())
        check_finite(step, loss)
        norm = torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), self.settings.clip)
        check_finite(step, norm.item())
        self.optimiser.step()
        return loss

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rising = min(1.0, (step + 1) / min(self.settings.warm_up, max(1, self.planned // 10)))
        return self.settings.learning_rate * rising * (1 + cos(pi * step / self.planned)) / 2

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that a checkpoint needs of it."""
        weights = {f"weight/{name}": value for name, value in self.supernet.named_parameters()}
        return weights | {f"momentum/{name}": value for name, value in self._momenta().items()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take a checkpoint's tensors. Raises `RunError` where they are not of this supernet."""
        own = dict(self.supernet.named_parameters())
        former = self.supernet.former_names()
        tensors = {_renamed(name, former): value for name, value in tensors.items()}
        if {f"weight/{name}" for name in own} != {name for name in tensors if name.startswith("weight/")} or any(
            tensors[f"weight/{name}"].shape != value.shape for name, value in own.items()
        ):
            raise RunError("The checkpoint is of another supernet. Start a new run with another --out.")
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(tensors[f"weight/{name}"])
                moment = tensors.get(f"momentum/{name}")
                if moment is not None:
                    self.optimiser.state[value]["momentum_buffer"] = torch.empty_like(value).copy_(
                        moment
                    )  # in the weight's own memory format

    def _momenta(self) -> dict[str, torch.Tensor]:
        states = {name: self.optimiser.state.get(value, {}) for name, value in self.supernet.named_parameters()}
        found = {name: state.get("momentum_buffer") for name, state in states.items()}
        return {name: value for name, value in found.items() if value is not None}


def _renamed(name: str, former: Mapping[str, str]) -> str:
    kind, slash, parameter = name.partition("/")
    return f"{kind}{slash}{former.get(parameter, parameter)}"


def check_finite(step: int, loss: float) -> None:
    """Raise `NasError` where a loss, or the norm of its gradient, is not finite."""
    if not isfinite(loss):
        raise NasError(
            f"The loss of step {step:,} or its gradient is {loss}: training has diverged. The last checkpoint is kept; "
            "start again with another --seed, or with more --budget, which lowers the learning rate more slowly."
        )


class Checkpoints:
    """One checkpoint file, written every few seconds and on request, by the first of several processes."""

    def __init__(self, path: Path | None, fingerprint: str, first: bool = True) -> None:
        self._path = path
        self._first = first
        self._fingerprint = fingerprint
        self._last = monotonic()

    def read(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """What the file holds; None where there is none. Raises `RunError` where it is of something else."""
        if self._path is None or not self._path.is_file():
            return None
        tensors, state = read_checkpoint(self._path)
        if state.get("fingerprint") != self._fingerprint:
            raise RunError(
                f"{self._path}: this checkpoint is of another space, data set or seed. Choose another --out."
            )
        return tensors, state

    def due(self) -> bool:
        """Whether it is time to write."""
        return self._first and self._path is not None and monotonic() - self._last > CHECKPOINT_SECONDS

    def write(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Replace the file. Raises `OSError` where it cannot be written."""
        if self._first and self._path is not None:
            write_checkpoint(self._path, tensors, {**state, "fingerprint": self._fingerprint})
            self._last = monotonic()


@contextmanager
def memory_told() -> Iterator[None]:
    """Running out of memory is a message: how to need less."""
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        if not is_out_of_memory(problem):
            raise
        raise OutOfMemory(
            "Training ran out of memory; the last checkpoint is kept. Lower --proxy-resolution, or search with a "
            "superkernel (--controller single-path, proxyless or reinforce) rather than with fbnet."
        ) from None

"""Supernet: the networks of a space in one set of weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from math import sqrt
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import interpolate, pad

from nas.blocks.architecture import MAX_PARAMS, Architecture
from nas.blocks.build import build
from nas.errors import SpaceError
from nas.space.space import Space

Genotype = NDArray[np.uint8]
"""uint8[D]"""


class Supernet(nn.Module, ABC):
    """The networks of a space in one set of weights.

    Batch normalisation uses the statistics of the batch: running ones would mix those of different networks. A
    network that leaves by `standalone` gets its own by `nas.supernet.subnet.recalibrate`.
    """

    batch: ClassVar[int] = 64
    """Pictures of a training step, unless told otherwise."""

    def __init__(self, space: Space, *, inherits: bool = False) -> None:
        """One that `inherits` a network's weights has blocks as they are used; else as they are trained."""
        super().__init__()
        self.space, self.inherits = space, inherits
        trained = (choice if inherits else choice.for_training() for choice in space.candidates)
        self.choices = tuple(trained)
        held = sum(max(sum(layer.params for layer in layers) for layers in choice.chains) for choice in self.choices)
        if held > MAX_PARAMS:
            raise SpaceError(f"{space.name}: a network has at most {MAX_PARAMS:,} parameters, got up to {held:,}.")
        self._largest = max(layers[0].height for layers in self.choices[0].chains if layers)

    @abstractmethod
    def run(self, slot: int, candidate: int, x: torch.Tensor) -> torch.Tensor:
        """One candidate of one slot: float32[N,C,H,W] to the candidate's own output."""

    @abstractmethod
    def weights_of(self, slot: int, candidate: int) -> Iterator[dict[str, torch.Tensor]]:
        """For each layer of a candidate the parameters that it takes along, under the names of its own module."""

    def former_names(self) -> dict[str, str]:
        """Names of parameters in checkpoints of version 0.1, with those that they have now, where they differ."""
        return {}

    def forward(self, x: torch.Tensor, genotype: Genotype) -> torch.Tensor:
        """The network of one genotype on pictures float32[N,C,H,W]: logits float32[N, classes]."""
        return deque(self.values(x, genotype), 1).pop()

    def values(self, x: torch.Tensor, genotype: Genotype, first: int = 0) -> Iterator[torch.Tensor]:
        """What each slot of the network gives, from the slot `first` on, which takes x; the last are the logits."""
        for slot, choice in enumerate(self.choices[first:], first):
            candidate = choice.candidate(genotype)
            if not slot:
                x = self._sized(x, candidate)
            x = self.run(slot, candidate, x)
            yield x

    def paired(
        self, x: torch.Tensor, first: Genotype, second: Genotype, shares: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Two networks at once, slot by slot: `shares[s]` of the first's output and the rest of the second's.

        Where both have the same candidate it runs once. Logits float32[N, classes].
        """
        for slot, choice in enumerate(self.choices):
            one, other = choice.candidate(first), choice.candidate(second)
            if one == other:
                x = self.run(slot, one, self.fitted(x, slot, one))
                continue
            left = self.run(slot, one, self.fitted(x, slot, one))
            right = self.run(slot, other, self.fitted(x, slot, other))
            width = max(left.shape[1], right.shape[1])
            x = shares[slot] * widened(left, width) + (1 - shares[slot]) * widened(right, width)
        return x

    def decode(self, genotype: Genotype) -> Architecture:
        """The network of one genotype in the form in which it is trained here."""
        network = self.space.decode(genotype)
        return network if self.inherits else network.for_training()

    def standalone(self, genotype: Genotype) -> nn.Sequential:
        """The network of one genotype by itself, as `decode` gives it, with a copy of its weights.

        It computes the same function in training mode; its running statistics are not set.
        """
        with torch.device("meta"):
            network = build(self.decode(genotype))
        network = network.to_empty(device=next(self.parameters()).device)
        layers = iter(network.children())
        with torch.no_grad():
            for slot, choice in enumerate(self.choices):
                for weights in self.weights_of(slot, choice.candidate(genotype)):
                    own = dict(next(layers).named_parameters())
                    for name, value in weights.items():
                        own[name].copy_(value)
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.reset_running_stats()
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def fitted(self, x: torch.Tensor, slot: int, candidate: int) -> torch.Tensor:
        """The input that a candidate takes: the first of its channels, where another path had more or less."""
        layers = self.choices[slot].chains[candidate]
        return fitted(x, layers[0].in_channels) if layers else x

    def _sized(self, x: torch.Tensor, stem: int) -> torch.Tensor:
        """Pictures in proportion to the resolution that a network is for, where the space has several."""
        layers = self.choices[0].chains[stem]
        if not layers or layers[0].height == self._largest:
            return x
        size = [max(1, round(side * layers[0].height / self._largest)) for side in x.shape[2:]]
        return interpolate(x, size, mode="bilinear", antialias=True)


def widened(x: torch.Tensor, channels: int) -> torch.Tensor:
    """With channels of zeros behind, up to so many."""
    return x if x.shape[1] == channels else pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def fitted(x: torch.Tensor, channels: int) -> torch.Tensor:
    """The first so many channels, or all and zeros behind."""
    return x[:, :channels] if x.shape[1] > channels else widened(x, channels)


def scale_of(fan_in: int, activated: bool) -> float:
    """Standard deviation of first weights: variance 2 / fan-in before an activation, else 1 / fan-in
    (arXiv:1502.01852, section 2.2)."""
    return sqrt((2 if activated else 1) / fan_in)

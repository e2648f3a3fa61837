"""Heads: what ends a network for classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.linear import Linear, Pool
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What both have."""

    out_channels: int
    mid_channels: int
    activation: Activation = "relu"
    head: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Head(_Head):
    """1×1 convolution to `mid_channels`, pooling, classifier."""

    mid_channels: int = 0
    """0: no convolution, as in MobileNetV1, ResNets and MCUNet."""

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.mid_channels:
            x = g.add("conv", Conv(x.channels, self.mid_channels, activation=self.activation), x)
        elif self.activation != "relu":  # one key for one layer
            raise ArchitectureError(f"Without `mid_channels`, `activation` stays 'relu', got {self.activation!r}.")
        return g.add("classifier", Linear(x.channels, self.out_channels), g.add("pool", Pool(), x))


class PooledHead(_Head):
    """Pooling first, then two fully connected layers (MobileNetV3, arXiv:1905.02244, section 5.1)."""

    def write(self, g: Graph, x: Wire) -> Wire:
        y = g.add("features", Linear(x.channels, self.mid_channels, self.activation), g.add("pool", Pool(), x))
        return g.add("classifier", Linear(self.mid_channels, self.out_channels), y)

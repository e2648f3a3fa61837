"""Plain layers: one convolution, and none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation, AntiAlias
from nas.blocks.blur import downsampled
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import normalised
from nas.blocks.graph import Graph, Wire
from nas.blocks.shortcut import added
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class ConvBlock:
    """A convolution, batch normalisation and an activation: stems and plain layers."""

    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: Activation = "relu"
    residual: bool = False
    projection: bool = False
    """As of inverted bottlenecks."""
    anti_alias: AntiAlias = "none"
    """Likewise."""
    conv_bias: bool = False
    """Whether the convolution has a bias before its batch normalisation, which it folds away with."""
    untimed: ClassVar[tuple[str, ...]] = ("conv_bias",)

    def write(self, g: Graph, x: Wire) -> Wire:
        op = Conv(x.channels, self.out_channels, self.kernel, self.stride, self.groups, self.activation)
        if self.anti_alias == "none":
            y = normalised(g, "conv", x, op, self.conv_bias)
        elif self.conv_bias:
            raise ArchitectureError("A convolution with `anti_alias` has no `conv_bias`, got true.")
        else:
            y = downsampled(g, "conv", op, x, self.anti_alias)
        return added(g, x, y, residual=self.residual, projection=self.projection, stride=self.stride)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A skip: nothing where shapes agree, else a 1×1 convolution and batch normalisation (NAS-Bench-Macro)."""

    out_channels: int
    stride: int = 1

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.stride == 1 and x.channels == self.out_channels:
            return x
        return g.add("project", Conv(x.channels, self.out_channels, 1, self.stride), x)

"""A block that mixes pixels by pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import normalised
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Subtract
from nas.blocks.mixing import LocalPool
from nas.blocks.shortcut import scaled


@dataclass(frozen=True, kw_only=True)
class PoolFormer:
    """EfficientFormer's 4D meta block (arXiv:2206.01191, section 4.1; PoolFormer, arXiv:2111.11418):
    average pooling less what comes in, then a perceptron of two pointwise convolutions, both added to what comes in.
    Where stride or width change, the map is embedded first, by a 3×3 convolution and batch normalisation.
    """

    out_channels: int
    mid_channels: int
    """Width inside the perceptron."""
    kernel: int = 3
    """Of the pooling."""
    stride: int = 1
    activation: Activation = "relu"
    layer_scale: bool = False
    """Whether what is added has a learned factor for each channel."""
    conv_bias: bool = False
    """Whether convolutions have a bias before their batch normalisation, which it folds away with."""
    inside: ClassVar[bool] = True
    untimed: ClassVar[tuple[str, ...]] = ("conv_bias",)

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.stride != 1 or x.channels != self.out_channels:
            x = g.add("embed", Conv(x.channels, self.out_channels, 3, self.stride), x)
        y = g.add("mix", Subtract(), g.add("pool", LocalPool(self.kernel, pooling="average"), x), x)
        x = scaled(g, "1", x, y, self.layer_scale)
        wide = Conv(x.channels, self.mid_channels, activation=self.activation)
        y = normalised(g, "widen", x, wide, self.conv_bias)
        y = normalised(g, "narrow", y, Conv(self.mid_channels, self.out_channels), self.conv_bias)
        return scaled(g, "2", x, y, self.layer_scale)

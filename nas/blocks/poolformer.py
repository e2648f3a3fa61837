"""A block that mixes pixels by pooling, and the pooling that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import normalised
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Subtract
from nas.blocks.op import OnnxGraph, Op, Shape
from nas.blocks.shortcut import scaled


@dataclass(frozen=True)
class AveragePool(Op):
    """The average over windows of kernel×kernel pixels, by channel, of which those outside the map do not count.

    With stride 1 they are centred; else they begin at the first pixel, and one that is cut off is the last."""

    kernel: int
    stride: int = 1

    module: ClassVar[str] = "nas.blocks.attention_modules:AveragePool"

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, height, width),) = inputs
        return channels, -(-height // self.stride), -(-width // self.stride)

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        return graph.node(
            "AveragePool",
            [*values],
            kernel_shape=[self.kernel] * 2,
            strides=[self.stride] * 2,
            pads=self._pads(*shapes[0][1:]),
            count_include_pad=0,
        )

    def _pads(self, *sides: int) -> list[int]:
        if self.stride == 1:
            return [self.kernel // 2] * 4
        return [0, 0, *(-side % self.stride for side in sides)]


@dataclass(frozen=True, kw_only=True)
class PoolFormer:
    """EfficientFormer's 4D meta block (arXiv:2206.01191, section 4.1, equations 4 and 5; MetaFormer, arXiv:2111.11418):
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
        y = g.add("mix", Subtract(), g.add("pool", AveragePool(self.kernel), x), x)
        x = scaled(g, "1", x, y, self.layer_scale)
        wide = Conv(x.channels, self.mid_channels, activation=self.activation)
        y = normalised(g, "widen", x, wide, self.conv_bias)
        y = normalised(g, "narrow", y, Conv(self.mid_channels, self.out_channels), self.conv_bias)
        return scaled(g, "2", x, y, self.layer_scale)

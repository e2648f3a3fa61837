"""An inverted bottleneck, and attention behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.convolution import BiasConv, Conv, SqueezeExcite
from nas.blocks.elementwise import Norm
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add
from nas.blocks.mhsa import Attending
from nas.blocks.op import OnnxGraph, Op, Shape
from nas.errors import ArchitectureError


@dataclass(frozen=True)
class AveragePool(Op):
    """Averages of stride×stride pixels, by channel; the last ones, which may be cut off, are of what is there."""

    stride: int

    module: ClassVar[str] = "nas.blocks.attention_modules:AveragePool"

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, height, width),) = inputs
        return channels, -(-height // self.stride), -(-width // self.stride)

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        window = {"kernel_shape": [self.stride] * 2, "strides": [self.stride] * 2}
        missing = [-side % self.stride for side in shapes[0][1:]]
        return graph.node("AveragePool", [*values], **window, pads=[0, 0, *missing], count_include_pad=0)


@dataclass(frozen=True, kw_only=True)
class Moat(Attending):
    """MOAT's block (arXiv:2210.01820, as in the authors' code): an inverted bottleneck, normalised before it and not
    after, whose shortcut is pooled where the stride is not 1 and projected where the width changes; then attention,
    global or in windows that do not shift, with positions by offset in the paper. Without heads it is the paper's
    MBConv, with squeeze-and-excitation in its early stages.
    """

    mid_channels: int
    kernel: int = 3
    se_channels: int = 0
    inside: ClassVar[bool] = True

    def write(self, g: Graph, x: Wire) -> Wire:
        mid, act = self.mid_channels, self.activation
        y = g.add("pre_norm", Norm(x.channels), x)
        y = g.add("expand", Conv(x.channels, mid, activation=act), y)
        y = g.add("depthwise", Conv(mid, mid, self.kernel, self.stride, mid, act), y)
        if self.se_channels:
            y = g.add("excite", SqueezeExcite(mid, self.se_channels), y)
        y = g.add("shrink", BiasConv(mid, self.out_channels), y)
        if self.stride != 1:
            x = g.add("shortcut_pool", AveragePool(self.stride), x)
        if x.channels != self.out_channels:
            x = g.add("shortcut", BiasConv(x.channels, self.out_channels), x)
        x = g.add("add1", Add(), x, y)
        if self.heads:
            return g.add("add2", Add(), x, self._attended(g, x))
        if self.key_channels or self.value_channels or self.window or self.positions != "none":
            raise ArchitectureError("A moat layer without `heads` has no settings of attention besides.")
        return x

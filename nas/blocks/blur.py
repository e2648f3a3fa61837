"""Anti-aliasing: a convolution goes over all pixels, and a filter takes the stride's share of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.mixing import LocalPool
from nas.blocks.op import OnnxGraph, Op, Shape
from nas.errors import ArchitectureError


@dataclass(frozen=True)
class Blur(Op):
    """A binomial filter of 3×3 pixels with a stride of 2 (arXiv:1904.11486, section 3.2), padded with zeros."""

    module: ClassVar[str] = "nas.blocks.blur_modules:Blur"

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, height, width),) = inputs
        return channels, -(-height // 2), -(-width // 2)

    def macs(self, *inputs: Shape) -> int:
        """It is a depthwise convolution, though its weights are not trained."""
        return 9 * prod(self.shape(*inputs))

    def held(self, *inputs: Shape) -> int:
        """See `Op`. What is averaged once is a pixel larger each way than what comes in."""
        ((channels, height, width),) = inputs
        return channels * (height + 1) * (width + 1)

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {"operators": 2, "traffic": 3 * prod(inputs[0]) + prod(self.shape(*inputs))}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        """(1, 2, 1) / 4 is (1, 1) / 2 twice."""
        once = graph.node("AveragePool", [*values], kernel_shape=[2, 2], pads=[1] * 4, count_include_pad=1)
        return graph.node("AveragePool", [once], kernel_shape=[2, 2], strides=[2, 2])


def downsampled(g: Graph, name: str, conv: Conv, x: Wire, anti_alias: str) -> Wire:
    """What a convolution gives; where it has a stride and `anti_alias` is `average` or `blur`, with stride 1 and
    filtered. Raises `ArchitectureError` where there is nothing to filter."""
    if anti_alias == "none":
        return g.add(name, conv, x)
    if conv.stride != 2:
        raise ArchitectureError(f"`anti_alias` is of layers with a stride of 2, got {conv.stride}.")
    y = g.add(name, replace(conv, stride=1), x)
    return g.add(f"{name}_blur", Blur() if anti_alias == "blur" else LocalPool(2, 2, "average", edges=False), y)

"""What is done to each pixel by itself, without normalisation: a factor for each channel, and a projection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from nas.blocks.op import OnnxGraph, Op, Shape, Weight
from nas.errors import ArchitectureError


@dataclass(frozen=True)
class Scale(Op):
    """Each channel times a weight of its own that begins small (CaiT, arXiv:2103.17239, section 2)."""

    channels: int

    module: ClassVar[str] = "nas.blocks.pointwise_modules:Scale"
    sizes: ClassVar[tuple[str, ...]] = ("channels",)

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def weights(self) -> Mapping[str, Weight]:
        return {"gamma": Weight((self.channels,), "o", start=1e-5, masked="o")}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        gamma = graph.weight(f"{name}.gamma", self.channels)
        shaped = graph.node("Unsqueeze", [gamma, graph.integers(f"{name}.axes", [1, 2])])
        return graph.node("Mul", [*values, shaped])


@dataclass(frozen=True)
class Projection(Op):
    """A 1×1 convolution with neither bias nor normalisation."""

    in_channels: int
    out_channels: int

    module: ClassVar[str] = "nas.blocks.pointwise_modules:Projection"
    sizes: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels")

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, height, width),) = inputs
        if channels != self.in_channels:
            raise ArchitectureError(f"A projection of {self.in_channels} channels does not take {channels}.")
        return self.out_channels, height, width

    def weights(self) -> Mapping[str, Weight]:
        return {"weight": Weight((self.out_channels, self.in_channels, 1, 1), "oi..", gain=1.0)}

    def macs(self, *inputs: Shape) -> int:
        return self.in_channels * prod(self.shape(*inputs))

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {
            "operators": 1,
            "weights": self.in_channels * self.out_channels,
            "dense": self.macs(*inputs),
            "traffic": prod(inputs[0]) + prod(self.shape(*inputs)),
        }

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        weight = graph.weight(f"{name}.weight", self.out_channels, self.in_channels, 1, 1)
        return graph.node("Conv", [*values, weight], kernel_shape=[1, 1])

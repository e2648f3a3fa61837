"""Ops by themselves that are else a part of a convolution: normalisation, and an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.convolution import BiasConv, Conv, norm_weights
from nas.blocks.graph import Graph, Wire
from nas.blocks.op import OnnxGraph, Op, Shape, Weight
from nas.errors import ArchitectureError


@dataclass(frozen=True)
class Norm(Op):
    """Batch normalisation of what comes in."""

    channels: int
    norm_eps: float = 1e-5

    module: ClassVar[str] = "nas.blocks.modules:Norm"
    sizes: ClassVar[tuple[str, ...]] = ("channels",)

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if shape[0] != self.channels:
            raise ArchitectureError(f"A normalisation of {self.channels} channels does not take {shape[0]}.")
        return shape

    def held(self, *inputs: Shape) -> int:
        """See `Op`. It is done in place."""
        return 0

    def weights(self) -> Mapping[str, Weight]:
        return norm_weights(self.channels)

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        return graph.normalised(f"{name}.norm", value, self.channels, 0, False, self.norm_eps)


@dataclass(frozen=True)
class Activate(Op):
    """An activation, where something stands between it and the convolution before."""

    activation: str

    module: ClassVar[str] = "nas.blocks.modules:Activate"

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def held(self, *inputs: Shape) -> int:
        """See `Op`. It is done in place."""
        return 0

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        return graph.activation(self.activation, value)


def normalised(g: Graph, name: str, x: Wire, op: Conv, bias: bool) -> Wire:
    """A convolution with its normalisation and activation, with or without a `bias` that normalisation folds away."""
    if not bias:
        return g.add(name, op, x)
    y = g.add(name, BiasConv(op.in_channels, op.out_channels, op.kernel, op.stride, op.groups), x)
    y = g.add(f"{name}_norm", Norm(op.out_channels), y)
    return y if op.activation == "none" else g.add(f"{name}_act", Activate(op.activation), y)

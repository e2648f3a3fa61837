"""Ops by themselves that are else a part of a convolution: normalisation, and an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

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

    def weights(self) -> Mapping[str, Weight]:
        out = (self.channels,)
        return {
            "norm.weight": Weight(out, "o", start=1.0, masked="o"),
            "norm.bias": Weight(out, "o", masked="o"),
            "norm.running_mean": Weight(out, "o", trained=False),
            "norm.running_var": Weight(out, "o", start=1.0, trained=False),
        }

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        return graph.normalised(f"{name}.norm", value, self.channels, 1, False, self.norm_eps)


@dataclass(frozen=True)
class Activate(Op):
    """An activation, where something stands between it and the convolution before."""

    activation: str

    module: ClassVar[str] = "nas.blocks.modules:Activate"

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        return graph.activation(self.activation, value)

"""Zeros: what a cell gives that lets nothing through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.op import OnnxGraph, Op, Shape


@dataclass(frozen=True)
class Zero(Op):
    """Zeros in the shape of what comes in."""

    module: ClassVar[str] = "nas.blocks.modules:Zero"

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        return graph.node("Mul", [value, graph.scalar("zero", 0.0)])

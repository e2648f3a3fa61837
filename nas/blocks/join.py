"""Where values meet: sums, products, and one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

from nas.blocks.op import OnnxGraph, Op, Shape
from nas.errors import ArchitectureError


def _agreed(name: str, inputs: tuple[Shape, ...], first: int = 0) -> Shape:
    if len(inputs) < 2 or len({shape[first:] for shape in inputs}) != 1:
        shapes = ", ".join("×".join(map(str, shape)) for shape in inputs)
        raise ArchitectureError(f"{name} takes two or more values of one shape, got {shapes or 'none'}.")
    return inputs[0]


@dataclass(frozen=True)
class _Folded(Op):
    """One value of several of one shape, two at a time."""

    what: ClassVar[str]
    node: ClassVar[str]
    """ONNX's operator."""

    def shape(self, *inputs: Shape) -> Shape:
        return _agreed(self.what, inputs)

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        return reduce(lambda total, value: graph.node(self.node, [total, value]), values)


@dataclass(frozen=True)
class Add(_Folded):
    """The sum of its inputs: a residual, or where branches meet."""

    module: ClassVar[str] = "nas.blocks.modules:Add"
    what, node = "A sum", "Add"

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """One call more for each input more; its traffic is hardly seen where the values are still in the cache."""
        return {"operators": len(inputs) - 1}


@dataclass(frozen=True)
class Subtract(_Folded):
    """The first of two inputs less the other."""

    module: ClassVar[str] = "nas.blocks.modules:Subtract"
    what, node = "A difference", "Sub"


@dataclass(frozen=True)
class Mean(_Folded):
    """The mean of its inputs, value by value."""

    module: ClassVar[str] = "nas.blocks.modules:Mean"
    what, node = "A mean", "Mean"

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        return graph.node(self.node, [*values])


@dataclass(frozen=True)
class Multiply(_Folded):
    """The product of its inputs, value by value."""

    module: ClassVar[str] = "nas.blocks.modules:Multiply"
    what, node = "A product", "Mul"


@dataclass(frozen=True)
class Concat(Op):
    """Its inputs' channels, one behind the other."""

    module: ClassVar[str] = "nas.blocks.modules:Concat"

    def shape(self, *inputs: Shape) -> Shape:
        return (sum(shape[0] for shape in inputs), *_agreed("A concatenation", inputs, first=1)[1:])

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        return graph.node("Concat", [*values], axis=1)

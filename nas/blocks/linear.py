"""Pooling, and fully connected layers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from nas.blocks.op import OnnxGraph, Op, Shape, Weight


@dataclass(frozen=True)
class Pool(Op):
    """Global average pooling to a vector, or to a map of one pixel where it is not `flat`."""

    flat: bool = True

    module: ClassVar[str] = "nas.blocks.modules:Pool"

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, _, _),) = inputs
        return (channels,) if self.flat else (channels, 1, 1)

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {"operators": 1, "traffic": prod(inputs[0])}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        pooled = graph.node("GlobalAveragePool", [*values])
        return graph.node("Flatten", [pooled]) if self.flat else pooled


@dataclass(frozen=True)
class Linear(Op):
    """Fully connected layer, then an activation."""

    in_features: int
    out_features: int
    activation: str = "none"
    bias: bool = True

    module: ClassVar[str] = "nas.blocks.modules:Linear"
    sizes: ClassVar[tuple[str, ...]] = ("in_features", "out_features")

    def shape(self, *inputs: Shape) -> Shape:
        return (self.out_features,)

    def weights(self) -> Mapping[str, Weight]:
        gain = 1.0 if self.activation == "none" else 2.0
        weight = {"linear.weight": Weight((self.out_features, self.in_features), "oi", gain=gain, masked="o")}
        return weight | ({"linear.bias": Weight((self.out_features,), "o", masked="o")} if self.bias else {})

    def macs(self, *inputs: Shape) -> int:
        return self.in_features * self.out_features

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {"operators": 1, "linear": self.in_features * self.out_features}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        weights = [graph.weight(f"{name}.{part}", *weight.shape) for part, weight in self.weights().items()]
        return graph.activation(self.activation, graph.node("Gemm", [*values, *weights], transB=1))


@dataclass(frozen=True)
class Classifier(Linear):
    """The last one, before which a share of the features is dropped while it is trained (arXiv:1207.0580)."""

    dropout: float = 0.0

"""EvoNorm: normalisation and activation that were found as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd, prod
from typing import ClassVar

from nas.blocks.op import OnnxGraph, Op, Shape, Weight

EVONORM = "evonorm"
"""The name of the activation that it is in place of."""
GROUPS = 32
"""As published; of channels that are no multiple of it, as many groups as divide both."""


@dataclass(frozen=True)
class EvoNorm(Op):
    """EvoNorm-S0 (arXiv:2004.02967): x · sigmoid(v x) by the standard deviation of its group
    of channels in one picture, then a scale and a shift by channel. It is the same in training and in use.

    It stands behind a convolution without normalisation wherever a block's `activation` is `evonorm`.
    """

    channels: int
    norm_eps: float = 1e-5

    module: ClassVar[str] = "nas.blocks.evonorm_module:EvoNorm"

    @property
    def groups(self) -> int:
        """Of channels that share a deviation: an order of channels, or fewer of them, is another function."""
        return gcd(GROUPS, self.channels)

    @property
    def keeps(self) -> bool:
        return False

    @property
    def mixes(self) -> bool:
        return True

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def weights(self) -> Mapping[str, Weight]:
        starts = {"weight": 1.0, "bias": 0.0, "v": 1.0}
        return {name: Weight((self.channels,), "o", start=start) for name, start in starts.items()}

    def held(self, *inputs: Shape) -> int:
        """See `Op`. What is activated, what is centred, and the means."""
        return 2 * prod(inputs[0]) + self.groups

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """Of the nodes below, without those that only change a shape."""
        return {"operators": 12, "traffic": 19 * prod(inputs[0])}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        axes = graph.integers(f"{name}.axes", [1, 2])
        scale, shift, v = (
            graph.node("Unsqueeze", [graph.weight(f"{name}.{part}", self.channels), axes]) for part in self.weights()
        )
        (value,), by_group = values, graph.integers(f"{name}.groups", [0, self.groups, -1])
        activated = graph.node("Mul", [value, graph.node("Sigmoid", [graph.node("Mul", [value, v])])])
        grouped = graph.node("Reshape", [value, by_group])
        centred = graph.node("Sub", [grouped, graph.node("ReduceMean", [grouped], axes=[2])])
        variance = graph.node("ReduceMean", [graph.node("Mul", [centred, centred])], axes=[2])
        epsilon = graph.scalar(f"eps{self.norm_eps:g}", self.norm_eps)
        deviation = graph.node("Sqrt", [graph.node("Add", [variance, epsilon])])
        value = graph.node("Div", [graph.node("Reshape", [activated, by_group]), deviation])
        value = graph.node("Reshape", [value, graph.integers(f"{name}.shape", [0, *shapes[0]])])
        return graph.node("Add", [graph.node("Mul", [value, scale]), shift])

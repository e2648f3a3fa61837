"""Cheap ways to mix pixels and channels: pools, shifts, lines, and parts of a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from nas.blocks.convolution import norm_weights
from nas.blocks.op import OnnxGraph, Op, Shape, Weight
from nas.errors import ArchitectureError


@dataclass(frozen=True)
class LocalPool(Op):
    """The largest value or the average over a window of kernel×kernel pixels, by channel.

    Windows reach kernel // 2 over the edges, where there is nothing to count (`edges`), or lie within the picture.
    """

    kernel: int
    stride: int = 1
    pooling: str = "max"
    edges: bool = True

    module: ClassVar[str] = "nas.blocks.mixing_modules:LocalPool"

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, height, width),) = inputs
        if not self.edges and min(height, width) < self.kernel:
            raise ArchitectureError(
                f"Pooling of {self.kernel}×{self.kernel} pixels needs as many at least, got {height}×{width}."
            )
        reach = self.kernel // 2 if self.edges else 0
        high, wide = ((size + 2 * reach - self.kernel) // self.stride + 1 for size in (height, width))
        return channels, high, wide

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        kind, extra = ("MaxPool", {}) if self.pooling == "max" else ("AveragePool", {"count_include_pad": 0})
        window = {"kernel_shape": [self.kernel] * 2, "strides": [self.stride] * 2}
        pads = [self.kernel // 2 if self.edges else 0] * 4
        return graph.node(kind, [*values], **window, pads=pads, **extra)


@dataclass(frozen=True)
class Shift(Op):
    """Channels moved by a pixel or more, zeros behind them (arXiv:1711.08141, section 3.1): as many groups of channels
    as a kernel×kernel window has places, each moved to one of them; channels that are left over stay."""

    channels: int
    kernel: int = 3

    module: ClassVar[str] = "nas.blocks.mixing_modules:Shift"

    @property
    def keeps(self) -> bool:
        """By its place a channel is moved."""
        return False

    def shape(self, *inputs: Shape) -> Shape:
        if not 1 < self.kernel**2 <= self.channels:
            raise ArchitectureError(
                f"A shift moves a group of channels to each place of its kernel: {self.kernel}×{self.kernel} takes at "
                f"least 3×3 and as many channels, got {self.channels}."
            )
        (shape,) = inputs
        return shape

    def held(self, *inputs: Shape) -> int:
        """See `Op`. Its input is gone once there are zeros around it."""
        channels, *size = inputs[0]
        return channels * prod(side + 2 * (self.kernel // 2) for side in size)

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """All is copied three times: with zeros around it, by a call for each group, and when groups are joined."""
        return {"operators": self.kernel**2 + 3, "traffic": 6 * prod(inputs[0])}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (_, height, width), reach, group = shapes[0], self.kernel // 2, self.channels // self.kernel**2
        value = graph.node("Pad", [*values, graph.integers(f"{name}.pads", [0, 0, reach, reach] * 2)])
        axes = graph.integers(f"{name}.axes", [1, 2, 3])
        places = [(place * group, (place + 1) * group, *divmod(place, self.kernel)) for place in range(self.kernel**2)]
        if (moved := places[-1][1]) < self.channels:
            places.append((moved, self.channels, reach, reach))
        parts = []
        for first, last, down, right in places:
            start = graph.integers(f"{name}.start{first}", [first, down, right])
            stop = graph.integers(f"{name}.stop{first}", [last, down + height, right + width])
            parts.append(graph.node("Slice", [value, start, stop, axes]))
        return graph.node("Concat", parts, axis=1)


@dataclass(frozen=True)
class Slice(Op):
    """Some of its input's channels, from one place up to another."""

    start: int
    stop: int

    module: ClassVar[str] = "nas.blocks.mixing_modules:Slice"

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, *size),) = inputs
        if not 0 <= self.start < self.stop <= channels:
            raise ArchitectureError(f"There are channels 0 to {channels}, got a slice {self.start} to {self.stop}.")
        return (self.stop - self.start, *size)

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {"operators": 1, "traffic": 2 * prod(self.shape(*inputs))}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        bounds = (("start", self.start), ("stop", self.stop), ("axis", 1))
        return graph.node("Slice", [*values, *(graph.integers(f"{name}.{what}", [at]) for what, at in bounds)])


@dataclass(frozen=True)
class LineConv(Op):
    """Depthwise convolution along one axis, without bias, then batch normalisation."""

    channels: int
    kernel: int
    vertical: bool = False
    norm_eps: float = 1e-5

    module: ClassVar[str] = "nas.blocks.mixing_modules:LineConv"
    sizes: ClassVar[tuple[str, ...]] = ("channels",)

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def weights(self) -> Mapping[str, Weight]:
        kernel = (self.kernel, 1) if self.vertical else (1, self.kernel)
        return {"conv.weight": Weight((self.channels, 1, *kernel), "o...", gain=1.0), **norm_weights(self.channels)}

    def deployed(self) -> Mapping[str, tuple[int, ...]]:
        """See `Op`. Normalisation is folded: what is left of it is a bias."""
        return {"conv.weight": self.weights()["conv.weight"].shape, "conv.bias": (self.channels,)}

    def macs(self, *inputs: Shape) -> int:
        return prod(inputs[0]) * self.kernel

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        values = prod(inputs[0])
        features = {"operators": 1, "weights": self.channels * self.kernel, "traffic": 2 * values}
        return features | {f"depthwise{self.kernel}": self.macs(*inputs)}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        shape = self.weights()["conv.weight"].shape
        reach = [size // 2 for size in shape[2:]]
        inputs = [*values, graph.weight(f"{name}.conv.weight", *shape)]
        value = graph.node(
            "Conv", inputs, kernel_shape=[*shape[2:]], strides=[1, 1], pads=[*reach, *reach], group=self.channels
        )
        return graph.normalised(f"{name}.norm", value, self.channels, self.kernel, False, self.norm_eps)


@dataclass(frozen=True)
class Gate(Op):
    """The sigmoid of the second input at every pixel of the first, which may be larger: of the nearest pixel."""

    module: ClassVar[str] = "nas.blocks.mixing_modules:Gate"

    def shape(self, *inputs: Shape) -> Shape:
        value, gate = inputs
        return (gate[0], *value[1:])

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {"operators": 2, "traffic": 3 * prod(inputs[1]) + prod(self.shape(*inputs))}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        value, gate = values
        gate = graph.node("Sigmoid", [gate])
        if shapes[0][1:] == shapes[1][1:]:
            return gate
        sizes = [graph.node("Shape", [gate], end=2), graph.node("Shape", [value], start=2)]
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return graph.node("Resize", [gate, "", "", graph.node("Concat", sizes, axis=0)], **nearest)

"""Convolutions, and channel attention that is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import ClassVar

from nas.blocks.evonorm import EVONORM, EvoNorm
from nas.blocks.op import OnnxGraph, Op, Shape, Weight
from nas.errors import ArchitectureError

FUSED = frozenset({"none", "relu", "relu6"})
"""Activations that runtimes apply while they write what a convolution gives; others read and write all of it again."""


def norm_weights(channels: int) -> dict[str, Weight]:
    """Tensors of a batch normalisation that is called `norm`."""
    out = (channels,)
    return {
        "norm.weight": Weight(out, "o", start=1.0, masked="o"),
        "norm.bias": Weight(out, "o", masked="o"),
        "norm.running_mean": Weight(out, "o", trained=False),
        "norm.running_var": Weight(out, "o", start=1.0, trained=False),
    }


@dataclass(frozen=True)
class _Convolution(Op):
    """What all convolutions have.

    They are padded by kernel // 2 on each side (`symmetric`), or, as TensorFlow does it (`same`), by as much as the
    output needs, an odd pixel below and at the right.
    """

    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: str = "none"
    padding: str = "symmetric"

    sizes: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels", "kernel")

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved by itself."""
        return self.groups > 1 and self.groups == self.in_channels == self.out_channels

    @property
    def mixes(self) -> bool:
        return not self.depthwise

    def shape(self, *inputs: Shape) -> Shape:
        ((channels, height, width),) = inputs
        if channels != self.in_channels:
            raise ArchitectureError(f"A convolution of {self.in_channels} channels does not take {channels}.")
        if channels % self.groups or self.out_channels % self.groups:
            raise ArchitectureError(
                f"`groups` divides the widths of a convolution, got {self.groups} groups for "
                f"{channels} → {self.out_channels} channels."
            )
        return self.out_channels, -(-height // self.stride), -(-width // self.stride)

    def macs(self, *inputs: Shape) -> int:
        """Normalisation counts nothing, as it folds away; nor does a bias."""
        _, height, width = self.shape(*inputs)
        return height * width * self.out_channels * (self.in_channels // self.groups) * self.kernel**2

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """Taps on padding are not counted for a depthwise convolution; a full k×k one reads its k×k patches; one in
        groups is taken apart and put together again, as by runtimes that have no such kernel."""
        ((_, height, width),) = inputs
        _, below, right = self.shape(*inputs)
        weights = self.out_channels * (self.in_channels // self.groups) * self.kernel**2
        activated = {} if self.activation in FUSED else {"activated": self.out_channels * below * right}
        if self.depthwise:
            taps = self._taps(height) * self._taps(width)
            return activated | {
                "operators": 1,
                "weights": weights,
                "traffic": self.in_channels * (height * width + below * right),
                f"depthwise{self.kernel}": self.in_channels * taps,
            }
        patches = below * right * self.in_channels * self.kernel**2
        taken, given = self.in_channels * height * width, self.out_channels * below * right
        found = activated | {
            "operators": 1,
            "weights": weights,
            "dense": below * right * weights,
            "traffic": patches + given,
        }
        return found | {"grouped": taken + given} if self.groups > 1 else found

    def _kernel(self, masked: str) -> Weight:
        """A depthwise convolution has no input channels to choose among; one in groups has no slices."""
        shape = self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel
        axes = "oikk" if self.groups == 1 else "o.kk" if self.depthwise else "..kk"
        return Weight(shape, axes, gain=1.0 if self.activation == "none" else 2.0, masked=masked)

    def _node(self, graph: OnnxGraph, values: tuple[str, ...], weights: list[str], shapes: tuple[Shape, ...]) -> str:
        _, height, width = shapes[0]
        return graph.node(
            "Conv",
            [*values, *weights],
            kernel_shape=[self.kernel, self.kernel],
            strides=[self.stride, self.stride],
            pads=[pads[end] for end in (0, 1) for pads in (self.pads(height), self.pads(width))],
            group=self.groups,
        )

    def larger(self, other: Op) -> _Convolution | None:
        """Depthwise ones have as many groups as channels; others in groups are no slices."""
        if isinstance(other, _Convolution) and self.depthwise and other.depthwise:
            widest = max(self.groups, other.groups)
            one, another = (replace(op, in_channels=widest, out_channels=widest, groups=widest) for op in (self, other))
            return super(_Convolution, one).larger(another)
        if self.groups > 1 and (not isinstance(other, _Convolution) or replace(self, kernel=other.kernel) != other):
            return None
        return super().larger(other)

    def pads(self, size: int) -> tuple[int, int]:
        """Pixels before and behind an axis of `size`."""
        if self.padding == "symmetric":
            return self.kernel // 2, self.kernel // 2
        missing = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return missing // 2, missing - missing // 2

    def _taps(self, size: int) -> int:
        """Kernel taps that fall on the picture along one axis, over all outputs."""
        return _taps(size, self.kernel, self.stride, self.pads(size)[0])


@cache
def _taps(size: int, kernel: int, stride: int, before: int) -> int:
    firsts = range(-before, size - before, stride)
    return sum(min(first + kernel, size) - max(first, 0) for first in firsts)


@dataclass(frozen=True)
class Conv(_Convolution):
    """Convolution without bias, then batch normalisation unless there is no `norm`, and an activation."""

    norm_eps: float = 1e-5
    norm: bool = True

    module: ClassVar[str] = "nas.blocks.modules:Conv"

    def steps(self) -> Mapping[str, Op]:
        """See `Op`. EvoNorm is in place of normalisation and activation."""
        if self.activation != EVONORM:
            return {"": self}
        return {"": replace(self, activation="none", norm=False), "_norm": EvoNorm(self.out_channels)}

    def weights(self) -> Mapping[str, Weight]:
        if not self.norm:
            return {"conv.weight": self._kernel(masked="ok")}
        return {"conv.weight": self._kernel(masked="k"), **norm_weights(self.out_channels)}

    def deployed(self) -> Mapping[str, tuple[int, ...]]:
        """See `Op`. Normalisation is folded: what is left of it is a bias."""
        kernel = {"conv.weight": self._kernel("").shape}
        return kernel | {"conv.bias": (self.out_channels,)} if self.norm else kernel

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        kernel = self._kernel("")
        value = self._node(graph, values, [graph.weight(f"{name}.conv.weight", *kernel.shape)], shapes)
        if self.norm:
            activated = self.activation != "none"
            value = graph.normalised(f"{name}.norm", value, self.out_channels, kernel.fan_in, activated, self.norm_eps)
        return graph.activation(self.activation, value)


@dataclass(frozen=True)
class BiasConv(_Convolution):
    """Convolution with a bias, then an activation: what branches with batch normalisation become."""

    module: ClassVar[str] = "nas.blocks.modules:BiasConv"

    def weights(self) -> Mapping[str, Weight]:
        return {"conv.weight": self._kernel(masked="ok"), "conv.bias": Weight((self.out_channels,), "o", masked="o")}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        weights = [graph.weight(f"{name}.{part}", *weight.shape) for part, weight in self.weights().items()]
        return graph.activation(self.activation, self._node(graph, values, weights, shapes))


def branch(name: str, number: int) -> str:
    """What branch 1, 2, … of a `BiasConv` is called that is called `name` once they are merged."""
    return f"{name}_{number}"


@dataclass(frozen=True)
class SqueezeExcite(Op):
    """Channel attention (arXiv:1709.01507): pool, two 1×1 convolutions with bias and an activation between, a gate, a
    product."""

    channels: int
    squeezed: int
    gate: str = "sigmoid"
    se_activation: str = "relu"

    module: ClassVar[str] = "nas.blocks.modules:SqueezeExcite"
    sizes: ClassVar[tuple[str, ...]] = ("channels", "squeezed")

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    @property
    def keeps(self) -> bool:
        return True

    def weights(self) -> Mapping[str, Weight]:
        """`m` is the inner width."""
        return {
            "squeeze.weight": Weight((self.squeezed, self.channels, 1, 1), "mi..", gain=2.0),
            "squeeze.bias": Weight((self.squeezed,), "m"),
            "excite.weight": Weight((self.channels, self.squeezed, 1, 1), "om..", gain=1.0, masked="m"),
            "excite.bias": Weight((self.channels,), "o"),
        }

    def macs(self, *inputs: Shape) -> int:
        """Of the two convolutions; they see one pixel."""
        return 2 * self.channels * self.squeezed

    def held(self, *inputs: Shape) -> int:
        """See `Op`. What is pooled becomes what is squeezed, that the gate; the gate is there when the product is."""
        return self.channels + max(self.squeezed, prod(inputs[0]))

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {"gates": 1, "gated": prod(inputs[0]), "linear": 2 * self.channels * self.squeezed}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        return graph.node("Mul", [value, self._factor(graph, name, value)])

    def _factor(self, graph: OnnxGraph, name: str, value: str) -> str:
        inner = graph.node("GlobalAveragePool", [value])
        inner = self._pointwise(graph, f"{name}.squeeze", inner, self.squeezed, self.channels)
        inner = graph.activation(self.se_activation, inner)
        inner = self._pointwise(graph, f"{name}.excite", inner, self.channels, self.squeezed)
        return graph.activation(self.gate, inner)

    @staticmethod
    def _pointwise(graph: OnnxGraph, name: str, value: str, out: int, into: int) -> str:
        inputs = [value, graph.weight(f"{name}.weight", out, into, 1, 1), graph.weight(f"{name}.bias", out)]
        return graph.node("Conv", inputs, kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4, group=1)

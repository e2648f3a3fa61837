"""Gates by channel, or by channel and pixel, beside squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2, prod
from typing import ClassVar

from nas.blocks.convolution import SqueezeExcite
from nas.blocks.op import OnnxGraph, Op, Shape, Weight


@dataclass(frozen=True)
class Eca(Op):
    """Efficient channel attention (ECA-Net, arXiv:1910.03151, section 3.2): pool, a convolution without bias along the
    channels, a gate, a product. A channel looks at its neighbours, so the order of channels stays."""

    kernel: int
    gate: str = "sigmoid"

    module: ClassVar[str] = "nas.blocks.modules:Eca"
    sizes: ClassVar[tuple[str, ...]] = ("kernel",)

    @property
    def mixes(self) -> bool:
        return True

    @property
    def keeps(self) -> bool:
        return True

    @property
    def placed(self) -> bool:
        return True

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def weights(self) -> Mapping[str, Weight]:
        return {"conv.weight": Weight((1, 1, self.kernel), "..k", gain=1.0, masked="k")}

    def macs(self, *inputs: Shape) -> int:
        """Of the convolution; it sees one value a channel."""
        return inputs[0][0] * self.kernel

    def held(self, *inputs: Shape) -> int:
        """See `Op`. The gate is there when the product is."""
        return inputs[0][0] + prod(inputs[0])

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        return {"gates": 1, "gated": prod(inputs[0]), "linear": self.macs(*inputs)}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,), channels, reach = values, shapes[0][0], self.kernel // 2
        line = graph.node("GlobalAveragePool", [value])
        line = graph.node("Reshape", [line, graph.integers(f"{name}.line", [0, 1, channels])])
        inputs = [line, graph.weight(f"{name}.conv.weight", 1, 1, self.kernel)]
        line = graph.node("Conv", inputs, kernel_shape=[self.kernel], strides=[1], pads=[reach, reach], group=1)
        gate = graph.node("Reshape", [line, graph.integers(f"{name}.gate", [0, channels, 1, 1])])
        return graph.node("Mul", [value, graph.activation(self.gate, gate)])


def eca_kernel(channels: int) -> int:
    """How many channels an ECA's convolution sees, at least 3: the odd number next to half of log2(channels) + 1
    (arXiv:1910.03151, equation 12; rounded as the authors' code and timm do it)."""
    reach = int((log2(channels) + 1) / 2)
    return max(reach + 1 - reach % 2, 3)


@dataclass(frozen=True)
class ConcurrentExcite(SqueezeExcite):
    """Concurrent spatial and channel squeeze-and-excitation (scSE, arXiv:1803.02579, section 2.3): the input times the
    gate by channel, plus the input times a gate by pixel, which a 1×1 convolution to one channel gives."""

    module: ClassVar[str] = "nas.blocks.modules:ConcurrentExcite"

    def weights(self) -> Mapping[str, Weight]:
        return {
            **super().weights(),
            "spatial.weight": Weight((1, self.channels, 1, 1), ".i..", gain=1.0),
            "spatial.bias": Weight((1,), "."),
        }

    def macs(self, *inputs: Shape) -> int:
        return super().macs(*inputs) + prod(inputs[0])

    def held(self, *inputs: Shape) -> int:
        """See `Op`. The sum of the gates is as large as the input, and there when the product is."""
        return max(super().held(*inputs), 2 * prod(inputs[0]), self.channels + prod(inputs[0][1:]) + prod(inputs[0]))

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        values = prod(inputs[0])
        pixels = values // self.channels
        spatial = {"operators": 2, "dense": values, "traffic": 2 * (values + pixels), "weights": self.channels}
        return {**super().work(*inputs), **spatial}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        spatial = graph.activation(self.gate, self._pointwise(graph, f"{name}.spatial", value, 1, self.channels))
        return graph.node("Mul", [value, graph.node("Add", [self._factor(graph, name, value), spatial])])

"""The universal inverted bottleneck of MobileNetV4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.attention import LayerScale
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.inverted import Filtered
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class UniversalInverted(Filtered):
    """An inverted bottleneck with a depthwise convolution before it, inside it, both or none (MobileNetV4,
    arXiv:2404.10518, section 3): ExtraDW, inverted bottleneck, ConvNeXt-like and feed-forward network are its four
    forms. The stride is that of the one inside, of the one before where there is no other."""

    kernel: int = 0
    """Of the depthwise convolution inside; 0 is none, also of the one before."""
    start_kernel: int = 0
    layer_scale: bool = False
    """Whether what is added to the input is scaled by channel."""
    family: ClassVar[str] = "inverted bottleneck"

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.stride > 1 and not (self.kernel or self.start_kernel):
            raise ArchitectureError(
                f"The stride of a uir layer is of its `kernel` or `start_kernel`; both are 0, got stride {self.stride}."
            )
        taken, width, y = x.channels, self.mid_channels, x
        if self.start_kernel:
            op = Conv(taken, taken, self.start_kernel, 1 if self.kernel else self.stride, taken)
            y = g.add("start", op, y) if self.kernel else self._filtered(g, "start", op, y)
        y = g.add("expand", Conv(taken, width, activation=self.activation), y)
        if self.kernel:
            op = Conv(width, width, self.kernel, self.stride, width, self.activation)
            y = self._filtered(g, "depthwise", op, y)
        y = self._projected(g, y)
        y = g.add("scale", LayerScale(y.channels), y) if self.layer_scale else y
        return self._added(g, x, y)

"""Space to depth: squares of pixels become channels before anything else is done."""

from __future__ import annotations

from dataclasses import dataclass

from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.inverted import Inverted
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class SpaceToDepth(Inverted):
    """A separable convolution behind a convolution over squares of 2×2 pixels, `mid_channels` wide
    (EfficientNet-X, arXiv:2102.05610, section 3.1: 4 times what comes in). The depthwise kernel is half of `kernel`,
    rounded up, as there are half as many pixels; one of 2 is padded below and at the right."""

    kernel: int = 3
    stride: int = 2
    """That of the first convolution."""

    def write(self, g: Graph, x: Wire) -> Wire:
        for name, value, wanted in (("stride", self.stride, (2,)), ("kernel", self.kernel, (3, 5))):
            if value not in wanted:
                raise ArchitectureError(f"`{name}` of a s2d layer is {' or '.join(map(str, wanted))}, got {value}.")
        width, kernel = self.mid_channels, (self.kernel + 1) // 2
        y = g.add("unfold", Conv(x.channels, width, 2, 2, activation=self.activation, padding="same"), x)
        padding = "symmetric" if kernel % 2 else "same"
        op = Conv(width, width, kernel, groups=width, activation=self.activation, padding=padding)
        return self._end(g, x, g.add("depthwise", op, y))

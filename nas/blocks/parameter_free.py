"""Inverted bottlenecks that mix pixels without parameters, in place of the depthwise convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.inverted import Inverted
from nas.blocks.mixing import LocalPool, Shift

Pooling = Literal["max", "average"]


@dataclass(frozen=True, kw_only=True)
class PoolBlock(Inverted):
    """Bottleneck with a pool over kernel×kernel pixels (Learning Features with Parameter-Free Layers, arXiv:2202.02777,
    sections 3 and 4: the largest value; PoolFormer, arXiv:2111.11418, section 3: the average)."""

    pooling: Pooling = "max"

    def write(self, g: Graph, x: Wire) -> Wire:
        y = g.add("expand", Conv(x.channels, self.mid_channels, activation=self.activation), x)
        y = g.add("mix", LocalPool(self.kernel, self.stride, self.pooling), y)
        return self._end(g, x, y)


@dataclass(frozen=True, kw_only=True)
class ShiftBlock(Inverted):
    """Bottleneck whose expanded channels are shifted (arXiv:1711.08141, section 3.2: conv, shift, conv). The stride is
    of the projection, which sees what has been moved to the pixels that it takes."""

    def write(self, g: Graph, x: Wire) -> Wire:
        y = g.add("expand", Conv(x.channels, self.mid_channels, activation=self.activation), x)
        y = g.add("mix", Shift(self.mid_channels, self.kernel), y)
        return self._end(g, x, y, stride=self.stride)

"""Tucker convolution: a full convolution between two pointwise ones, all of it narrower than what comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.shortcut import added


@dataclass(frozen=True, kw_only=True)
class Tucker:
    """Tucker convolution, or generalised bottleneck (MobileDets, arXiv:2004.14525, section 3.2): squeeze, convolve,
    project."""

    out_channels: int
    mid_channels: int
    """Width behind the first pointwise convolution."""
    rank_channels: int
    """Width behind the full convolution."""
    kernel: int = 1
    stride: int = 1
    activation: Activation = "relu"
    residual: bool = False
    projection: bool = False
    """As of inverted bottlenecks."""
    parts: ClassVar[tuple[str, ...]] = ("rank_channels",)

    def write(self, g: Graph, x: Wire) -> Wire:
        act = self.activation
        y = g.add("squeeze", Conv(x.channels, self.mid_channels, activation=act), x)
        y = g.add("core", Conv(y.channels, self.rank_channels, self.kernel, self.stride, activation=act), y)
        y = g.add("project", Conv(y.channels, self.out_channels), y)
        return added(g, x, y, residual=self.residual, projection=self.projection, stride=self.stride)

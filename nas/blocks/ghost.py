"""Ghost bottlenecks: half of the channels are made by cheap operations of the other half."""

from __future__ import annotations

from dataclasses import dataclass

from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.inverted import Inverted
from nas.blocks.join import Concat, Multiply
from nas.blocks.mixing import Gate, LineConv, LocalPool, Slice
from nas.blocks.shortcut import added

CHEAP = 3
"""Kernel of the cheap operations, as published."""
LINE = 5
"""Reach of long-range attention along each axis, on half the pixels, as published."""


@dataclass(frozen=True, kw_only=True)
class Ghost(Inverted):
    """Ghost bottleneck of GhostNet (arXiv:1911.11907, section 3.2), and of GhostNetV2 with `dfc`.

    Two ghost modules, one that expands and a linear one, with a depthwise convolution between them where the stride is
    above 1. `projection` is the published shortcut: a depthwise convolution of the same kernel, then a pointwise one.
    """

    kernel: int = 3
    """Of the depthwise convolutions. A layer without stride and projection has none, and is one for all kernels: 3."""
    dfc: bool = False
    """Whether the first module is gated by decoupled fully connected attention: averages of 2×2 pixels, weighed along
    rows, then along columns (arXiv:2211.12905, section 4)."""

    def __post_init__(self) -> None:
        if self.stride == 1 and not self.projection:
            object.__setattr__(self, "kernel", 3)

    def write(self, g: Graph, x: Wire) -> Wire:
        into, width = x.channels, self.mid_channels
        y = _ghosts(g, "expand", x, width, self.activation)
        if self.dfc:
            gate = g.add("gate_pool", LocalPool(2, 2, "average", edges=False), x)
            gate = g.add("gate_conv", Conv(into, width), gate)
            gate = g.add("gate_rows", LineConv(width, LINE), gate)
            gate = g.add("gate_columns", LineConv(width, LINE, vertical=True), gate)
            y = g.add("gated", Multiply(), y, g.add("gate", Gate(), y, gate))
        if self.stride > 1:
            y = g.add("depthwise", Conv(width, width, self.kernel, self.stride, width), y)
        y = _ghosts(g, "project", self._excited(g, y), self.out_channels, "none")
        residual, projection = self.residual, self.projection
        return added(g, x, y, residual=residual, projection=projection, stride=self.stride, depthwise=self.kernel)


def _ghosts(g: Graph, name: str, x: Wire, width: int, activation: str) -> Wire:
    """A ghost module: a pointwise convolution to half of the width, and for each of its channels a depthwise one."""
    half = -(-width // 2)
    first = g.add(name, Conv(x.channels, half, activation=activation), x)
    second = g.add(f"{name}_cheap", Conv(half, half, CHEAP, 1, half, activation), first)
    y = g.add(f"{name}_join", Concat(), first, second)
    return g.add(f"{name}_cut", Slice(0, width), y) if width % 2 else y

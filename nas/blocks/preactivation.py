"""Layers of networks whose activations stand before their convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import Activate, Norm
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add
from nas.blocks.mixing import LocalPool
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class Preact:
    """A residual block of two convolutions, each behind its activation and before its batch normalisation: what stands
    between the stages of NAS-Bench-201 (arXiv:2001.00326, section 2.1).

    Its way past is the average of stride × stride pixels, then a 1×1 convolution without normalisation; where width and
    size stay, what comes in.
    """

    out_channels: int
    kernel: int = 3
    stride: int = 1
    activation: Activation = "relu"

    def write(self, g: Graph, x: Wire) -> Wire:
        _, height, width = x.shape
        if height % self.stride or width % self.stride:
            raise ArchitectureError(
                f"A preact layer averages whole windows: its stride {self.stride} divides the size of what comes in, "
                f"got {height}×{width}."
            )
        y = self._conv(g, "first", x, self.stride)
        y = self._conv(g, "second", y, 1)
        past = x
        if self.stride > 1:
            past = g.add("average", LocalPool(self.stride, self.stride, "average", edges=False), past)
        if self.stride > 1 or x.channels != self.out_channels:
            past = g.add("project", Conv(x.channels, self.out_channels, norm=False), past)
        return g.add("add", Add(), past, y)

    def _conv(self, g: Graph, name: str, x: Wire, stride: int) -> Wire:
        if self.activation != "none":
            x = g.add(f"{name}_act", Activate(self.activation), x)
        return g.add(name, Conv(x.channels, self.out_channels, self.kernel, stride), x)


@dataclass(frozen=True, kw_only=True)
class NormAct:
    """Batch normalisation and an activation: what ends such a network before its head."""

    out_channels: int
    """Those of what comes in."""
    stride: int = 1
    activation: Activation = "relu"
    keeps_width: ClassVar[bool] = True

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.stride != 1 or x.channels != self.out_channels:
            raise ArchitectureError(
                f"A norm layer changes neither width nor size, got stride {self.stride}, "
                f"{x.channels} → {self.out_channels} channels."
            )
        y = g.add("norm", Norm(x.channels), x)
        return y if self.activation == "none" else g.add("act", Activate(self.activation), y)

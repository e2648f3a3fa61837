"""What FasterNet is made of (arXiv:2303.03667): partial convolutions, and patches between stages."""

from __future__ import annotations

from dataclasses import dataclass

from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add, Concat
from nas.blocks.mixing import Slice
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class PConv:
    """FasterNet block (arXiv:2303.03667, sections 3.2 and 3.4): a partial convolution, which leaves all but the first
    channels as they are, then two pointwise ones with one normalisation and activation between them."""

    out_channels: int
    mid_channels: int
    kernel: int = 3
    n_div: int = 4
    """Of so many channels one is convolved."""
    activation: Activation = "relu"
    residual: bool = False

    def write(self, g: Graph, x: Wire) -> Wire:
        part = x.channels // self.n_div
        if not part:
            raise ArchitectureError(
                f"A pconv layer convolves one of {self.n_div} channels, so it takes as many at least; got {x.channels}."
            )
        y = g.add("part", Slice(0, part), x) if self.n_div > 1 else x
        y = g.add("partial", Conv(part, part, self.kernel, norm=False), y)
        if self.n_div > 1:
            y = g.add("join", Concat(), y, g.add("rest", Slice(part, x.channels), x))
        y = g.add("expand", Conv(x.channels, self.mid_channels, activation=self.activation), y)
        y = g.add("project", Conv(self.mid_channels, self.out_channels, norm=False), y)
        return g.add("add", Add(), x, y) if self.residual else y


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Patch embedding and merging (arXiv:2303.03667, section 3.4): a convolution of stride×stride pixels that do not
    overlap, and batch normalisation. Where pixels are missing at the end, they are zeros."""

    out_channels: int
    stride: int = 1

    def write(self, g: Graph, x: Wire) -> Wire:
        return g.add("conv", Conv(x.channels, self.out_channels, self.stride, self.stride, padding="same"), x)

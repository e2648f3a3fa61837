"""Inverted bottlenecks of several kernels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.inverted import Filtered
from nas.blocks.join import Concat
from nas.blocks.mixing import Slice
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class MixConv(Filtered):
    """An inverted bottleneck whose depthwise convolution has several kernels, each for an equal share of the channels
    (MixNet, arXiv:1907.09595, section 3): the largest is `kernel`, the others are 2, 4, … smaller. The first has the
    channels that are left over."""

    kernels: int = 1
    """How many."""
    groups: int = 1
    """Of the expansion; `project_groups` of the projection."""
    project_groups: int = 1

    def write(self, g: Graph, x: Wire) -> Wire:
        width, count = self.mid_channels, self.kernels
        if count > min(width, self.kernel // 2 + 1):
            raise ArchitectureError(
                f"Kernels of a mixconv layer are 1 at least and have a channel each, got {count} up to {self.kernel} "
                f"for {width} channels."
            )
        if count == 1 and self.groups == self.project_groups:  # one key for one layer
            raise ArchitectureError("A mixconv layer of one kernel and as many groups at both ends is an mbconv layer.")
        y = g.add("expand", Conv(x.channels, width, 1, 1, self.groups, self.activation), x)
        if count == 1:
            y = self._depthwise(g, "depthwise", self.kernel, y)
        else:
            share, left = divmod(width, count)
            starts = [0, *(left + share * place for place in range(1, count + 1))]
            parts = []
            for place, (start, stop) in enumerate(pairwise(starts)):
                part = g.add(f"part{place}", Slice(start, stop), y)
                kernel = self.kernel - 2 * (count - 1 - place)
                parts.append(self._depthwise(g, f"depthwise{place}", kernel, part))
            y = g.add("join", Concat(), *parts)
        return self._end(g, x, y, self.project_groups)

    def _depthwise(self, g: Graph, name: str, kernel: int, y: Wire) -> Wire:
        op = Conv(y.channels, y.channels, kernel, self.stride, y.channels, self.activation)
        return self._filtered(g, name, op, y)

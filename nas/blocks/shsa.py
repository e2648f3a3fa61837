"""Single-head self-attention on a part of the channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.attention import Attention, LayerNorm
from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import Activate
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add, Concat
from nas.blocks.mixing import Slice
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class Shsa:
    """SHViT's block (arXiv:2401.16456, figure 5): a depthwise convolution, attention of one head on the first
    `part_channels`, whose rest joins it for the projection, and two pointwise convolutions; each is added
    to what comes in. Where stride or width change, a 3×3 convolution with batch normalisation comes first.
    """

    out_channels: int
    mid_channels: int
    """Width between the pointwise convolutions."""
    kernel: int = 3
    stride: int = 1
    part_channels: int = 0
    """0: no attention, as in early stages."""
    key_channels: int = 0
    """Of queries and of keys; values have `part_channels`."""
    activation: Activation = "relu"
    inside: ClassVar[bool] = True
    parts: ClassVar[tuple[str, ...]] = ("part_channels",)

    def write(self, g: Graph, x: Wire) -> Wire:
        width = self.out_channels
        if self.part_channels >= width:
            raise ArchitectureError(f"`part_channels` are fewer than {width} `out_channels`, got {self.part_channels}.")
        if bool(self.part_channels) != bool(self.key_channels):
            raise ArchitectureError(
                "A shsa layer has `part_channels` and `key_channels` of at least 1, or none of both, got "
                f"{self.part_channels} and {self.key_channels}."
            )
        if self.stride != 1 or x.channels != width:
            x = g.add("embed", Conv(x.channels, width, 3, self.stride), x)
        x = g.add("add0", Add(), x, g.add("depthwise", Conv(width, width, self.kernel, groups=width), x))
        if self.part_channels:
            x = g.add("add1", Add(), x, self._attended(g, x))
        y = g.add("widen", Conv(width, self.mid_channels, activation=self.activation), x)
        return g.add("add2", Add(), x, g.add("narrow", Conv(self.mid_channels, width), y))

    def _attended(self, g: Graph, x: Wire) -> Wire:
        (width, high, wide), part, key = x.shape, self.part_channels, self.key_channels
        y = g.add("norm", LayerNorm(part, whole=True), g.add("part", Slice(0, part), x))
        y = g.add("qkv", Conv(part, 2 * key + part), y)
        y = g.add("attend", Attention(1, key, part, high, wide), y)
        y = g.add("join", Concat(), y, g.add("rest", Slice(part, width), x))
        if self.activation != "none":
            y = g.add("act", Activate(self.activation), y)
        return g.add("project", Conv(width, width), y)

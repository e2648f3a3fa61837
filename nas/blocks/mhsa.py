"""Multi-head self-attention over the pixels of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.attention import Attention, LayerNorm, Positions
from nas.blocks.block import Activation
from nas.blocks.convolution import BiasConv, Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.shortcut import scaled
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class Attending:
    """What blocks with attention have."""

    out_channels: int
    stride: int = 1
    heads: int = 0
    key_channels: int = 0
    """Of a head's queries and of its keys."""
    value_channels: int = 0
    """Of a head's values."""
    window: int = 0
    """Side of the windows that attention stays in, in pixels; 0 is the whole map."""
    positions: Positions = "none"
    activation: Activation = "relu"

    def _attended(self, g: Graph, x: Wire) -> Wire:
        """Normalise, attend, project. Raises `ArchitectureError` where widths of heads are missing."""
        if not (self.heads and self.key_channels and self.value_channels):
            raise ArchitectureError(
                "A layer with attention has `heads`, `key_channels` and `value_channels` of at least 1, got "
                f"{self.heads}, {self.key_channels} and {self.value_channels}."
            )
        _, height, width = x.shape
        each = 2 * self.key_channels + self.value_channels
        y = g.add("norm", LayerNorm(x.channels), x)
        y = g.add("qkv", BiasConv(x.channels, self.heads * each), y)
        op = Attention(self.heads, self.key_channels, self.value_channels, height, width, self.window, self.positions)
        y = g.add("attend", op, y)
        return g.add("project", BiasConv(y.channels, x.channels), y)


@dataclass(frozen=True, kw_only=True)
class Mhsa(Attending):
    """Transformer block on a map: EfficientFormer's 3D meta block (arXiv:2206.01191, section 4.1), with
    positions by distance; attention, then a perceptron of two layers, both added to what comes in, both normalised by
    pixel before. Where stride or width change, the map is embedded first, as between the stages there: by a 3×3
    convolution and batch normalisation.
    """

    layer_scale: bool = False
    """Whether what is added has a learned factor for each channel."""
    mid_channels: int = 0
    """Width inside the perceptron; 0: there is none."""
    inside: ClassVar[bool] = True

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.stride != 1 or x.channels != self.out_channels:
            x = g.add("embed", Conv(x.channels, self.out_channels, 3, self.stride), x)
        x = scaled(g, "1", x, self._attended(g, x), self.layer_scale)
        if not self.mid_channels:
            if self.activation != "relu":  # one key for one layer
                raise ArchitectureError(f"Without `mid_channels`, `activation` stays 'relu', got {self.activation!r}.")
            return x
        y = g.add("mlp_norm", LayerNorm(x.channels), x)
        y = g.add("widen", BiasConv(x.channels, self.mid_channels, activation=self.activation), y)
        y = g.add("narrow", BiasConv(self.mid_channels, x.channels), y)
        return scaled(g, "2", x, y, self.layer_scale)

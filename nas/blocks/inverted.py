"""Inverted bottlenecks: narrow, wide, narrow; with squeeze-and-excitation where the layer is wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation, Gate
from nas.blocks.convolution import Conv, SqueezeExcite
from nas.blocks.graph import Graph, Wire
from nas.blocks.shortcut import added
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class Inverted:
    """What all of them have."""

    out_channels: int
    mid_channels: int
    """Width of the depthwise or expanded part."""
    kernel: int = 1
    stride: int = 1
    se_channels: int = 0
    """Inner width of squeeze-and-excitation; 0 is none."""
    se_gate: Gate = "sigmoid"
    activation: Activation = "relu"
    residual: bool = False
    projection: bool = False
    """Whether what comes in is added by a convolution of its own, where stride or width change."""

    def _excited(self, g: Graph, y: Wire) -> Wire:
        if self.se_channels:
            return g.add("excite", SqueezeExcite(y.channels, self.se_channels, self.se_gate), y)
        if self.se_gate != "sigmoid":
            raise ArchitectureError(f"Without `se_channels`, `se_gate` stays 'sigmoid', got {self.se_gate!r}.")
        return y

    def _end(self, g: Graph, x: Wire, y: Wire, groups: int = 1, stride: int = 1) -> Wire:
        """Excite, project, and add what came in. The `stride` is of the projection."""
        y = self._excited(g, y)
        y = g.add("project", Conv(y.channels, self.out_channels, 1, stride, groups), y)
        return added(g, x, y, residual=self.residual, projection=self.projection, stride=self.stride)


@dataclass(frozen=True, kw_only=True)
class SepConv(Inverted):
    """Depthwise then linear pointwise convolution (arXiv:1801.04381, t = 1): also MBConv with expansion 1."""

    family: ClassVar[str] = "inverted bottleneck"
    expands: ClassVar[bool] = False

    def write(self, g: Graph, x: Wire) -> Wire:
        width = x.channels
        if self.mid_channels != width:
            raise ArchitectureError(
                f"`mid_channels` of a sepconv layer is its input width {width}, got {self.mid_channels}."
            )
        y = g.add("depthwise", Conv(width, width, self.kernel, self.stride, width, self.activation), x)
        return self._end(g, x, y)


@dataclass(frozen=True, kw_only=True)
class MBConv(Inverted):
    """Inverted bottleneck (arXiv:1801.04381, section 3.3)."""

    groups: int = 1
    """Of its pointwise convolutions (FBNet)."""
    family: ClassVar[str] = "inverted bottleneck"

    def write(self, g: Graph, x: Wire) -> Wire:
        width = self.mid_channels
        y = g.add("expand", Conv(x.channels, width, 1, 1, self.groups, self.activation), x)
        y = g.add("depthwise", Conv(width, width, self.kernel, self.stride, width, self.activation), y)
        return self._end(g, x, y, self.groups)


@dataclass(frozen=True, kw_only=True)
class FusedMBConv(Inverted):
    """Fused inverted bottleneck (arXiv:2003.02838, section 3.1): one full convolution expands."""

    def write(self, g: Graph, x: Wire) -> Wire:
        y = g.add("expand", Conv(x.channels, self.mid_channels, self.kernel, self.stride, 1, self.activation), x)
        return self._end(g, x, y)

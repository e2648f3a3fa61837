"""Inverted bottlenecks: narrow, wide, narrow; with a gate where the layer is wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.blocks.block import Activation, AntiAlias, Excitation, Gate
from nas.blocks.blur import downsampled
from nas.blocks.convolution import Conv, SqueezeExcite
from nas.blocks.excitation import ConcurrentExcite, Eca, eca_kernel
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
    excitation: Excitation = "se"
    """What `se_channels` are of: squeeze-and-excitation, or with a gate by pixel beside it (scse). Or an eca, which has
    no inner width."""

    def _excited(self, g: Graph, y: Wire) -> Wire:
        if self.excitation == "eca":
            if self.se_channels:
                raise ArchitectureError(f"An eca has no inner width: `se_channels` stays 0, got {self.se_channels}.")
            return g.add("eca", Eca(eca_kernel(y.channels), self.se_gate), y)
        if self.se_channels and self.excitation == "scse":
            return g.add("scse", ConcurrentExcite(y.channels, self.se_channels, self.se_gate), y)
        if self.se_channels:
            return g.add("excite", SqueezeExcite(y.channels, self.se_channels, self.se_gate), y)
        if self.excitation == "scse":
            raise ArchitectureError("An scse has an inner width: `se_channels` of at least 1, got 0.")
        if self.se_gate != "sigmoid":
            raise ArchitectureError(f"Without `se_channels`, `se_gate` stays 'sigmoid', got {self.se_gate!r}.")
        return y

    def _projected(self, g: Graph, y: Wire, groups: int = 1, stride: int = 1, activation: str = "none") -> Wire:
        """Excite and project. The `stride` is of the projection."""
        y = self._excited(g, y)
        return g.add("project", Conv(y.channels, self.out_channels, 1, stride, groups, activation), y)

    def _added(self, g: Graph, x: Wire, y: Wire) -> Wire:
        """Add what came in, `x`, to what is given."""
        return added(g, x, y, residual=self.residual, projection=self.projection, stride=self.stride)

    def _end(self, g: Graph, x: Wire, y: Wire, groups: int = 1, stride: int = 1) -> Wire:
        """Excite, project, and add what came in."""
        return self._added(g, x, self._projected(g, y, groups, stride))


@dataclass(frozen=True, kw_only=True)
class Filtered(Inverted):
    """Those whose stride is of a convolution over pixels, which anti-aliasing may take."""

    anti_alias: AntiAlias = "none"
    """What takes the stride's share of the pixels, if not the convolution itself."""

    def _filtered(self, g: Graph, name: str, op: Conv, x: Wire) -> Wire:
        return downsampled(g, name, op, x, self.anti_alias)


@dataclass(frozen=True, kw_only=True)
class SepConv(Filtered):
    """Depthwise then linear pointwise convolution (arXiv:1801.04381, t = 1): also MBConv with expansion 1."""

    family: ClassVar[str] = "inverted bottleneck"
    expands: ClassVar[bool] = False

    def write(self, g: Graph, x: Wire) -> Wire:
        width = x.channels
        if self.mid_channels != width:
            raise ArchitectureError(
                f"`mid_channels` of a sepconv layer is its input width {width}, got {self.mid_channels}."
            )
        op = Conv(width, width, self.kernel, self.stride, width, self.activation)
        return self._end(g, x, self._filtered(g, "depthwise", op, x))


@dataclass(frozen=True, kw_only=True)
class ActivatedSepConv(Filtered):
    """Depthwise then pointwise convolution, both activated (MobileNetV1, arXiv:1704.04861, section 3.1; with
    squeeze-and-excitation between them PP-LCNet, arXiv:2109.15099, section 3)."""

    expands: ClassVar[bool] = False

    def write(self, g: Graph, x: Wire) -> Wire:
        width = x.channels
        if self.mid_channels != width:
            raise ArchitectureError(
                f"`mid_channels` of a dsa layer is its input width {width}, got {self.mid_channels}."
            )
        op = Conv(width, width, self.kernel, self.stride, width, self.activation)
        y = self._filtered(g, "depthwise", op, x)
        return self._added(g, x, self._projected(g, y, activation=self.activation))


@dataclass(frozen=True, kw_only=True)
class MBConv(Filtered):
    """Inverted bottleneck (arXiv:1801.04381, section 3.3)."""

    groups: int = 1
    """Of its pointwise convolutions (FBNet)."""
    family: ClassVar[str] = "inverted bottleneck"

    def write(self, g: Graph, x: Wire) -> Wire:
        width = self.mid_channels
        y = g.add("expand", Conv(x.channels, width, 1, 1, self.groups, self.activation), x)
        op = Conv(width, width, self.kernel, self.stride, width, self.activation)
        return self._end(g, x, self._filtered(g, "depthwise", op, y), self.groups)


@dataclass(frozen=True, kw_only=True)
class FusedMBConv(Filtered):
    """Fused inverted bottleneck (arXiv:2003.02838, section 3.1): one full convolution expands."""

    groups: int = 1
    """Of that convolution (MobileNet-EdgeTPU-V2)."""

    def write(self, g: Graph, x: Wire) -> Wire:
        op = Conv(x.channels, self.mid_channels, self.kernel, self.stride, self.groups, self.activation)
        return self._end(g, x, self._filtered(g, "expand", op, x))

"""The way past a block: what came in, added to what it gives."""

from __future__ import annotations

from nas.blocks.attention import LayerScale
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add
from nas.errors import ArchitectureError


def added(g: Graph, x: Wire, y: Wire, *, residual: bool, projection: bool, stride: int, depthwise: int = 0) -> Wire:
    """What a block of this stride gives: `y`; with a `residual` the input `x` is added as it came, with a `projection`
    by a 1×1 convolution and batch normalisation, behind a `depthwise` one of that kernel unless it is 0. Raises
    `ArchitectureError` where `x` needs no projection.
    """
    if not projection:
        return g.add("add", Add(), x, y) if residual else y
    if stride == 1 and x.channels == y.channels:
        raise ArchitectureError(
            "A `projection` is where stride or width change; where they do not, `residual` adds the input as it is."
        )
    if depthwise:
        x, stride = g.add("shortcut_depthwise", Conv(x.channels, x.channels, depthwise, stride, x.channels), x), 1
    return g.add("add", Add(), g.add("shortcut", Conv(x.channels, y.channels, 1, stride), x), y)


def scaled(g: Graph, name: str, x: Wire, y: Wire, layer_scale: bool) -> Wire:
    """The sum of both, with a learned factor for each channel of `y` where there is a `layer_scale`."""
    if layer_scale:
        y = g.add(f"scale{name}", LayerScale(y.channels), y)
    return g.add(f"add{name}", Add(), x, y)

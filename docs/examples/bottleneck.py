"""A kind of layer of one's own, and the program `nas` with it: `python bottleneck.py search --space …`."""

from dataclasses import dataclass

from nas.blocks.block import BLOCKS, Activation
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add


@dataclass(frozen=True, kw_only=True)
class Bottleneck:
    """Narrow to a quarter, convolve, widen (arXiv:1512.03385), without an activation after the sum."""

    out_channels: int
    kernel: int = 3
    stride: int = 1
    activation: Activation = "relu"
    residual: bool = False

    def write(self, g: Graph, x: Wire) -> Wire:
        inner = self.out_channels // 4
        y = g.add("narrow", Conv(x.channels, inner, activation=self.activation), x)
        y = g.add("convolve", Conv(inner, inner, self.kernel, self.stride, activation=self.activation), y)
        y = g.add("widen", Conv(inner, self.out_channels), y)
        return g.add("add", Add(), x, y) if self.residual else y


BLOCKS["bottleneck"] = Bottleneck

if __name__ == "__main__":
    from nas.cli import main

    main()

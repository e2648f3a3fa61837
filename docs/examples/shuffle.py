"""An operation and a kind of layer of one's own, and the program `nas` with both: `python shuffle.py search …`."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from nas.blocks.block import BLOCKS, Activation
from nas.blocks.convolution import Conv
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add
from nas.blocks.op import OnnxGraph, Op, Shape


class ShuffleModule(nn.Module):
    """Channels of all groups in turn (ShuffleNet, arXiv:1707.01083, figure 1)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, channels, height, width = x.shape
        split = x.reshape(n, self.groups, channels // self.groups, height, width)
        return split.transpose(1, 2).reshape(n, channels, height, width)


@dataclass(frozen=True)
class Shuffle(Op):
    """The operation: its torch module, its shape, its ONNX nodes. It has no weights and no MACs."""

    groups: int
    module: ClassVar[type[nn.Module]] = ShuffleModule

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        ((channels, height, width),) = shapes
        split = graph.integers(f"{name}.split", [0, self.groups, channels // self.groups, height, width])
        joined = graph.integers(f"{name}.joined", [0, channels, height, width])
        value = graph.node("Reshape", [*values, split])
        value = graph.node("Transpose", [value], perm=[0, 2, 1, 3, 4])
        return graph.node("Reshape", [value, joined])


@dataclass(frozen=True, kw_only=True)
class ShuffleBlock:
    """A unit of ShuffleNet with stride 1 or 2: grouped pointwise, shuffle, depthwise, grouped pointwise."""

    out_channels: int
    kernel: int = 3
    stride: int = 1
    split: int = 2
    """Groups of both pointwise convolutions."""
    activation: Activation = "relu"
    residual: bool = False

    def write(self, g: Graph, x: Wire) -> Wire:
        wide = self.out_channels
        y = g.add("squeeze", Conv(x.channels, wide, groups=self.split, activation=self.activation), x)
        y = g.add("shuffle", Shuffle(self.split), y)
        y = g.add("depthwise", Conv(wide, wide, self.kernel, self.stride, wide), y)
        y = g.add("expand", Conv(wide, wide, groups=self.split), y)
        return g.add("add", Add(), x, y) if self.residual else y


BLOCKS["shuffle"] = ShuffleBlock

if __name__ == "__main__":
    from nas.cli import main

    main()

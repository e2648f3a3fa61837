"""Multi-query attention of MobileNetV4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from nas.blocks.attention import LayerScale
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import Norm
from nas.blocks.graph import Graph, Wire
from nas.blocks.op import OnnxGraph, Op, Shape
from nas.blocks.shortcut import added
from nas.errors import ArchitectureError


@dataclass(frozen=True)
class Attend(Op):
    """Attention of several heads of queries over the one set of keys and values that they share (arXiv:1911.02150,
    section 3): softmax of query · key / √key_dim over all places of the keys, times the values there."""

    heads: int
    key_dim: int
    """Of a key, a value, and one head's query."""

    module: ClassVar[str] = "nas.blocks.multi_query_modules:Attend"
    sizes: ClassVar[tuple[str, ...]] = ("heads",)

    @property
    def keeps(self) -> bool:
        return False

    def shape(self, *inputs: Shape) -> Shape:
        query, key, value = inputs
        if (query[0], key[0]) != (self.heads * self.key_dim, self.key_dim) or key != value:
            raise ArchitectureError(
                f"{self.heads} heads of {self.key_dim} take {self.heads * self.key_dim} channels of queries, and keys "
                f"and values of {self.key_dim} and one size, got {', '.join('×'.join(map(str, s)) for s in inputs)}."
            )
        return query

    def macs(self, *inputs: Shape) -> int:
        """Of the two products of matrices."""
        query, key, _ = inputs
        return 2 * prod(query) * prod(key[1:])

    def held(self, *inputs: Shape) -> int:
        """See `Op`. A share for each query and key, and what they give."""
        query, key, _ = inputs
        return self.heads * prod(query[1:]) * prod(key[1:]) + prod(query)

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """Maps are taken apart, turned and put together around two products and a softmax."""
        query, key, _ = inputs
        shares = self.heads * prod(query[1:]) * prod(key[1:])
        return {
            "operators": 7,
            "matmul": self.macs(*inputs),
            "softmax": shares,
            "traffic": 4 * prod(query) + 4 * prod(key),
        }

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (_, height, width), (_, rows, columns), _ = shapes
        heads, size, pixels = self.heads, self.key_dim, height * width

        def shaped(value: str, what: str, *shape: int) -> str:
            return graph.node("Reshape", [value, graph.integers(f"{name}.{what}", [0, *shape])])

        def turned(value: str) -> str:
            return graph.node("Transpose", [value], perm=[0, 1, 3, 2])

        query, key, value = values
        query = shaped(turned(shaped(query, "by_head", heads, size, pixels)), "queries", heads * pixels, size)
        key, value = shaped(key, "keys", size, rows * columns), shaped(value, "values", size, rows * columns)
        alike = graph.node("MatMul", [query, key])
        alike = graph.node("Mul", [alike, graph.scalar(f"root_{size}", size**-0.5)])
        shares = graph.node("Softmax", [alike], axis=-1)
        given = graph.node("MatMul", [shares, graph.node("Transpose", [value], perm=[0, 2, 1])])
        given = turned(shaped(given, "heads", heads, pixels, size))
        return shaped(given, "map", heads * size, height, width)


@dataclass(frozen=True, kw_only=True)
class MultiQueryAttention:
    """Mobile multi-query attention (MobileNetV4, arXiv:2404.10518, section 4): every pixel asks, in `heads` ways, and
    all ask the same keys and values, which are of fewer pixels where `key_stride` is more than 1."""

    out_channels: int
    heads: int = 4
    key_dim: int = 64
    kernel: int = 1
    """Of the depthwise convolutions that take the key's stride; 1 where it is 1."""
    key_stride: int = 1
    layer_scale: bool = False
    """As of uir layers."""
    residual: bool = False

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.key_stride == 1 and self.kernel != 1:  # one key for one layer
            raise ArchitectureError(f"Without a `key_stride`, `kernel` of a mqa layer stays 1, got {self.kernel}.")
        width, size = x.channels, self.key_dim
        normed = g.add("norm", Norm(width), x)
        query = g.add("query", Conv(width, self.heads * size, norm=False), normed)
        sides = []
        for side in ("key", "value"):
            y = normed
            if self.key_stride > 1:
                y = g.add(f"{side}_down", Conv(width, width, self.kernel, self.key_stride, width), y)
            sides.append(g.add(side, Conv(width, size, norm=False), y))
        y = g.add("attend", Attend(self.heads, size), query, *sides)
        y = g.add("project", Conv(self.heads * size, self.out_channels, norm=False), y)
        y = g.add("scale", LayerScale(y.channels), y) if self.layer_scale else y
        return added(g, x, y, residual=self.residual, projection=False, stride=1)

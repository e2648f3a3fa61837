"""Attention over the pixels of a map, and what is normalised and scaled around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import numpy as np

from nas.blocks.op import OnnxGraph, Op, Shape, Weight
from nas.errors import ArchitectureError

Positions = Literal["none", "distance", "offset"]
"""What is learned of the place of a pixel and of one that it attends to, by head: nothing; a number for each distance,
down and to the right (LeViT, arXiv:2104.01136, section 4.2); or one for each offset with its sign (Swin,
arXiv:2103.14030, section 3.2)."""


@dataclass(frozen=True)
class Attention(Op):
    """Softmax attention (arXiv:1706.03762, section 3.2.1) of each pixel to all of its window, by heads.

    It takes each head's queries, keys and values, head after head. Windows of window×window pixels do not overlap, 0 is
    one of the whole map; a map that they do not divide has zeros below and at the right.
    """

    heads: int
    key: int
    """Channels of a head's queries, and of its keys."""
    value: int
    """Channels of a head's values."""
    height: int
    """Of the map; `width` likewise."""
    width: int
    window: int = 0
    positions: str = "none"

    module: ClassVar[str] = "nas.blocks.attention_modules:Attention"
    sizes: ClassVar[tuple[str, ...]] = ("heads",)

    @property
    def keeps(self) -> bool:
        """A channel's place says which head it is of, and what it is there."""
        return False

    @property
    def _sides(self) -> tuple[int, int, int, int]:
        """Rows and columns of a window, windows down and to the right."""
        rows, columns = (min(self.window or size, size) for size in (self.height, self.width))
        return rows, columns, -(-self.height // rows), -(-self.width // columns)

    @property
    def _scores(self) -> int:
        """Of all heads, for one picture."""
        rows, columns, down, right = self._sides
        return self.heads * down * right * (rows * columns) ** 2

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        wanted = self.heads * (2 * self.key + self.value), self.height, self.width
        if shape != wanted:
            of, got = ("×".join(map(str, sizes)) for sizes in (wanted, shape))
            raise ArchitectureError(f"Attention of {self.heads} heads takes {of} values, not {got}.")
        return self.heads * self.value, self.height, self.width

    def weights(self) -> Mapping[str, Weight]:
        """Of smaller windows the nearest places: the first distances, or the offsets in the centre."""
        rows, columns, *_ = self._sides
        if self.positions == "distance":
            return {"attention_biases": Weight((self.heads, rows, columns), "hyx")}
        if self.positions == "offset":
            return {"attention_biases": Weight((self.heads, 2 * rows - 1, 2 * columns - 1), "hkk")}
        return {}

    def macs(self, *inputs: Shape) -> int:
        """Of both products: scores, and sums of values."""
        return self._scores * (self.key + self.value)

    def held(self, *inputs: Shape) -> int:
        """See `Op`. Scores are there, with softmax done in place, beside what was taken apart, or beside values and
        their sums; of windows both maps are there before, as they came and cut, and after."""
        rows, columns, down, right = self._sides
        pixels = self.heads * rows * columns * down * right
        taken, given = pixels * (2 * self.key + self.value), pixels * self.value
        return max(2 * taken, self._scores + max(taken, 2 * given))

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """Maps are taken apart, turned and put together around two products and a softmax."""
        whole = self._sides[2:] == (1, 1)
        traffic = (2 if whole else 4) * (prod(inputs[0]) + prod(self.shape(*inputs)))
        return {
            "operators": 7 if whole else 9,
            "matmul": self.macs(*inputs),
            "softmax": self._scores,
            "traffic": traffic,
        }

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,) = values
        rows, columns, down, right = self._sides
        pixels, channels = rows * columns, 2 * self.key + self.value
        missing = down * rows - self.height, right * columns - self.width
        if any(missing):
            value = graph.node("Pad", [value, graph.integers(f"{name}.pads", [0] * 6 + list(missing))])
        if down * right == 1:
            value = self._shaped(graph, f"{name}.taken", value, [0, self.heads, channels, pixels])
        else:
            value = self._shaped(graph, f"{name}.cut", value, [0, self.heads, channels, down, rows, right, columns])
            value = graph.node("Transpose", [value], perm=[0, 3, 5, 1, 2, 4, 6])
            value = self._shaped(graph, f"{name}.taken", value, [0, down * right, self.heads, channels, pixels])
        axis = 2 if down * right == 1 else 3
        turned = [*range(axis), axis + 1, axis]
        starts = np.cumsum([0, self.key, self.key, self.value]).tolist()
        axes = graph.integers(f"{name}.axis", [axis])
        ends = [graph.integers(f"{name}.{place}", [start]) for place, start in enumerate(starts)]
        query, keys, kept = (graph.node("Slice", [value, ends[n], ends[n + 1], axes]) for n in range(3))
        scaled = graph.node("Mul", [query, graph.scalar(f"{name}.scale", self.key**-0.5)])
        scores = graph.node("MatMul", [graph.node("Transpose", [scaled], perm=turned), keys])
        if self.positions != "none":
            scores = graph.node("Add", [scores, self._bias(graph, name)])
        shares = graph.node("Softmax", [scores], axis=axis + 1)
        value = graph.node("MatMul", [shares, graph.node("Transpose", [kept], perm=turned)])
        value = graph.node("Transpose", [value], perm=turned)
        given = self.heads * self.value
        if down * right > 1:
            value = self._shaped(graph, f"{name}.windows", value, [0, down, right, given, rows, columns])
            value = graph.node("Transpose", [value], perm=[0, 3, 1, 4, 2, 5])
        value = self._shaped(graph, f"{name}.given", value, [0, given, down * rows, right * columns])
        if any(missing):
            bounds = {"from": [0, 0], "to": [self.height, self.width], "sides": [2, 3]}
            value = graph.node("Slice", [value, *(graph.integers(f"{name}.{what}", at) for what, at in bounds.items())])
        return value

    def _bias(self, graph: OnnxGraph, name: str) -> str:
        """heads, pixels, pixels: what learned positions add to the scores."""
        rows, columns, *_ = self._sides
        bias = graph.weight(f"{name}.attention_biases", *self.weights()["attention_biases"].shape)
        for axis, (what, size) in enumerate({"rows": rows, "columns": columns}.items()):
            offset = np.arange(size)[:, None] - np.arange(size)
            place = np.abs(offset) if self.positions == "distance" else offset + size - 1
            flat = graph.integers(f"{name}.{what}", place.ravel().tolist())
            bias = graph.node("Gather", [bias, flat], axis=1 + axis)  # heads, rows · rows, columns · columns
        bias = self._shaped(graph, f"{name}.places", bias, [self.heads, rows, rows, columns, columns])
        bias = graph.node("Transpose", [bias], perm=[0, 1, 3, 2, 4])
        return self._shaped(graph, f"{name}.table", bias, [self.heads, rows * columns, rows * columns])

    @staticmethod
    def _shaped(graph: OnnxGraph, name: str, value: str, shape: list[int]) -> str:
        return graph.node("Reshape", [value, graph.integers(name, shape)])


@dataclass(frozen=True)
class LayerNorm(Op):
    """Normalisation of each pixel over its channels (arXiv:1607.06450), or of a picture over all of its values
    (`whole`: arXiv:1803.08494, one group)."""

    channels: int
    whole: bool = False
    norm_eps: float = 1e-5

    module: ClassVar[str] = "nas.blocks.attention_modules:LayerNorm"

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        if shape[0] != self.channels:
            raise ArchitectureError(f"A normalisation of {self.channels} channels does not take {shape[0]}.")
        return shape

    def weights(self) -> Mapping[str, Weight]:
        return {"weight": Weight((self.channels,), "o", start=1.0), "bias": Weight((self.channels,), "o")}

    def held(self, *inputs: Shape) -> int:
        """See `Op`. A map is there twice: turned and normalised, or normalised and scaled."""
        return prod(inputs[0]) * (1 if len(inputs[0]) == 1 else 2)

    def work(self, *inputs: Shape) -> Mapping[str, int]:
        """A map is turned so that channels are last, and back; whole, it is scaled and shifted by itself."""
        return {"operators": 3, "traffic": 6 * prod(inputs[0])}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        (value,), (shape,) = values, shapes
        weights = [graph.weight(f"{name}.{part}", self.channels) for part in ("weight", "bias")]
        if not self.whole:
            if len(shape) == 1:
                return graph.node("LayerNormalization", [value, *weights], axis=-1, epsilon=self.norm_eps)
            value = graph.node("Transpose", [value], perm=[0, 2, 3, 1])
            value = graph.node("LayerNormalization", [value, *weights], axis=-1, epsilon=self.norm_eps)
            return graph.node("Transpose", [value], perm=[0, 3, 1, 2])
        sizes = {"row": [0, 1, -1], "map": [0, *shape], "channels": [self.channels, 1, 1], "single": [1]}
        row, back, wide, single = (graph.integers(f"{name}.{what}", size) for what, size in sizes.items())
        unit = [graph.node("Reshape", [graph.scalar(what, n), single]) for what, n in (("one", 1.0), ("zero", 0.0))]
        value = graph.node("InstanceNormalization", [graph.node("Reshape", [value, row]), *unit], epsilon=self.norm_eps)
        scale, shift = (graph.node("Reshape", [weight, wide]) for weight in weights)
        return graph.node("Add", [graph.node("Mul", [graph.node("Reshape", [value, back]), scale]), shift])


@dataclass(frozen=True)
class LayerScale(Op):
    """A learned factor for each channel, small at first, of what a block adds (arXiv:2103.17239, section 2)."""

    channels: int

    module: ClassVar[str] = "nas.blocks.attention_modules:LayerScale"
    sizes: ClassVar[tuple[str, ...]] = ("channels",)

    def shape(self, *inputs: Shape) -> Shape:
        (shape,) = inputs
        return shape

    def weights(self) -> Mapping[str, Weight]:
        """They start as in networks of up to 18 such blocks."""
        return {"gamma": Weight((self.channels, 1, 1), "o..", start=0.1, masked="o")}

    def onnx(self, graph: OnnxGraph, name: str, *values: str, shapes: tuple[Shape, ...]) -> str:
        return graph.node("Mul", [*values, graph.weight(f"{name}.gamma", self.channels, 1, 1)])

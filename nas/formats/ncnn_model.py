"""ncnn's own format: `.param`, a text of layers, and the values of their weights in that order.

As its converters do it, an activation is a part of the convolution before it where there is such a part. Shapes have no
batch. A value keeps the shape in which it was made until somebody needs another one, as ncnn knows no more than four
axes: windows of attention have six.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from nas.formats.runtime_graph import Constant, Node, RuntimeGraph, refuse, written

Shape = tuple[int, ...]

_TAG = np.zeros(1, np.float32)
"""Before the weights of a convolution: that they are float32."""
_ACTIVATIONS: dict[str, tuple[str, dict[int, float]]] = {
    "Relu": ("ReLU", {}),
    "Clip": ("Clip", {0: 0.0, 1: 6.0}),
    "Sigmoid": ("Sigmoid", {}),
    "HardSigmoid": ("HardSigmoid", {0: 1 / 6, 1: 0.5}),
    "HardSwish": ("HardSwish", {0: 1 / 6, 1: 0.5}),
    "Swish": ("Swish", {}),
    "Gelu": ("GELU", {}),
}
_WITHIN = {"Relu": (1, ""), "Clip": (3, "2,0.0,6.0"), "Sigmoid": (4, ""), "HardSwish": (6, f"2,{1 / 6:.9g},0.5")}
"""Activations that convolutions have: their number, and their settings."""
_BINARY = {"Add": 0, "Sub": 1, "Mul": 2, "Div": 3}
_SIZES = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}
"""By the number of axes, which parameter the size of each is: of Reshape, MemoryData and Input."""
_AXES = {1: "w", 2: "hw", 3: "chw", 4: "cdhw"}
_ORDERS = tuple(
    orders.split()
    for orders in (
        "wh hw",
        "whc hwc wch cwh hcw chw",
        "whdc hwdc wdhc dwhc hdwc dhwc whcd hwcd wchd cwhd hcwd chwd wdch dwch wcdh cwdh dcwh cdwh hdcw dhcw hcdw chdw "
        "dchw cdhw",
    )
)
"""Orders of Permute by their numbers, of two, three and four axes: the last one first."""


def ncnn_model(model: onnx.ModelProto, weights: Path) -> bytes:
    """A model for `worker.py`, whose external tensors are slices of the file `weights`. Raises `NasError` for a network
    that ncnn cannot run."""
    return _Writer(RuntimeGraph(model, weights)).written()


class _Writer:
    def __init__(self, graph: RuntimeGraph) -> None:
        self.graph, self.taken = graph, graph.taken
        self.layers: list[tuple[str, list[str], str, dict[int | str, Any]]] = []
        self.weights: list[Constant] = []
        self.there: dict[str, tuple[str, Shape]] = {}  # value → what ncnn calls it, and the shape that it has there
        shape = graph.shapes[graph.input][1:]
        self.there[graph.input] = self._layer("Input", [], _sizes(shape)), shape
        activations = {node.inputs[0]: node for node in graph.nodes if node.kind in _WITHIN}
        done = set()
        for node in graph.nodes:
            if node.output in done:
                continue
            write: Callable[[Node], tuple[str, Shape]] | None = getattr(self, f"_{node.kind.lower()}", None)
            if node.kind in _ACTIVATIONS:
                kind, settings = _ACTIVATIONS[node.kind]
                blob, shape = self.there[node.inputs[0]]
                self.there[node.output] = self._layer(kind, [blob], settings), shape
            elif node.kind in _BINARY:
                self.there[node.output] = self._binary(node)
            elif write is None:
                raise refuse("ncnn", node)
            else:
                self.there[node.output] = write(node)
                after = activations.get(node.output)
                if node.kind in ("Conv", "Gemm") and after is not None and self.taken[node.output] == 1:
                    number, settings_of = _WITHIN[after.kind]
                    self.layers[-1][3].update({9: number} | ({"-23310": settings_of} if settings_of else {}))
                    self.there[after.output] = self.there[node.output]
                    done.add(after.output)

    def written(self) -> bytes:
        """The whole, with a Split where several layers take a value."""
        self._blob(self.graph.output)
        uses = Counter(blob for _, inputs, _, _ in self.layers for blob in inputs)
        left = {blob: [f"{blob}_{number}" for number in range(count)] for blob, count in uses.items() if count > 1}
        copies = {blob: list(names) for blob, names in left.items()}
        lines, blobs = [], 0
        for number, (kind, inputs, output, settings) in enumerate(self.layers):
            taken = [left[blob].pop() if blob in left else blob for blob in inputs]
            words = [
                f"{key}={value:.9g}" if isinstance(value, float) else f"{key}={value}"
                for key, value in settings.items()
            ]
            lines.append(" ".join([kind, f"l{number}", str(len(taken)), "1", *taken, output, *words]))
            blobs += 1
            if output in copies:
                names = copies[output]
                lines.append(" ".join(["Split", f"s{number}", "1", str(len(names)), output, *names]))
                blobs += len(names)
        return written("\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""]), self.weights)

    def _layer(self, kind: str, inputs: list[str], settings: Any, *weights: Constant) -> str:
        self.layers.append((kind, inputs, output := f"b{len(self.layers)}", dict(settings)))
        self.weights += weights
        return output

    def _shape(self, name: str) -> Shape:
        return self.graph.shapes[name][1:]

    def _blob(self, name: str) -> str:
        """What ncnn calls a value, in its own shape."""
        blob, shape = self.there[name]
        if shape != self._shape(name):
            blob, shape = self.there[name] = self._viewed(name, self._shape(name)), self._shape(name)
        return blob

    def _viewed(self, name: str, shape: Shape) -> str:
        """What ncnn calls a value in another shape."""
        blob, before = self.there[name]
        return blob if shape == before else self._layer("Reshape", [blob], _sizes(shape))

    def _conv(self, node: Node) -> tuple[str, Shape]:
        kernel, *bias = node.inputs[1:]
        out, within, high, wide = self.graph.shapes[kernel]
        top, left, bottom, right = node.attributes["pads"]
        groups = node.attributes["group"]
        settings = {0: out, 1: wide, 11: high, 3: node.attributes["strides"][1], 13: node.attributes["strides"][0]}
        settings |= {4: left, 14: top, 15: right, 16: bottom, 5: len(bias), 6: out * within * high * wide}
        if groups > 1:
            settings |= {7: groups}
        if len(self.there[node.inputs[0]][1]) == groups == high == wide == 1:
            return self._gemm(node)  # of a pooled map, which stays a vector
        constants = [self.graph.constants[name] for name in (kernel, *bias)]
        kind = "ConvolutionDepthWise" if groups > 1 else "Convolution"
        blob = self._blob(node.inputs[0])
        return self._layer(kind, [blob], settings, _TAG, *constants), self._shape(node.output)

    def _gemm(self, node: Node) -> tuple[str, Shape]:
        kernel, *bias = node.inputs[1:]
        out, within, *_ = self.graph.shapes[kernel]
        constants = [self.graph.constants[name] for name in (kernel, *bias)]
        settings, (blob, _) = {0: out, 1: len(bias), 2: out * within}, self.there[node.inputs[0]]
        return self._layer("InnerProduct", [blob], settings, _TAG, *constants), (out,)

    def _batchnormalization(self, node: Node) -> tuple[str, Shape]:
        gamma, beta, mean, variance = (self.graph.constants[name] for name in node.inputs[1:])
        settings = {0: self._shape(node.output)[0], 1: float(node.attributes["epsilon"])}
        blob = self._blob(node.inputs[0])
        return self._layer("BatchNorm", [blob], settings, gamma, mean, variance, beta), self._shape(node.output)

    def _layernormalization(self, node: Node) -> tuple[str, Shape]:
        constants = [self.graph.constants[name] for name in node.inputs[1:]]
        settings = {0: self._shape(node.output)[-1], 1: float(node.attributes["epsilon"])}
        return self._layer("LayerNorm", [self._blob(node.inputs[0])], settings, *constants), self._shape(node.output)

    def _binary(self, node: Node) -> tuple[str, Shape]:
        value, other = node.inputs
        if value in self.graph.constants:
            raise refuse("ncnn", node)
        settings: dict[int, float] = {0: _BINARY[node.kind]}
        if other not in self.graph.constants:
            both = [(name, self.there[name][1]) for name in node.inputs]
            if any(shape != self._shape(name)[: len(shape)] for name, shape in both):
                return self._layer("BinaryOp", list(map(self._blob, node.inputs)), settings), self._shape(node.output)
            blob = self._layer("BinaryOp", [self.there[name][0] for name in node.inputs], settings)
            flat = all(len(shape) == 1 for _, shape in both)  # pooled maps
            return blob, self._shape(node.output)[:1] if flat else self._shape(node.output)
        shape, constant = self.graph.shapes[other], self.graph.constants[other]
        blob = self._blob(value)
        if not shape:
            settings |= {1: 1, 2: float(self.graph.values(other))}
            return self._layer("BinaryOp", [blob], settings), self._shape(node.output)
        wide = self._shape(value)
        if node.kind == "Mul" and shape == (wide[0], 1, 1):
            return self._layer("Scale", [blob], {0: wide[0]}, constant), self._shape(node.output)
        table = (1,) * (len(wide) - len(shape)) + shape
        memory = self._layer("MemoryData", [], _sizes(table), constant)
        return self._layer("BinaryOp", [blob, memory], settings), self._shape(node.output)

    def _globalaveragepool(self, node: Node) -> tuple[str, Shape]:
        blob = self._layer("Pooling", [self._blob(node.inputs[0])], {0: 1, 4: 1})
        return blob, self._shape(node.output)[:1]

    def _pool(self, node: Node, settings: dict[int, int]) -> tuple[str, Shape]:
        (high, wide), (down, across) = (node.attributes[name] for name in ("kernel_shape", "strides"))
        top, left, bottom, right = node.attributes.get("pads", [0] * 4)
        settings |= {1: wide, 11: high, 2: across, 12: down, 3: left, 13: top, 14: right, 15: bottom, 5: 1}
        return self._layer("Pooling", [self._blob(node.inputs[0])], settings), self._shape(node.output)

    def _averagepool(self, node: Node) -> tuple[str, Shape]:
        return self._pool(node, {0: 1, 6: node.attributes.get("count_include_pad", 0)})

    def _maxpool(self, node: Node) -> tuple[str, Shape]:
        return self._pool(node, {0: 0})

    def _flatten(self, node: Node) -> tuple[str, Shape]:
        return self.there[node.inputs[0]]

    _reshape = _identity = _flatten

    def _transpose(self, node: Node) -> tuple[str, Shape]:
        """In as many steps as four axes need: each takes some axes behind those that are in place to their front."""
        shape, order = list(self._shape(node.inputs[0])), [axis - 1 for axis in node.attributes["perm"][1:]]
        self.there[node.output] = self.there[node.inputs[0]]
        here = list(range(len(shape)))
        while here != order:
            first = next(place for place, (a, b) in enumerate(zip(here, order, strict=True)) if a != b)
            start = here.index(order[first])
            length = 1
            while here[start + length : start + length + 1] == order[first + length : first + length + 1] != []:
                length += 1
            cuts = [0, first, start, start + length, len(here)]
            parts = [here[a:b] for a, b in pairwise(cuts)]
            sizes = [int(np.prod([shape[axis] for axis in part])) for part in parts]
            kept = [place for place in range(4) if sizes[place] > 1 or place in (1, 2)]
            turned = [place for place in (0, 2, 1, 3) if place in kept]
            view = tuple(sizes[place] for place in kept)
            code = "".join(_AXES[len(kept)][kept.index(place)] for place in reversed(turned))
            blob = self._viewed(node.output, view)
            settings = {0: _ORDERS[len(kept) - 2].index(code)}
            blob = self._layer("Permute", [blob], settings)
            self.there[node.output] = blob, tuple(sizes[place] for place in turned)
            here = parts[0] + parts[2] + parts[1] + parts[3]
        return self.there[node.output]

    def _matmul(self, node: Node) -> tuple[str, Shape]:
        return self._layer("MatMul", list(map(self._blob, node.inputs)), {}), self._shape(node.output)

    def _softmax(self, node: Node) -> tuple[str, Shape]:
        axis = node.attributes["axis"] % len(self.graph.shapes[node.output]) - 1
        return self._layer("Softmax", [self._blob(node.inputs[0])], {0: axis, 1: 1}), self._shape(node.output)

    def _concat(self, node: Node) -> tuple[str, Shape]:
        settings = {0: node.attributes["axis"] - 1}
        return self._layer("Concat", list(map(self._blob, node.inputs)), settings), self._shape(node.output)

    def _slice(self, node: Node) -> tuple[str, Shape]:
        starts, ends, axes = (self.graph.values(name).tolist() for name in node.inputs[1:])
        lists = {"-23309": starts, "-23310": ends, "-23311": [axis - 1 for axis in axes]}
        settings = {key: ",".join(map(str, [len(values), *values])) for key, values in lists.items()}
        return self._layer("Crop", [self._blob(node.inputs[0])], settings), self._shape(node.output)

    def _pad(self, node: Node) -> tuple[str, Shape]:
        _, _, top, left, _, _, bottom, right = self.graph.values(node.inputs[1]).tolist()
        settings = {0: top, 1: bottom, 2: left, 3: right}
        return self._layer("Padding", [self._blob(node.inputs[0])], settings), self._shape(node.output)


def _sizes(shape: Sequence[int]) -> dict[int, int]:
    return dict(zip(_SIZES[len(shape)], shape, strict=True))

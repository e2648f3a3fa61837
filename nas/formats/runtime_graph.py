"""RuntimeGraph: a model of `nas.formats.onnx_graph` for one picture, as other runtimes want it.

Normalisation is folded into the convolution before it, GELU and swish are one node each, and what follows from
constants alone is computed. Weights stay slices of a shared file as far as they can.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from nas.errors import NasError
from nas.formats.onnx_graph import fix_batch


@dataclass(frozen=True)
class Slice:
    """A part of the shared file of weights, turned and scaled."""

    offset: int
    """In values, not bytes."""
    shape: tuple[int, ...]
    """Before it is turned."""
    order: tuple[int, ...]
    """Its axes, as by `numpy.transpose`."""
    scale: float = 1.0

    def turned(self, order: Sequence[int]) -> Slice:
        """As by `numpy.transpose`."""
        return replace(self, order=tuple(self.order[axis] for axis in order))


Constant = Slice | NDArray[Any]


@dataclass
class Node:
    """An operation. `kind` is ONNX's, `Gelu` or `Swish`."""

    kind: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any]


class RuntimeGraph:
    """Nodes in order, with the shapes of all values for one picture."""

    def __init__(self, model: onnx.ModelProto, weights: Path) -> None:
        """Of a model whose external tensors lie in the file `weights`."""
        single = onnx.ModelProto()
        single.CopyFrom(model)
        fix_batch(single, 1)
        graph = shape_inference.infer_shapes(single, data_prop=True).graph
        self._file = weights
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.shapes = {
            value.name: tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        self.constants: dict[str, Constant] = {tensor.name: _constant(tensor) for tensor in graph.initializer}
        self.nodes: list[Node] = []
        for node in graph.node:
            attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
            if all(name in self.constants for name in node.input):
                given = {name: self.values(name) for name in node.input}
                (computed,) = ReferenceEvaluator(node).run(None, given)
                self.constants[node.output[0]] = np.asarray(computed)
            else:
                self.nodes.append(Node(node.op_type, list(node.input), node.output[0], attributes))
        self.shapes |= {name: _shape(constant) for name, constant in self.constants.items()}
        self._fold()
        self._join()

    @property
    def taken(self) -> Counter[str]:
        """How often each value is an input."""
        return Counter(name for node in self.nodes for name in node.inputs)

    def values(self, name: str) -> NDArray[Any]:
        """Of a constant."""
        constant = self.constants[name]
        if isinstance(constant, Slice):
            flat = self._data[constant.offset : constant.offset + int(np.prod(constant.shape))]
            return flat.reshape(constant.shape).transpose(constant.order) * np.float32(constant.scale)
        return constant

    @cached_property
    def _data(self) -> NDArray[np.float32]:
        return np.memmap(self._file, np.float32, "r")

    def _fold(self) -> None:
        """As `nas.formats.folded`. Where all channels are scaled alike, weights stay slices."""
        taken, makers = self.taken, {node.output: node for node in self.nodes if node.kind == "Conv"}
        for node in [node for node in self.nodes if node.kind == "BatchNormalization"]:
            before = makers.get(node.inputs[0])
            if before is None or taken[before.output] > 1:
                continue
            gamma, beta, mean, variance = (self.values(name) for name in node.inputs[1:])
            scale = gamma / np.sqrt(variance.astype(np.float64) + node.attributes["epsilon"])
            kernel, *biases = before.inputs[1:]
            bias = self.values(biases[0]) if biases else np.zeros(1)
            before.inputs[1:] = [self._scaled(kernel, scale), node.inputs[2]]
            if (shift := (bias - mean) * scale).any():
                before.inputs[2] = self._added(f"{kernel}.bias", (beta + shift).astype(np.float32))
            before.output = node.output
            self.nodes.remove(node)

    def _scaled(self, kernel: str, scale: NDArray[np.float64]) -> str:
        constant = self.constants[kernel]
        if isinstance(constant, Slice) and np.ptp(scale) == 0:
            return self._added(f"{kernel}.scaled", replace(constant, scale=constant.scale * float(scale[0])))
        return self._added(f"{kernel}.scaled", (self.values(kernel) * scale[:, None, None, None]).astype(np.float32))

    def _added(self, name: str, constant: Constant) -> str:
        self.constants[name], self.shapes[name] = constant, _shape(constant)
        return name

    def _join(self) -> None:
        """x / √2 → Erf, + 1, · x, · ½ as `OnnxGraph.activation` writes them are `Gelu`, x · Sigmoid(x) is `Swish`."""
        makers, takers = {node.output: node for node in self.nodes}, dict[str, list[Node]]()
        for node in self.nodes:
            for name in node.inputs:
                takers.setdefault(name, []).append(node)
        for node in list(self.nodes):
            if node.kind == "Erf":
                (add,) = takers[node.output]
                (product,) = takers[add.output]
                (last,) = takers[product.output]
                parts, kind, value = [makers[node.inputs[0]], node, add, product, last], "Gelu", product.inputs[0]
            elif node.kind == "Sigmoid" and [taker.inputs for taker in takers[node.output]] == [
                [node.inputs[0], node.output]
            ]:
                parts, kind, value = [node, *takers[node.output]], "Swish", node.inputs[0]
            else:
                continue
            place = self.nodes.index(parts[-1])
            self.nodes[place] = Node(kind, [value], parts[-1].output, {})
            for part in parts[:-1]:
                self.nodes.remove(part)


def written(model: str | bytes, weights: Sequence[Constant]) -> bytes:
    """A model for `worker.py`: what the runtime reads of it besides its weights, and these, one behind the other."""
    parts = [
        [part.offset, part.shape, part.order, part.scale]
        if isinstance(part, Slice)
        else base64.b64encode(np.ascontiguousarray(part, np.float32).tobytes()).decode()
        for part in weights
    ]
    text = model if isinstance(model, str) else base64.b64encode(model).decode()
    return json.dumps({"model": text, "weights": parts}).encode()


def refuse(title: str, node: Node) -> NasError:
    """The error of a runtime for which a node cannot be written."""
    return NasError(f"{title} cannot run {node.kind} as it is here. Measure on another runtime, such as --target cpu.")


def _constant(tensor: TensorProto) -> Constant:
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    entries: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    return Slice(int(entries["offset"]) // 4, tuple(tensor.dims), tuple(range(len(tensor.dims))))


def _shape(constant: Constant) -> tuple[int, ...]:
    if isinstance(constant, Slice):
        return tuple(constant.shape[axis] for axis in constant.order)
    return constant.shape

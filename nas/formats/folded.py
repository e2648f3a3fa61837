"""Batch normalisation folded into the convolution before it: the same function with fewer nodes.

With s = gamma / sqrt(variance + epsilon), what follows the convolution w∗x + b is s (w∗x + b - mean) + beta: one with
the kernel s w and the bias beta + s (b - mean) (arXiv:1712.05877, section 3.2). Runtimes do the same when they load a
model; quantisation needs it done before.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model of `nas.formats.onnx_graph` in which no batch normalisation follows a convolution whose value
    nothing else takes."""
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    taken = Counter(name for node in graph.node for name in node.input)
    makers = {node.output[0]: node for node in graph.node if node.op_type == "Conv" and taken[node.output[0]] == 1}
    kept = []
    for node in graph.node:
        before = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if before is None:
            kept.append(node)
            continue
        epsilon = next(helper.get_attribute_value(a) for a in node.attribute if a.name == "epsilon")
        gamma, beta, mean, variance = (arrays.pop(name).astype(np.float64) for name in node.input[1:])
        scale = gamma / np.sqrt(variance + epsilon)
        kernel = before.input[1]
        if len(before.input) == 2:
            before.input.append(f"{kernel.removesuffix('.weight')}.bias")
        bias = before.input[2]
        arrays[kernel] = _float32(arrays[kernel] * scale[:, None, None, None])
        arrays[bias] = _float32(beta + (arrays.get(bias, 0) - mean) * scale)
        before.output[0] = node.output[0]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return folded


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)

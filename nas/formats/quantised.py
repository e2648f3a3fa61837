"""A float32 ONNX graph as one of 8-bit integers: pairs of QuantizeLinear and DequantizeLinear (QDQ) around operators.

Pairs stand where ONNX Runtime's `quantize_static` puts them, under the same names, so that a runtime fuses what is
written here as it fuses a network that was quantised with pictures: weights by output channel, symmetric, in int8;
activations by tensor in uint8; biases in int32 (arXiv:1712.05877). What they hold comes from `Numbers`; the range of an
activation is by what gives it, not by pictures: for timing, not for answers.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

ROW_MAJOR, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
ALIKE = frozenset({"AveragePool", "Flatten", "MaxPool", "Reshape", "Resize", "Slice", "Transpose", "Unsqueeze"})
"""Give what they take, moved: on 8-bit values where they get such, with the scale of these."""
CLIPPING = frozenset({"Clip", "Relu"})
"""Are what the range of an 8-bit value does by itself."""
MOVING = frozenset({"Gather", "Pad"})
"""The same, and take 8-bit values in any case."""
EIGHT_BIT = MOVING | {"Add", "Concat", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "Mul", "Sigmoid", "Softmax"}
"""Take and give 8-bit values; all others are computed in float32."""
WEIGHED = frozenset({"Conv", "Gemm"})
"""Of these, what has weights, by output channel along the first axis, and perhaps a bias."""
RANGES = {
    "Clip": (0.0, 6.0),
    "HardSigmoid": (0.0, 1.0),
    "Relu": (0.0, 4.0),
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
}
"""Least and largest value of what an operator gives; `USUAL` of others."""
USUAL = (-4.0, 4.0)

Array = NDArray[np.float32]


class Numbers(Protocol):
    """Where the integers of a graph come from."""

    def weight(self, tensor: TensorProto) -> tuple[TensorProto, Array]:
        """int8 of the same shape under any name, and the scale of each slice along the first axis."""

    def bias(self, tensor: TensorProto, scale: Array) -> TensorProto:
        """int32 of the same shape, with this scale of each."""

    def constant(self, tensor: TensorProto) -> tuple[TensorProto, float, int]:
        """uint8 of the same shape, its scale and its zero point."""


class Nearest:
    """The integers nearest to a graph's own numbers."""

    def weight(self, tensor: TensorProto) -> tuple[TensorProto, Array]:
        """See `Numbers`."""
        values = numpy_helper.to_array(tensor)
        scale = np.abs(values).max(axis=tuple(range(1, values.ndim))) / np.float32(127)
        scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
        rows = scale.reshape(-1, *[1] * (values.ndim - 1))
        return numpy_helper.from_array(np.rint(values / rows).astype(np.int8)), scale

    def bias(self, tensor: TensorProto, scale: Array) -> TensorProto:
        """See `Numbers`."""
        return numpy_helper.from_array(np.rint(numpy_helper.to_array(tensor) / scale).astype(np.int32))

    def constant(self, tensor: TensorProto) -> tuple[TensorProto, float, int]:
        """See `Numbers`."""
        values = numpy_helper.to_array(tensor)
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        scale = (high - low) / 255 or 1.0
        zero = round(-low / scale)
        return numpy_helper.from_array(np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8)), scale, zero


def quantised(model: onnx.ModelProto, numbers: Numbers, takes: bool = False, gives: bool = False) -> onnx.ModelProto:
    """A model of `nas.formats.onnx_graph`, its normalisation folded, in 8 bits.

    As a part of a network it `takes` and `gives` uint8 as its neighbours do, which do the conversions: with channels
    last, uint8[N, H, W, C], as ONNX Runtime keeps 8-bit values of convolutions.
    """
    return _Quantised(model, numbers, takes, gives).model()


class _Quantised:
    def __init__(self, model: onnx.ModelProto, numbers: Numbers, takes: bool, gives: bool) -> None:
        self.before, self.numbers, self.takes, self.gives = model, numbers, takes, gives
        self.tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}
        self.nodes: list[onnx.NodeProto] = []
        self.kept: list[onnx.NodeProto] = []
        """Those of the float32 graph that stay."""
        self.initializers: dict[str, TensorProto] = {}
        self.marked: dict[str, str] = {}
        """Values that become 8-bit ones, and the value whose scale they have: as a rule their own."""
        self.ranges: dict[str, tuple[float, float]] = {}
        self.integers = {name for name, tensor in self.tensors.items() if tensor.data_type == TensorProto.INT64}
        self._mark()

    def _mark(self) -> None:
        """Which values become 8-bit ones, node by node as `quantize_static` goes; activations that a range does go."""
        taken = Counter(name for node in self.before.graph.node for name in node.input)
        makers: dict[str, onnx.NodeProto] = {}
        if self.takes:
            self._own("input")
        for old in self.before.graph.node:
            node = onnx.NodeProto()
            node.CopyFrom(old)
            (value,), first = node.output, node.input[0]
            if node.op_type in RANGES:
                self.ranges[value] = RANGES[node.op_type]
            if node.op_type == "Shape" or all(name in self.integers for name in node.input):
                self.integers.add(value)
            elif node.op_type in CLIPPING and first in self.marked:
                if taken[first] == 1 and first in makers:
                    del self.marked[first]
                    makers[first].output[0] = value
                    makers[value] = makers.pop(first)
                    self._own(value)
                    continue
                self._own(value)
            elif node.op_type in ALIKE and first in self.marked:
                self.marked[value] = self.marked[first]
            elif node.op_type in EIGHT_BIT:
                for name in (first,) if node.op_type in WEIGHED else node.input:
                    self._own(name)
                self.marked[value] = self.marked[first] if node.op_type in MOVING else value
            makers[value] = node
            self.kept.append(node)
        if self.gives:
            (output,) = self.outputs
            self._own(output)

    def _own(self, name: str) -> None:
        if name not in self.integers:
            self.marked.setdefault(name, name)

    def model(self) -> onnx.ModelProto:
        graph = self.before.graph
        (picture,), outputs = graph.input, list(graph.output)
        if self.takes:
            picture = self._bytes("input", picture)
            self._node("Transpose", ["input"], "input_QuantizeLinear_Output", "to_channels_first", perm=ROW_MAJOR)
            self._back("input", "input_DequantizeLinear_Output")
        elif "input" in self.marked:
            self._pair("input", "input", "input_DequantizeLinear_Output")
        for node in self.kept:
            scale = self._weighed(node) if node.op_type in WEIGHED else None
            for place, name in enumerate(node.input):
                if name in self.marked:
                    node.input[place] = self._taken(name)
                elif name in self.tensors and scale is None:
                    self.initializers[name] = self.tensors[name]
            (value,) = node.output
            if value in self.outputs and value in self.marked:
                node.output[0] = f"{value}_QuantizeLinear_Input"
            self.nodes.append(node)
            if value in self.marked:
                last = f"{value}_DequantizeLinear_Output"
                self._pair(value, node.output[0], value if value in self.outputs else last)
        if self.gives:
            (output,) = outputs
            last = self.nodes.pop().input[0]
            outputs = [self._bytes(output.name, output)]
            self._node("Transpose", [last], output.name, "to_channels_last", perm=CHANNELS_LAST)
        proto = helper.make_graph(self.nodes, graph.name, [picture], outputs, list(self.initializers.values()))
        model = onnx.ModelProto()
        model.CopyFrom(self.before)
        model.graph.CopyFrom(proto)
        return model

    def _weighed(self, node: onnx.NodeProto) -> Array:
        """Put the integers of an operator's weights and bias in front of it; returns the scale of each channel."""
        taken, *names = node.input
        weight, scale = self.numbers.weight(self.tensors[names[0]])
        node.input[1] = self._integers(names[0], weight, scale, f"{names[0]}_DequantizeLinear_Output", axis=0)
        if len(names) > 1:
            sums = scale * np.float32(self._scale(taken)[0])
            bias = self.numbers.bias(self.tensors[names[1]], sums)
            node.input[2] = self._integers(names[1], bias, sums, names[1], f"{names[1]}_quantized", axis=0)
        return scale

    def _taken(self, name: str) -> str:
        """The float32 value that an operator takes of a value that is in 8 bits; constants become so where they are
        first taken."""
        back = f"{name}_DequantizeLinear_Output"
        if name in self.tensors and f"{name}_quantized" not in self.initializers:
            tensor, scale, zero = self.numbers.constant(self.tensors[name])
            self._integers(name, tensor, np.float32(scale), back, zero=zero)
        return back

    def _integers(
        self, name: str, tensor: TensorProto, scale: Array, back: str, prefix: str = "", zero: int = 0, **axis: int
    ) -> str:
        """A constant of integers and what makes float32 values of it."""
        tensor.name, prefix = f"{name}_quantized", prefix or name
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        self.initializers[tensor.name] = tensor
        self._constant(f"{prefix}_scale", np.asarray(scale, np.float32))
        self._constant(f"{prefix}_zero_point", np.full_like(scale, zero, kind))
        inputs = [tensor.name, f"{prefix}_scale", f"{prefix}_zero_point"]
        self._node("DequantizeLinear", inputs, back, f"{name}_DequantizeLinear", **axis)
        return back

    def _pair(self, name: str, given: str, back: str) -> None:
        """What makes a value 8-bit, and float32 again."""
        inputs = [given, *self._parameters(name)]
        self._node("QuantizeLinear", inputs, f"{name}_QuantizeLinear_Output", f"{name}_QuantizeLinear")
        self._back(name, back)

    def _back(self, name: str, back: str) -> None:
        inputs = [f"{name}_QuantizeLinear_Output", *self._parameters(name)]
        self._node("DequantizeLinear", inputs, back, f"{name}_DequantizeLinear")

    def _parameters(self, name: str) -> tuple[str, str]:
        of = self.marked[name]
        scale, zero = self._scale(name)
        self._constant(f"{of}_scale", np.array(scale, np.float32))
        self._constant(f"{of}_zero_point", np.array(zero, np.uint8))
        return f"{of}_scale", f"{of}_zero_point"

    def _scale(self, name: str) -> tuple[float, int]:
        """Scale and zero point of an activation."""
        low, high = self.ranges.get(self.marked[name], USUAL)
        scale = (high - low) / 255
        return scale, round(-low / scale)

    def _constant(self, name: str, array: NDArray[np.generic]) -> None:
        self.initializers.setdefault(name, numpy_helper.from_array(array, name))

    def _node(self, kind: str, inputs: list[str], output: str, name: str, **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))

    @staticmethod
    def _bytes(name: str, value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
        """The same input or output with 8-bit values, channels last."""
        batch, channels, *sides = value.type.tensor_type.shape.dim
        dims = [dim.dim_param or dim.dim_value for dim in (batch, *sides, channels)]
        return helper.make_tensor_value_info(name, TensorProto.UINT8, dims)

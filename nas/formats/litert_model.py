"""LiteRT's own format: a flatbuffer of operators, and behind it the values of their weights.

Maps have their channels last there, as in TensorFlow: a value keeps the order of axes in which it was made until
somebody needs another one. As its converters do it, zeros around a picture that are not TensorFlow's are an operator of
their own, ReLU and ReLU6 are a part of the convolution before them, and layer normalisation is its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from nas.formats.runtime_graph import Constant, Node, RuntimeGraph, refuse, written

LAST = (0, 2, 3, 1)
"""The order of a map whose channels are last."""
MOST_AXES = 5
"""Of a value that is turned; of more, those that stay side by side are one."""
ALIGNED = 16
"""Values: where each weight begins."""
SAME, VALID = 0, 1
_FUSED = {"Relu": 1, "Clip": 3}
_ALONE = {"Relu": "RELU", "Clip": "RELU6", "Sigmoid": "LOGISTIC", "HardSwish": "HARD_SWISH"}
_BINARY = ("Add", "Sub", "Mul", "Div")
Placed = tuple[int, tuple[int, ...]]
"""A tensor, and which axis of the value each of its axes is."""


def litert_model(model: onnx.ModelProto, weights: Path) -> bytes:
    """A model for `worker.py`, whose external tensors are slices of the file `weights`. Raises `NasError` for a network
    that LiteRT cannot run, or where its package is missing."""
    return _Writer(RuntimeGraph(model, weights)).written()


class _Writer:
    def __init__(self, graph: RuntimeGraph) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.graph = graph
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]
        self.weights: list[Constant] = []
        self.codes: dict[str, int] = {}
        self.operators: list[Any] = []
        shape = graph.shapes[graph.input]
        self.input = self._tensor([shape[axis] for axis in LAST])
        self.there: dict[str, Placed] = {graph.input: (self.input, LAST)}
        taken, after = graph.taken, {node.inputs[0]: node for node in graph.nodes if node.kind in _FUSED}
        done = set()
        for node in graph.nodes:
            if node.output in done:
                continue
            write: Callable[[Node], Placed] | None = getattr(self, f"_{node.kind.lower()}", None)
            if node.kind in _ALONE:
                tensor, order = self.there[node.inputs[0]]
                self.there[node.output] = self._operator(_ALONE[node.kind], [tensor], self._sizes(tensor)), order
            elif node.kind in _BINARY:
                self.there[node.output] = self._binary(node)
            elif write is None:
                raise refuse("LiteRT", node)
            else:
                self.there[node.output] = write(node)
                follower = after.get(node.output)
                if node.kind in ("Conv", "Gemm") and follower is not None and taken[node.output] == 1:
                    self.operators[-1].builtinOptions.fusedActivationFunction = _FUSED[follower.kind]
                    self.there[follower.output] = self.there[node.output]
                    done.add(follower.output)

    def written(self) -> bytes:
        """The whole: where weights lie is known once the rest is packed."""
        import flatbuffers

        schema = self.schema
        network = schema.SubGraphT(
            tensors=self.tensors,
            inputs=[self.input],
            outputs=[self.there[self.graph.output][0]],
            operators=self.operators,
            name="network",
        )
        codes = [
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code)
            for code in (getattr(schema.BuiltinOperator, name) for name in self.codes)
        ]
        model = schema.ModelT(3, codes, [network], "nas", self.buffers)

        def packed() -> bytes:
            builder = flatbuffers.Builder(1 << 16)
            builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
            head = bytes(builder.Output())
            return head + bytes(-len(head) % (4 * ALIGNED))

        outside = [buffer for buffer in self.buffers if buffer.size]
        sizes = [buffer.size + -buffer.size % (4 * ALIGNED) for buffer in outside]
        for buffer, start in zip(outside, accumulate(sizes, initial=len(packed())), strict=False):
            buffer.offset = start
        parts: list[Constant] = []
        for constant, buffer, size in zip(self.weights, outside, sizes, strict=True):
            parts += [constant, np.zeros((size - buffer.size) // 4, np.float32)]
        return written(packed(), parts)

    def _tensor(self, shape: Sequence[int], buffer: int = 0, kind: int = 0) -> int:
        self.tensors.append(self.schema.TensorT(list(shape), kind, buffer, f"t{len(self.tensors)}"))
        return len(self.tensors) - 1

    def _sizes(self, tensor: int) -> tuple[int, ...]:
        return tuple(self.tensors[tensor].shape)

    def _integers(self, values: Any) -> int:
        array = np.array(values, np.int32)
        self.buffers.append(self.schema.BufferT(list(array.tobytes())))
        return self._tensor(array.shape, len(self.buffers) - 1, self.schema.TensorType.INT32)

    def _weight(self, constant: Constant, shape: Sequence[int]) -> int:
        self.weights.append(constant)
        self.buffers.append(self.schema.BufferT(offset=1, size=4 * prod(shape)))
        return self._tensor(shape, len(self.buffers) - 1)

    def _operator(self, name: str, inputs: list[int], shape: Sequence[int], options: Any = None) -> int:
        output = self._tensor(shape)
        operator = self.schema.OperatorT(self.codes.setdefault(name, len(self.codes)), inputs, [output])
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            if hasattr(self.schema.BuiltinOptions, kind):
                operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.operators.append(operator)
        return output

    def _options(self, kind: str, **fields: Any) -> Any:
        return getattr(self.schema, f"{kind}OptionsT")(**fields)

    def _ordered(self, name: str, order: Sequence[int]) -> int:
        """The tensor of a value whose axes stand in this order."""
        tensor, here = self.there[name]
        shape = self.graph.shapes[name]
        if self._sizes(tensor) != tuple(shape[axis] for axis in here):
            tensor = self._viewed(tensor, shape)
        if tuple(order) != here:
            tensor = self._turned(tensor, [here.index(axis) for axis in order])
        self.there[name] = tensor, tuple(order)
        return tensor

    def _plain(self, name: str) -> int:
        return self._ordered(name, range(len(self.graph.shapes[name])))

    def _viewed(self, tensor: int, shape: Sequence[int]) -> int:
        if self._sizes(tensor) == tuple(shape):
            return tensor
        options = self._options("Reshape", newShape=list(shape))
        return self._operator("RESHAPE", [tensor, self._integers(shape)], shape, options)

    def _turned(self, tensor: int, order: Sequence[int]) -> int:
        shape = [self._sizes(tensor)[axis] for axis in order]
        if [axis for axis in order if self._sizes(tensor)[axis] > 1] == [
            axis for axis in range(len(shape)) if self._sizes(tensor)[axis] > 1
        ]:
            return self._viewed(tensor, shape)
        inputs = [tensor, self._integers(order)]
        return self._operator("TRANSPOSE", inputs, shape, self._options("Transpose"))

    def _padded(self, tensor: int, pads: Sequence[int]) -> int:
        """A map with so many zeros at its top, left, bottom and right."""
        top, left, bottom, right = pads
        batch, high, wide, channels = self._sizes(tensor)
        shape = [batch, high + top + bottom, wide + left + right, channels]
        around = self._integers([[0, 0], [top, bottom], [left, right], [0, 0]])
        return self._operator("PAD", [tensor, around], shape, self._options("Pad"))

    def _window(self, node: Node, value: str) -> tuple[int, bool]:
        """Padding of a window that slides over a map, and whether it is one of TensorFlow's."""
        pads = node.attributes.get("pads", [0] * 4)
        if not any(pads):
            return VALID, True
        wanted = []
        sides = zip(
            self.graph.shapes[value][2:], node.attributes["kernel_shape"], node.attributes["strides"], strict=True
        )
        for size, kernel, stride in sides:
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            wanted.append((missing // 2, missing - missing // 2))
        same = [pair[end] for end in (0, 1) for pair in wanted] == list(pads)
        return (SAME if same else VALID), same

    def _map(self, node: Node) -> list[int]:
        shape = self.graph.shapes[node.output]
        return [shape[axis] for axis in LAST]

    def _conv(self, node: Node) -> Placed:
        value, kernel, *biases = node.inputs
        tensor, constant = self._ordered(value, LAST), self.graph.constants[kernel]
        out, within, high, wide = self.graph.shapes[kernel]
        padding, known = self._window(node, value)
        if not known:
            tensor = self._padded(tensor, node.attributes["pads"])
        down, across = node.attributes["strides"]
        common: dict[str, Any] = {"padding": padding, "strideW": across, "strideH": down}
        bias = self.graph.constants[biases[0]] if biases else np.zeros(out, np.float32)
        depthwise = within == 1 and node.attributes["group"] == self.graph.shapes[value][1] > 1
        if depthwise:
            name, options = "DEPTHWISE_CONV_2D", self._options("DepthwiseConv2D", **common)
            options.depthMultiplier = out // node.attributes["group"]
            weight = self._weight(_turned(constant, (1, 2, 3, 0)), (1, high, wide, out))
        else:
            name, options = "CONV_2D", self._options("Conv2D", **common)
            weight = self._weight(_turned(constant, LAST), (out, high, wide, within))
        return self._operator(name, [tensor, weight, self._weight(bias, (out,))], self._map(node), options), LAST

    def _gemm(self, node: Node) -> Placed:
        value, kernel, *biases = node.inputs
        out, within = self.graph.shapes[kernel]
        bias = self.graph.constants[biases[0]] if biases else np.zeros(out, np.float32)
        inputs = [self._plain(value), self._weight(self.graph.constants[kernel], (out, within))]
        options = self._options("FullyConnected")
        return self._operator("FULLY_CONNECTED", [*inputs, self._weight(bias, (out,))], (1, out), options), (0, 1)

    def _with(self, kind: str, tensor: int, values: Any, fused: int = 0) -> int:
        """A tensor and numbers, as many as it has along its last axis, or one."""
        array = np.array(values, np.float32)
        options = self._options(kind, fusedActivationFunction=fused)
        return self._operator(kind.upper(), [tensor, self._weight(array, array.shape)], self._sizes(tensor), options)

    def _batchnormalization(self, node: Node) -> Placed:
        gamma, beta, mean, variance = (self.graph.values(name).astype(np.float64) for name in node.inputs[1:])
        scale = gamma / np.sqrt(variance + node.attributes["epsilon"])
        rank = len(self.graph.shapes[node.output])
        order = LAST if rank == 4 else tuple(range(rank))
        tensor = self._with("Mul", self._ordered(node.inputs[0], order), scale)
        return self._with("Add", tensor, beta - mean * scale), order

    def _layernormalization(self, node: Node) -> Placed:
        tensor = self._plain(node.inputs[0])
        shape = self._sizes(tensor)
        axis, once = self._integers([len(shape) - 1]), [*shape[:-1], 1]
        keeps = self._options("Reducer", keepDims=True)
        mean = self._operator("MEAN", [tensor, axis], once, keeps)
        squares = self._operator("SQUARED_DIFFERENCE", [tensor, mean], shape, self._options("SquaredDifference"))
        variance = self._operator("MEAN", [squares, axis], once, keeps)
        root = self._operator("RSQRT", [self._with("Add", variance, [node.attributes["epsilon"]])], once)
        centred = self._operator("SUB", [tensor, mean], shape, self._options("Sub"))
        normed = self._operator("MUL", [centred, root], shape, self._options("Mul"))
        scaled = self._with("Mul", normed, self.graph.values(node.inputs[1]))
        return self._with("Add", scaled, self.graph.values(node.inputs[2])), tuple(range(len(shape)))

    def _hardsigmoid(self, node: Node) -> Placed:
        tensor, order = self.there[node.inputs[0]]
        return self._with("Mul", self._with("Add", tensor, [3.0], _FUSED["Clip"]), [1 / 6]), order

    def _swish(self, node: Node) -> Placed:
        tensor, order = self.there[node.inputs[0]]
        gate = self._operator("LOGISTIC", [tensor], self._sizes(tensor))
        return self._operator("MUL", [tensor, gate], self._sizes(tensor), self._options("Mul")), order

    def _gelu(self, node: Node) -> Placed:
        tensor, order = self.there[node.inputs[0]]
        return self._operator("GELU", [tensor], self._sizes(tensor), self._options("Gelu")), order

    def _binary(self, node: Node) -> Placed:
        value, other = node.inputs
        if value in self.graph.constants:
            raise refuse("LiteRT", node)
        shape = self.graph.shapes[value]
        order = self.there[value][1] if len(self.there[value][1]) == len(shape) else tuple(range(len(shape)))
        tensor = self._ordered(value, order)
        if other not in self.graph.constants:
            second = self._ordered(other, order)
        else:
            table = (1,) * (len(shape) - len(self.graph.shapes[other])) + self.graph.shapes[other]
            constant = self.graph.values(other).reshape(table).transpose(order)
            second = self._weight(constant, constant.shape)
        result = [self.graph.shapes[node.output][axis] for axis in order]
        return self._operator(node.kind.upper(), [tensor, second], result, self._options(node.kind)), order

    def _globalaveragepool(self, node: Node) -> Placed:
        inputs = [self._ordered(node.inputs[0], LAST), self._integers([1, 2])]
        return self._operator("MEAN", inputs, self._map(node), self._options("Reducer", keepDims=True)), LAST

    def _averagepool(self, node: Node) -> Placed:
        return self._pooled(node, "AVERAGE_POOL_2D", bool(node.attributes.get("count_include_pad", 0)))

    def _maxpool(self, node: Node) -> Placed:
        return self._pooled(node, "MAX_POOL_2D", False)

    def _pooled(self, node: Node, name: str, counted: bool) -> Placed:
        """Zeros around the map count where they are a part of it, and else only as TensorFlow has them."""
        tensor, (padding, known) = self._ordered(node.inputs[0], LAST), self._window(node, node.inputs[0])
        if (counted and padding != VALID) or not known:
            if not counted:
                raise refuse("LiteRT", node)
            tensor, padding = self._padded(tensor, node.attributes["pads"]), VALID
        (high, wide), (down, across) = node.attributes["kernel_shape"], node.attributes["strides"]
        options = self._options(
            "Pool2D", padding=padding, strideW=across, strideH=down, filterWidth=wide, filterHeight=high
        )
        return self._operator(name, [tensor], self._map(node), options), LAST

    def _reshape(self, node: Node) -> Placed:
        """Done once somebody needs the shape."""
        return self._plain(node.inputs[0]), tuple(range(len(self.graph.shapes[node.output])))

    _flatten = _reshape

    def _identity(self, node: Node) -> Placed:
        return self.there[node.inputs[0]]

    def _transpose(self, node: Node) -> Placed:
        """Done once somebody needs the order, where there are few axes."""
        name, perm = node.inputs[0], node.attributes["perm"]
        shape = self.graph.shapes[name]
        if len(shape) <= MOST_AXES:
            self._ordered(name, self.there[name][1])
            tensor, order = self.there[name]
            return tensor, tuple(perm.index(axis) for axis in order)
        groups: list[list[int]] = []
        for axis in (axis for axis in perm if shape[axis] > 1):
            if (
                groups
                and all(shape[between] == 1 for between in range(groups[-1][-1] + 1, axis))
                and axis > groups[-1][-1]
            ):
                groups[-1].append(axis)
            else:
                groups.append([axis])
        before = sorted(groups)
        view = self._viewed(self.there[name][0], [prod(shape[axis] for axis in group) for group in before])
        return self._turned(view, [before.index(group) for group in groups]), tuple(range(len(shape)))

    def _matmul(self, node: Node) -> Placed:
        shape = self.graph.shapes[node.output]
        inputs = [self._plain(name) for name in node.inputs]
        return self._operator("BATCH_MATMUL", inputs, shape, self._options("BatchMatMul")), tuple(range(len(shape)))

    def _softmax(self, node: Node) -> Placed:
        tensor = self._plain(node.inputs[0])
        shape = self._sizes(tensor)
        if node.attributes["axis"] % len(shape) != len(shape) - 1:
            raise refuse("LiteRT", node)
        return self._operator("SOFTMAX", [tensor], shape, self._options("Softmax", beta=1.0)), tuple(range(len(shape)))

    def _concat(self, node: Node) -> Placed:
        order = self.there[node.inputs[0]][1]
        inputs = [self._ordered(name, order) for name in node.inputs]
        options = self._options("Concatenation", axis=order.index(node.attributes["axis"]))
        shape = self.graph.shapes[node.output]
        return self._operator("CONCATENATION", inputs, [shape[axis] for axis in order], options), order

    def _slice(self, node: Node) -> Placed:
        name, shape = node.inputs[0], self.graph.shapes[node.output]
        starts, _, axes = (self.graph.values(given).tolist() for given in node.inputs[1:])
        order = self.there[name][1]
        first = dict(zip(axes, starts, strict=True))
        sizes = [shape[axis] for axis in order]
        inputs = [self._ordered(name, order), self._integers([first.get(a, 0) for a in order]), self._integers(sizes)]
        return self._operator("SLICE", inputs, sizes, self._options("Slice")), order

    def _pad(self, node: Node) -> Placed:
        _, _, top, left, _, _, bottom, right = self.graph.values(node.inputs[1]).tolist()
        return self._padded(self._ordered(node.inputs[0], LAST), (top, left, bottom, right)), LAST


def _turned(constant: Constant, order: Sequence[int]) -> Constant:
    return constant.transpose(order) if isinstance(constant, np.ndarray) else constant.turned(order)

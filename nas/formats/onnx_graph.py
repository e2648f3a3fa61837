"""Architecture → ONNX graph, written node by node with `onnx.helper` (about 1 ms; no tracing).

Weights come from a `Tensors`: as a rule arrays under the names of the torch module's `state_dict`, so that a network
and its graph compute the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nas.blocks.architecture import Architecture
from nas.blocks.kinds import KINDS, ops, output_shape
from nas.blocks.ops import Conv, Linear, Op, Pool, SqueezeExcite

OPSET = 17
IR_VERSION = 8
NORM_EPSILON = 1e-5

_UNARY: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "hard-swish": ("HardSwish", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard-sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}

Weights = Mapping[str, NDArray[np.float32]]


class Tensors(Protocol):
    """Where a graph's weights come from."""

    def tensor(self, name: str, shape: tuple[int, ...]) -> TensorProto:
        """The initializer of this name."""

    def norm_epsilon(self, fan_in: int, activated: bool) -> float:
        """What batch normalisation adds to the variance of a convolution over `fan_in` values."""


@dataclass(frozen=True)
class Inline:
    """Arrays that become part of the model: those of `nas.blocks.build.build(architecture).state_dict()`."""

    weights: Weights

    def tensor(self, name: str, shape: tuple[int, ...]) -> TensorProto:
        """See `Tensors`."""
        return numpy_helper.from_array(np.ascontiguousarray(self.weights[name]), name)

    def norm_epsilon(self, fan_in: int, activated: bool) -> float:
        """torch's default."""
        return NORM_EPSILON


def to_onnx(architecture: Architecture, tensors: Tensors, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The network as an ONNX model: input `input` float32[N, C, H, W], output `output` float32[N, classes], or
    float32[N, C, H, W] where the last layer is not a head."""
    graph = _Graph(tensors)
    value = "input"
    for index, layer in enumerate(architecture.layers):
        start = value
        for position, op in enumerate(ops(layer)):
            value = graph.add_op(op, f"{index}.{position}", value)
        if layer.residual:
            value = graph.node("Add", [start, value])
    if value == "input":
        graph.node("Identity", [value])
    graph.nodes[-1].output[0] = "output"
    last = architecture.layers[-1]
    gives = [last.out_channels] if KINDS[last.kind].pools else list(output_shape(last))
    shape = (architecture.channels, architecture.height, architecture.width)
    proto = helper.make_graph(
        graph.nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", *gives])],
        graph.initializers,
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="nas", ir_version=IR_VERSION
    )
    helper.set_model_props(model, dict(metadata))
    return model


class _Graph:
    """Nodes and initializers under construction; every method returns the name of the value it made."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attributes))
        return output

    def weight(self, name: str, *shape: int) -> str:
        self.initializers.append(self.tensors.tensor(name, shape))
        return name

    def scalar(self, name: str, value: float) -> str:
        if all(tensor.name != name for tensor in self.initializers):
            self.initializers.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
        return name

    def activation(self, kind: str, value: str) -> str:
        if kind == "none":
            return value
        if kind == "relu6":
            return self.node("Clip", [value, self.scalar("zero", 0.0), self.scalar("six", 6.0)])
        if kind == "swish":
            return self.node("Mul", [value, self.node("Sigmoid", [value])])
        operator, attributes = _UNARY[kind]
        return self.node(operator, [value], **attributes)

    def convolution(self, name: str, value: str, op: Conv, bias: bool) -> str:
        inputs = [value, self.weight(f"{name}.weight", *_kernel_shape(op))]
        inputs += [self.weight(f"{name}.bias", op.out_channels)] if bias else []
        return self.node(
            "Conv",
            inputs,
            kernel_shape=[op.kernel, op.kernel],
            strides=[op.stride, op.stride],
            pads=[op.kernel // 2] * 4,
            group=op.groups,
        )

    def add_op(self, op: Op, name: str, value: str) -> str:
        match op:
            case Conv():
                value = self.convolution(f"{name}.conv", value, op, bias=False)
                parts = ("weight", "bias", "running_mean", "running_var")
                norm = [self.weight(f"{name}.norm.{part}", op.out_channels) for part in parts]
                epsilon = self.tensors.norm_epsilon(prod(_kernel_shape(op)[1:]), op.activation != "none")
                value = self.node("BatchNormalization", [value, *norm], epsilon=epsilon)
                return self.activation(op.activation, value)
            case SqueezeExcite():
                inner = self.node("GlobalAveragePool", [value])
                squeeze, excite = Conv(op.channels, op.squeezed), Conv(op.squeezed, op.channels)
                inner = self.node("Relu", [self.convolution(f"{name}.squeeze", inner, squeeze, bias=True)])
                inner = self.convolution(f"{name}.excite", inner, excite, bias=True)
                return self.node("Mul", [value, self.activation(op.gate, inner)])
            case Pool():
                return self.node("Flatten", [self.node("GlobalAveragePool", [value])])
            case Linear():
                weight = self.weight(f"{name}.linear.weight", op.out_features, op.in_features)
                bias = self.weight(f"{name}.linear.bias", op.out_features)
                return self.activation(op.activation, self.node("Gemm", [value, weight, bias], transB=1))


def _kernel_shape(op: Conv) -> tuple[int, int, int, int]:
    return op.out_channels, op.in_channels // op.groups, op.kernel, op.kernel

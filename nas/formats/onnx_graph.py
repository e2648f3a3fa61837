"""Architecture → ONNX graph, written node by node with `onnx.helper` (about 1 ms; no tracing). Ops write their nodes.

Weights come from a `Tensors`: as a rule arrays under the names of the torch module's `state_dict`, so that a network
and its graph compute the same function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nas.blocks.architecture import Architecture

OPSET = 17
IR_VERSION = 8
BATCH = "batch"
"""The dimension of pictures, of which there may be any number."""

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

    def norm_epsilon(self, fan_in: int, activated: bool, norm_eps: float) -> float:
        """What batch normalisation adds to the variance of a convolution over `fan_in` values; `norm_eps` in the
        network."""


@dataclass(frozen=True)
class Inline:
    """Arrays that become part of the model: those of `nas.blocks.build.build(architecture).state_dict()`."""

    weights: Weights

    def tensor(self, name: str, shape: tuple[int, ...]) -> TensorProto:
        return numpy_helper.from_array(np.ascontiguousarray(self.weights[name]), name)

    def norm_epsilon(self, fan_in: int, activated: bool, norm_eps: float) -> float:
        """The network's."""
        return norm_eps


def to_onnx(
    architecture: Architecture, tensors: Tensors, metadata: Mapping[str, str], folded: bool = False
) -> onnx.ModelProto:
    """The network as an ONNX model: input `input` float32[N, C, H, W], output `output` float32[N, classes], or
    float32[N, C, H, W] where the last layer is not a head. Several outputs are `output0`, `output1`, …

    Where it is `folded`, the normalisation behind a convolution is a bias of that, `tensors` permitting."""
    graph = _Graph(tensors, folded)
    values = {-1: "input"}
    for index, layer in enumerate(architecture.layers):
        inputs = [values[source] for source in architecture.sources(index)]
        own = {-1 - place: value for place, value in enumerate(inputs)}
        for position, node in enumerate(layer.graph.nodes):
            taken = [own[place] for place in node.takes]
            own[position] = node.op.onnx(graph, f"{index}.{position}", *taken, shapes=node.shapes)
        values[index] = own[len(layer.graph.nodes) - 1]
    last = len(architecture.layers) - 1
    several = architecture.outputs
    given = {"output": last} if several is None else {f"output{n}": place for n, place in enumerate(several)}
    shape = (architecture.channels, architecture.height, architecture.width)
    proto = helper.make_graph(
        graph.ended({name: values[place] for name, place in given.items()}),
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [BATCH, *shape])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *architecture.layers[place].output])
            for name, place in given.items()
        ],
        graph.initializers,
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="nas", ir_version=IR_VERSION
    )
    helper.set_model_props(model, dict(metadata))
    return model


def fix_batch(model: onnx.ModelProto, pictures: int) -> None:
    """Make a graph of `to_onnx`, or one made of it, take so many pictures at a time and no other number: in place."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == BATCH:
                dimension.dim_value = pictures


class _Graph:
    """Nodes and initializers under construction: an `OnnxGraph`."""

    def __init__(self, tensors: Tensors, folded: bool) -> None:
        self.tensors = tensors
        self.folded = folded
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

    def integers(self, name: str, values: Sequence[int]) -> str:
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name

    def activation(self, kind: str, value: str) -> str:
        if kind == "none":
            return value
        if kind == "relu6":
            return self.node("Clip", [value, self.scalar("zero", 0.0), self.scalar("six", 6.0)])
        if kind == "gelu":  # in the nodes that runtimes join into one
            error = self.node("Erf", [self.node("Div", [value, self.scalar("sqrt2", sqrt(2))])])
            both = self.node("Mul", [value, self.node("Add", [error, self.scalar("one", 1.0)])])
            return self.node("Mul", [both, self.scalar("half", 0.5)])
        if kind == "swish":
            return self.node("Mul", [value, self.node("Sigmoid", [value])])
        operator, attributes = _UNARY[kind]
        return self.node(operator, [value], **attributes)

    def normalised(
        self, name: str, value: str, channels: int, fan_in: int, activated: bool, norm_eps: float = 1e-5
    ) -> str:
        if self.folded and self.nodes and self.nodes[-1].output[0] == value and self.nodes[-1].op_type == "Conv":
            if len(self.nodes[-1].input) == 2:
                self.nodes[-1].input.append(self.weight(f"{name}.bias", channels))
            return value
        parts = ("weight", "bias", "running_mean", "running_var")
        norm = [self.weight(f"{name}.{part}", channels) for part in parts]
        epsilon = self.tensors.norm_epsilon(fan_in, activated, norm_eps)
        return self.node("BatchNormalization", [value, *norm], epsilon=epsilon)

    def ended(self, outputs: Mapping[str, str]) -> list[onnx.NodeProto]:
        """The nodes, with the values that the network gives under the names of its outputs."""
        if len(outputs) == 1 and self.nodes and self.nodes[-1].output[0] in outputs.values():
            (self.nodes[-1].output[0],) = outputs
        else:
            for name, value in outputs.items():
                self.nodes.append(helper.make_node("Identity", [value], [name], name=f"Identity_{len(self.nodes)}"))
        return self.nodes

"""Bytes of weights and of activations against the ONNX graph, whose liveness is simulated here by itself."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from hypothesis import given, settings
from networks import HEADS, PLAIN, architectures

import nas
from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.cost import counts
from nas.cost.memory import flash, peak, peak_of
from nas.formats.folded import fold
from nas.formats.onnx_graph import to_onnx

IN_PLACE = ("Relu", "Clip", "HardSwish", "Sigmoid", "HardSigmoid", "BatchNormalization", "Flatten", "Identity")
"""Operators that need no memory of their own: what they give lies where their input did."""


class Shapes:
    """Weights of which only the first axis is there: shapes are kept beside them."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, ...]] = {}

    def tensor(self, name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
        self.known[name] = shape
        return onnx.numpy_helper.from_array(np.ones((shape[0], *[1] * (len(shape) - 1)), np.float32), name)

    def norm_epsilon(self, fan_in: int, activated: bool, norm_eps: float) -> float:
        return 1e-5


def graph_of(architecture: Architecture) -> onnx.ModelProto:
    """The network as a runtime has it, normalisation folded; the shapes of all values are known, weights are gone."""
    shapes = Shapes()
    model = fold(to_onnx(architecture, shapes, {}))
    for tensor in model.graph.initializer:
        if tensor.name in shapes.known or tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.ClearField("raw_data")
            tensor.dims[:] = shapes.known.get(tensor.name, tensor.dims)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def simulated(model: onnx.ModelProto, further: tuple[str, ...] = ()) -> int:
    """Most bytes held at once by a runtime that makes each value when its operator runs and gives it back after the
    last operator that takes it; `further` operators need no memory of their own."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer} | {""}  # an input that is left out
    sizes = {
        value.name: 4 * prod(axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        else 0  # a shape
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    for node in graph.node:  # what follows from weights alone is computed when the model is loaded
        weights |= {node.output[0]} if weights.issuperset(node.input) else set()
    nodes = [node for node in graph.node if node.output[0] not in weights]
    home: dict[str, str] = {value.name: value.name for value in graph.input}  # whose memory a value lies in
    for node in nodes:
        homes = {home[name] for name in node.input if name not in weights}
        alike = node.op_type in ("Add", "Div", "Erf", "Mul") and len(homes) == 1  # parts of swish and of gelu
        home[node.output[0]] = home[node.input[0]] if node.op_type in (*IN_PLACE, *further) or alike else node.output[0]
    dies = {home[name]: step for step, node in enumerate(nodes) for name in node.input if name not in weights}
    dies |= {home[value.name]: len(nodes) for value in graph.output}
    most, live = 0, {home[value.name] for value in graph.input}
    for step, node in enumerate(nodes):
        live.add(home[node.output[0]])
        most = max(most, sum(sizes[name] for name in live))
        live = {name for name in live if dies[name] > step}
    return most


def test_two_hundred_networks_of_mobile_at_96_px() -> None:
    space = nas.load_space("mobile", resolution=96, strides="drop")
    population = space.sample(200, np.random.default_rng(0))
    costs = counts.peak(space)(population)
    assert len(set(costs)) > 5
    assert costs.tolist() == [simulated(graph_of(space.decode(genotype))) for genotype in population]


def without_evonorm(architecture: Architecture) -> bool:
    """EvoNorm is many nodes, some of them in place."""
    return all(layer.activation != "evonorm" for layer in architecture.layers)


@given(architectures(PLAIN, HEADS[:2]).filter(without_evonorm))
@settings(max_examples=60, deadline=None)
def test_any_chain_of_layers(architecture: Architecture) -> None:
    held = peak_of(architecture)
    assert held == max(map(peak, architecture.layers))
    if any(layer.graph.nodes for layer in architecture.layers):  # else there is nothing to run
        assert held == simulated(graph_of(architecture))


@given(architectures().filter(without_evonorm))
@settings(max_examples=30, deadline=None)
def test_attention_holds_what_the_runtime_holds_or_a_little_more(architecture: Architecture) -> None:
    """The runtime may give parts of its input back before an op is done."""
    held = peak_of(architecture)
    assert held == max(map(peak, architecture.layers))
    if any(layer.graph.nodes for layer in architecture.layers):
        assert simulated(graph_of(architecture), further=("Reshape", "Softmax")) <= held


def test_flash_is_what_the_folded_graph_has_of_weights() -> None:
    space = nas.load_space("mobile", resolution=96, strides="drop")
    population = space.sample(20, np.random.default_rng(1))
    for genotype, bytes_ in zip(population, counts.flash(space)(population), strict=True):
        tensors = graph_of(space.decode(genotype)).graph.initializer
        assert bytes_ == sum(4 * prod(tensor.dims) for tensor in tensors if tensor.dims)  # not constants such as 6


def conv(channels: int, out: int, size: int, **further: object) -> Layer:
    return Layer(kind="conv", in_channels=channels, out_channels=out, height=size, width=size, **further)


def test_a_residual_holds_its_input_by_hand() -> None:
    """3 → 6 → 6 → 3 channels, of 5 x 5 pixels."""
    base = {"kind": "mbconv", "in_channels": 3, "mid_channels": 6, "out_channels": 3, "kernel": 3}
    plain, residual = (Layer(**base, residual=r, height=5, width=5) for r in (False, True))
    assert peak(plain) == 4 * 25 * (6 + 6)  # the depthwise convolution's; of the others 3 + 6
    assert peak(residual) == 4 * 25 * (3 + 6 + 6)
    assert peak(residual.changed(precision="float16")) == 2 * 25 * (3 + 6 + 6)
    assert peak(residual.changed(se_channels=2)) == 4 * (25 * (3 + 6 + 6) + 6)  # the product's, with its gate
    one = Layer(**base | {"mid_channels": 9}, se_channels=2, height=1, width=1)
    assert peak(one.changed(se_channels=40)) == 4 * (9 + 9 + 40)  # one pixel, whose 9 channels are pooled, and squeezed


def test_flash_by_precision_by_hand() -> None:
    """3 → 7 channels, kernel 3: a kernel of 189 numbers and a bias of 7."""
    layer = conv(3, 7, 5, kernel=3)
    assert [flash(layer.changed(precision=p)) for p in ("float32", "float16", "int8")] == [784, 392, 189 + 28]


def test_values_wait_for_branches_and_for_the_end() -> None:
    """Two layers take the picture of 2 x 4 x 4; what the second gives is given by the network too."""
    layers = (conv(2, 3, 4), conv(2, 5, 4), conv(5, 7, 4))
    network = Architecture(2, 4, 4, layers, wires=((-1,), (-1,), (1,)), outputs=(0, 2))
    assert peak_of(network) == 4 * 16 * max(2 + 3, 2 + 3 + 5, 3 + 5 + 7)
    assert peak_of(network) == simulated(graph_of(network))
    chain = Architecture(2, 4, 4, (conv(2, 3, 4), conv(3, 5, 4), conv(5, 7, 4)))
    assert peak_of(chain) == 4 * 16 * (5 + 7)


def test_a_value_counts_in_the_precision_of_who_makes_or_takes_it() -> None:
    layers = (conv(2, 3, 4, precision="int8"), conv(3, 5, 4))
    assert peak_of(Architecture(2, 4, 4, layers)) == max(16 * (2 + 3), 4 * 16 * (3 + 5)) == max(map(peak, layers))

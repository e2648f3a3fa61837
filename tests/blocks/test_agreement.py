"""torch, ONNX Runtime, fvcore and arithmetic say the same of any network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from networks import architectures, picture, randomize

from nas.blocks import Architecture, Layer
from nas.blocks.build import build
from nas.cost.recount import differences
from nas.errors import ArchitectureError
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.weights import random_weights

onnxruntime = pytest.importorskip("onnxruntime")


def run_onnx(model: onnx.ModelProto, x: torch.Tensor) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"input": x.numpy()})
    return output


@given(architectures())
@settings(max_examples=60, deadline=None)
def test_torch_onnx_and_arithmetic_agree(architecture: Architecture) -> None:
    network = randomize(build(architecture), seed=1)
    x = picture(architecture)
    with torch.inference_mode():
        expected = network(x).numpy()
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    output = run_onnx(to_onnx(architecture, Inline(weights), {}), x)
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    assert differences(architecture) == []


@given(architectures())
@settings(max_examples=20, deadline=None)
def test_random_weights_fit_the_torch_module(architecture: Architecture) -> None:
    weights = random_weights(architecture, seed=3)
    network = build(architecture)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, strict=True)
    again = random_weights(architecture, seed=3)
    assert all(array.dtype == np.float32 and (array == again[name]).all() for name, array in weights.items())


def test_metadata_is_in_the_model() -> None:
    layer = Layer(kind="conv", in_channels=3, out_channels=5, height=7, width=7)
    network = Architecture(3, 7, 7, (layer,))
    model = to_onnx(network, Inline(random_weights(network, 0)), {"weights": "random (untrained)"})
    assert {entry.key: entry.value for entry in model.metadata_props} == {"weights": "random (untrained)"}


def test_a_head_is_the_last_layer() -> None:
    head = Layer(kind="head", in_channels=3, out_channels=5, mid_channels=7, height=1, width=1)
    after = Layer(kind="head", in_channels=5, out_channels=5, mid_channels=7, height=1, width=1)
    with pytest.raises(ArchitectureError, match="A head is the last layer, got one at 0 of 2"):
        Architecture(3, 1, 1, (head, after))

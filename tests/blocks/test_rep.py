"""Branches and the convolution that they become compute the same; figures and tables are of the convolution."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import CONVENTIONS, picture, randomize, reps
from test_agreement import run_onnx

from nas.blocks import Architecture, Layer
from nas.blocks.build import build
from nas.cli import cli
from nas.cost.recount import differences
from nas.errors import ArchitectureError
from nas.formats.config import read_config, to_config
from nas.formats.merged import merged
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.plain import to_python
from nas.formats.weights import weight_shapes
from nas.formats.weights_file import Array, plain_weights
from nas.tables.table import columns_used


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Any re-parameterized layer."""
    channels, height, width = draw(st.tuples(st.integers(1, 6), st.integers(1, 15), st.integers(1, 15)))
    shape = {"kind": "rep", "in_channels": channels, "height": height, "width": width}
    shape["out_channels"] = channels if draw(st.booleans()) else draw(st.integers(1, 6))
    shape["stride"] = draw(st.sampled_from((1, 1, 2, 3)))
    return draw(reps(shape)).changed(**draw(CONVENTIONS))


def outputs(architecture: Architecture, weights: dict[str, Array], x: torch.Tensor) -> np.ndarray:
    network = build(architecture)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    with torch.inference_mode():
        return network.eval()(x).numpy()


@given(layers())
@settings(max_examples=40, deadline=None)
def test_merged_they_compute_the_same(layer: Layer) -> None:
    network = Architecture(layer.in_channels, layer.height, layer.width, (layer,))
    branched = network.for_training()
    x = picture(network)
    weights = plain_weights(randomize(build(branched), 1).state_dict())
    expected, folded = outputs(branched, weights, x), merged(branched, weights)
    assert {name: array.shape for name, array in folded.items()} == weight_shapes(network)
    bound = 1e-5 * max(1, np.abs(expected).max())
    assert np.abs(outputs(network, folded, x) - expected).max() <= bound
    assert merged(network, folded).keys() == folded.keys()
    for form, own in ((network, folded), (branched, weights)):
        assert np.abs(run_onnx(to_onnx(form, Inline(own), {}), x) - expected).max() <= bound
        assert differences(form) == []


@pytest.mark.parametrize("branched", [False, True])
def test_model_py_and_config(branched: bool, tmp_path: Path) -> None:
    layer = Layer(
        kind="rep", in_channels=4, out_channels=4, kernel=13, small_kernel=5, se_channels=2, height=9, width=7
    )
    network = Architecture(4, 9, 7, (layer, layer.changed(depthwise=True, activation="swish", padding="same")))
    network = network.for_training() if branched else network
    module, x = randomize(build(network), 2), picture(network)
    scope: dict[str, object] = {}
    exec(compile(to_python(network), "model.py", "exec"), scope)
    plain = scope["model"]()  # type: ignore[operator]
    plain.load_state_dict(module.state_dict())
    with torch.inference_mode():
        assert np.array_equal(plain.eval()(x), module(x))
    (tmp_path / "config.json").write_text(json.dumps(to_config(network)))
    assert read_config(tmp_path / "config.json").architecture == network
    assert pickle.loads(pickle.dumps(network)) == network


def test_figures_are_those_of_the_convolution() -> None:
    layer = Layer(kind="rep", in_channels=8, out_channels=8, kernel=3, branches=4, height=5, width=5)
    assert layer.params == 8 * 8 * 9 + 8  # a bias each
    assert layer.macs == 5 * 5 * 8 * 8 * 9
    assert layer.for_training().params == 4 * (8 * 8 * 9 + 2 * 8) + (8 * 8 + 2 * 8) + 2 * 8  # 3x3, 1x1, identity
    separable = layer.changed(depthwise=True, out_channels=16)
    assert separable.params == 8 * 9 + 8 + 8 * 16 + 16


def test_a_table_has_one_row_for_all_branches() -> None:
    layer = Layer(kind="rep", in_channels=8, out_channels=8, kernel=3, height=5, width=5)
    other = layer.changed(branches=4, identity=False, small_kernel=3)
    assert layer != other
    assert layer.key == other.key
    assert layer.key != layer.for_training().key
    assert not {"branches", "identity", "small_kernel"} & {*columns_used([layer, other])}
    assert (
        Layer(kind="conv", in_channels=8, out_channels=8, height=5, width=5, branches=1).for_training().kind == "conv"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"small_kernel": 2}, "`small_kernel` of a rep layer is odd, got 2."),
        ({"kernel": 4}, "`kernel` of a rep layer is odd, got 4."),
        ({"branches": 0}, "`branches` of a rep layer lies in 1..65536, got 0."),
        ({"branches": 17}, "`branches` of a rep layer are at most 16, got 17."),
        ({"depthwise": True, "groups": 2}, "A rep layer that is `depthwise` has `groups` of its own, got 2."),
        ({"se_gate": "hard-sigmoid"}, "Without `se_channels`, `se_gate` stays 'sigmoid', got 'hard-sigmoid'."),
        ({"identity": 1}, "`identity` is true or false, got 1."),
        ({"branched": "yes"}, "`branched` is true or false, got 'yes'."),
        ({"kind": "conv", "branched": True}, "A conv layer has no other form for training, so `branched` stays false."),
        ({"kind": "conv", "branches": 2}, "A conv layer has no `branches` (it stays 1), got 2."),
    ],
)
def test_wrong_layers_are_told(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    rep = {"kind": "rep", "in_channels": 4, "out_channels": 4, "kernel": 3, "height": 8, "width": 8}
    document = to_config(Architecture(4, 8, 8, (Layer(**rep),)))  # type: ignore[arg-type]
    document["layers"][0].update(changes)
    (tmp_path / "config.json").write_text(json.dumps(document))
    done = CliRunner().invoke(cli, ["estimate", str(tmp_path / "config.json")])
    assert isinstance(done.exception, ArchitectureError)
    assert str(done.exception).endswith(f"layers.0: {says}")

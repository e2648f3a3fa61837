"""Probes: small models over one shared file of weights, which ONNX Runtime computes without infinities."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from nas.blocks.block import BLOCKS, is_head
from nas.blocks.layer import MAX_DIMENSION, Layer
from nas.devices.device import Probe
from nas.errors import ArchitectureError
from nas.profiler import probe as probes
from nas.profiler.probe import INPUT_SLICE, NORMALS, make_probe, write_weights
from nas.space.load import load_space

BLOCK = {"in_channels": 8, "out_channels": 8, "mid_channels": 24, "kernel": 3, "height": 14, "width": 14}
HEADS = {"in_channels": 8, "heads": 2, "key_channels": 4, "value_channels": 8, "height": 14, "width": 14}
LAYERS = {
    "conv": Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=15, width=15),
    "conv grouped": Layer(kind="conv", in_channels=8, out_channels=8, kernel=5, groups=4, height=9, width=9),
    "sepconv": Layer(kind="sepconv", **BLOCK | {"mid_channels": 8}, se_channels=2, residual=True),
    "mbconv": Layer(kind="mbconv", **BLOCK, groups=2, activation="hard-swish", residual=True),
    "mbconv gated": Layer(kind="mbconv", **BLOCK, se_channels=4, se_gate="hard-sigmoid", activation="swish"),
    "fused": Layer(kind="fused", **BLOCK, activation="relu6"),
    "tucker": Layer(kind="tucker", **BLOCK | {"mid_channels": 4}, rank_channels=6, residual=True),
    "mbconv of EvoNorm": Layer(kind="mbconv", **BLOCK, activation="evonorm", residual=True),
    "ghost": Layer(kind="ghost", **BLOCK, stride=2, projection=True),
    "ghost gated": Layer(kind="ghost", **BLOCK | {"mid_channels": 23}, dfc=True, residual=True),
    "pconv": Layer(kind="pconv", **BLOCK, activation="gelu", residual=True),
    "patch": Layer(kind="patch", in_channels=3, out_channels=8, stride=4, height=14, width=14),
    "pool": Layer(kind="pool", **BLOCK, pooling="average"),
    "shift": Layer(kind="shift", **BLOCK, stride=2),
    "mhsa": Layer(kind="mhsa", **HEADS, out_channels=16, mid_channels=32, positions="distance", layer_scale=True),
    "mhsa in windows": Layer(kind="mhsa", **HEADS, out_channels=8, mid_channels=16, window=4, activation="gelu"),
    "moat": Layer(kind="moat", **HEADS, out_channels=16, mid_channels=64, stride=2, positions="offset"),
    "shsa": Layer(kind="shsa", **BLOCK, part_channels=4, key_channels=4),
    "poolformer": Layer(kind="poolformer", **BLOCK, layer_scale=True, conv_bias=True),
    "identity": Layer(kind="identity", in_channels=8, out_channels=16, stride=2, height=14, width=14),
    "identity of nothing": Layer(kind="identity", in_channels=8, out_channels=8, height=14, width=14),
    "rep": Layer(kind="rep", in_channels=8, out_channels=8, kernel=13, height=14, width=14),
    "rep gated": Layer(
        kind="rep", in_channels=8, out_channels=16, kernel=3, depthwise=True, se_channels=4, height=14, width=14
    ),
    "head": Layer(kind="head", in_channels=8, out_channels=10, mid_channels=32, height=7, width=7),
    "pooled_head": Layer(kind="pooled_head", in_channels=8, out_channels=10, mid_channels=32, height=7, width=7),
    "norm_head": Layer(kind="norm_head", in_channels=8, out_channels=10, classifiers=2, height=7, width=7),
}


def chain(n: int) -> list[Layer]:
    """n plain convolutions that fit one another, of 9 * 256**2 weights each."""
    return [Layer(kind="conv", in_channels=256, out_channels=256, kernel=3, height=2, width=2)] * n


def slices(probe: Probe) -> dict[str, tuple[int, int]]:
    """First byte and number of bytes of each external tensor."""
    found = {}
    for tensor in onnx.load_model_from_string(probe.model).graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in tensor.external_data}
            assert entries["location"] == "weights.bin"
            assert int(entries["length"]) == 4 * np.prod(tensor.dims)
            found[tensor.name] = int(entries["offset"]), int(entries["length"])
    return found


def random_slices(probe: Probe) -> list[tuple[int, int]]:
    """Those in the random part of the file, in the order of the model."""
    return [(start, size) for start, size in slices(probe).values() if start >= 4 * 2 * MAX_DIMENSION]


def computed(layers: Sequence[Layer], weights: Path, optimized: Path | None = None) -> NDArray[np.float32]:
    """What ONNX Runtime makes of a probe and its usual input."""
    import onnxruntime as ort

    probe = make_probe(layers)
    model = weights.with_name(f"{probe.name}.onnx")
    model.write_bytes(probe.model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimized is not None:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(optimized)
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    first, count = INPUT_SLICE
    picture = np.resize(np.fromfile(weights, np.float32, count, offset=4 * first), probe.shape)
    output: NDArray[np.float32] = session.run(None, {"input": picture})[0]
    return output


def test_a_name_is_the_hash_of_the_content() -> None:
    names = {make_probe((layer,)).name for layer in LAYERS.values()}
    assert len(names) == len(LAYERS)
    for layer in LAYERS.values():
        probe, again = make_probe((layer,)), make_probe([layer])
        assert probe == again
        assert probe.name.isalnum()
        assert len(probe.name) <= 64
    once, twice = (make_probe(chain(n)) for n in (1, 2))
    assert once.name != twice.name


def test_a_name_is_of_the_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_probe((LAYERS["conv"],))
    monkeypatch.setattr(probes, "_weights_digest", lambda: b"other weights")
    after = make_probe((LAYERS["conv"],))
    assert after.model == before.model
    assert after.name != before.name


def test_the_file_of_weights_is_the_same_everywhere(weights: Path, tmp_path: Path) -> None:
    probes._weights.cache_clear()
    write_weights(tmp_path / "again.bin")
    written, again = weights.read_bytes(), (tmp_path / "again.bin").read_bytes()
    assert hashlib.sha256(written).digest() == hashlib.sha256(again).digest()
    values = np.frombuffer(written, np.float32)
    assert len(values) == 2 * MAX_DIMENSION + NORMALS
    assert not values[:MAX_DIMENSION].any()
    assert (values[MAX_DIMENSION : 2 * MAX_DIMENSION] == 1).all()
    normals = values[2 * MAX_DIMENSION :]
    assert normals.std() == pytest.approx(1 / 16, rel=1e-3)  # standard error of a deviation: 1 / sqrt(2 * 8.4e6)
    assert normals.mean() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_tensors_lie_in_the_file_and_apart(name: str, weights: Path) -> None:
    probe, size = make_probe((LAYERS[name],)), weights.stat().st_size
    assert all(0 <= start <= start + length <= size for start, length in slices(probe).values())
    placed = sorted(random_slices(probe))
    assert all(start + length <= after for (start, length), (after, _) in pairwise(placed))
    zeros_and_ones = sum(length for start, length in slices(probe).values() if start < 4 * 2 * MAX_DIMENSION)
    assert sum(length for _, length in placed) + zeros_and_ones >= 4 * LAYERS[name].params  # BN has two more
    for tensor, (start, length) in slices(probe).items():
        if tensor.endswith(("norm.bias", "norm.running_mean", "norm.running_var", "linear.bias")):
            assert start + length <= 4 * MAX_DIMENSION
        if tensor.endswith("norm.weight"):
            assert start >= 4 * MAX_DIMENSION
            assert start + length <= 4 * 2 * MAX_DIMENSION


def test_slices_begin_anew_where_the_file_ends(weights: Path) -> None:
    per_layer = 9 * 256**2
    fits = NORMALS // per_layer
    probe = make_probe(chain(2 * fits + 1))
    first, second, third = (random_slices(probe)[start : start + fits] for start in (0, fits, 2 * fits))
    assert first == second
    assert third == first[:1]
    assert len(set(first)) == fits
    starts = [start for start, _ in first]
    assert starts == [4 * (2 * MAX_DIMENSION + n * per_layer) for n in range(fits)]
    assert max(start + length for start, length in first) <= weights.stat().st_size


def test_a_tensor_that_does_not_fit_is_an_error() -> None:
    large = {"kind": "conv", "in_channels": 4096, "height": 1, "width": 1}
    assert make_probe((Layer(**large, out_channels=NORMALS // 4096),)).shape == (1, 4096, 1, 1)  # just fits
    with pytest.raises(ArchitectureError, match=r"at most 8,388,608 values, .*weight. has 8,392,704") as caught:
        make_probe((Layer(**large, out_channels=NORMALS // 4096 + 1),))
    assert "\n" not in str(caught.value)


def test_layers_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ArchitectureError, match="Layer 1"):
        make_probe((LAYERS["conv"], LAYERS["fused"]))


def test_every_kind_is_among_the_layers() -> None:
    attention = {"mhsa", "moat", "shsa", "poolformer", "norm_head"}
    cheap = {"ghost", "pconv", "patch", "pool", "shift"}
    shipped = {
        "conv",
        "sepconv",
        "mbconv",
        "fused",
        "tucker",
        "identity",
        "rep",
        "head",
        "pooled_head",
        *attention,
        *cheap,
    }
    assert shipped <= BLOCKS.keys()
    assert {layer.kind for layer in LAYERS.values()} == shipped


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_computes_finite_values_that_keep_their_scale(name: str, weights: Path) -> None:
    layer = LAYERS[name]
    output = computed((layer,), weights)
    shape = layer.output
    assert output.shape == ((1, shape[0]) if is_head(layer.kind) else (1, *shape))
    assert np.isfinite(output).all()
    assert 1e-4 < np.abs(output).mean() < 10  # of inputs of deviation 1/16


@pytest.mark.parametrize("name", ["mobile", "fbnet", "mnasnet"])
def test_whole_networks_compute_finite_values(name: str, weights: Path) -> None:
    space = load_space(name)
    for genotype in space.sample(2, np.random.default_rng(7)):
        output = computed(space.decode(genotype).layers, weights)
        assert output.shape == (1, 1000)
        assert np.isfinite(output).all()
        assert 1e-3 < np.abs(output).mean() < 10
        assert output.std() > 1e-3  # and are not all alike


def test_values_do_not_fade_where_nothing_normalises(weights: Path) -> None:
    layer = Layer(kind="rep", in_channels=16, out_channels=16, kernel=3, depthwise=True, height=4, width=4)
    output = computed([layer] * 100, weights)
    assert 1e-3 < np.abs(output).mean() < 1e3


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "moat"])  # which normalises what comes in
def test_batch_normalisation_is_folded_away(name: str, weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "optimized.onnx"
    computed((LAYERS[name],), weights, optimized=file)
    before = onnx.load_model_from_string(make_probe((LAYERS[name],)).model)
    after = onnx.load(file, load_external_data=False)
    kinds = [node.op_type for node in after.graph.node]
    assert "BatchNormalization" not in kinds
    convolutions = [node for node in before.graph.node if node.op_type == "Conv"]
    assert kinds.count("Conv") == len(convolutions)  # nothing was computed beforehand and left out

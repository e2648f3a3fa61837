"""Graphs in 8 bits: pairs of QuantizeLinear and DequantizeLinear where ONNX Runtime's own quantiser puts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError
from nas.export.int8 import FLOAT
from nas.formats.folded import fold
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.quantised import Nearest, quantised
from nas.formats.weights import random_weights
from nas.profiler.probe import INPUT_SLICE, make_probe, write_weights

BLOCK = {"in_channels": 16, "out_channels": 16, "mid_channels": 24, "kernel": 3, "height": 8, "width": 8}
HEADS = {"in_channels": 16, "heads": 2, "key_channels": 4, "value_channels": 8, "height": 8, "width": 8}
STEM = Layer(kind="conv", in_channels=3, out_channels=16, kernel=3, stride=2, height=16, width=16)
HEAD = Layer(kind="head", in_channels=16, out_channels=10, mid_channels=32, activation="relu6", height=8, width=8)
BLOCKS = {
    "gated": Layer(kind="mbconv", **BLOCK, se_channels=4, se_gate="hard-sigmoid", activation="swish", residual=True),
    "hard-swish": Layer(kind="sepconv", **BLOCK | {"mid_channels": 16}, activation="hard-swish"),
    "ghost": Layer(kind="ghost", **BLOCK, dfc=True, residual=True),
    "EvoNorm": Layer(kind="mbconv", **BLOCK, activation="evonorm"),
    "shift": Layer(kind="shift", **BLOCK, residual=True),
    "attention": Layer(kind="mhsa", **HEADS, out_channels=16, mid_channels=32, positions="distance", layer_scale=True),
    "MOAT": Layer(kind="moat", **HEADS, out_channels=16, mid_channels=64, positions="offset", activation="gelu"),
    "pool": Layer(kind="pool", **BLOCK, pooling="average"),
}


def network(*blocks: Layer) -> Architecture:
    return Architecture(3, 16, 16, (STEM, *blocks, HEAD))


def by_onnxruntime(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """As `nas export --format int8` quantises it, by one picture of noise."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        left = 1

        def get_next(self) -> dict[str, Any] | None:
            self.left -= 1
            rng = np.random.default_rng(0)
            return None if self.left < 0 else {"input": rng.standard_normal((1, 3, 16, 16), np.float32)}

    ready, small = folder / "ready.onnx", folder / "small.onnx"
    quant_pre_process(model, ready, skip_optimization=True, skip_symbolic_shape=True)
    quantize_static(
        ready,
        small,
        Noise(),
        per_channel=True,
        nodes_to_exclude=[node.name for node in model.graph.node if node.op_type in FLOAT],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(small)


def written(model: onnx.ModelProto) -> list[tuple[str, ...]]:
    return sorted((node.op_type, *node.input, "to", *node.output) for node in model.graph.node)


def test_pairs_stand_where_onnx_runtime_puts_them(tmp_path: Path) -> None:
    whole = network(*BLOCKS.values())
    model = fold(to_onnx(whole, Inline(random_weights(whole, 0)), {}))
    ours, theirs = quantised(model, Nearest()), by_onnxruntime(model, tmp_path)
    assert written(ours) == written(theirs)
    types = {tensor.name: tensor.data_type for tensor in theirs.graph.initializer}
    for tensor in ours.graph.initializer:
        assert tensor.data_type == types[tensor.name], tensor.name
    onnx.checker.check_model(ours)


def test_integers_are_near_the_numbers_that_they_stand_for() -> None:
    whole = network(BLOCKS["gated"])
    model = fold(to_onnx(whole, Inline(random_weights(whole, 0)), {}))
    picture = np.random.default_rng(1).standard_normal((1, 3, 16, 16), np.float32).clip(-3, 3)
    plain, small = (
        ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"input": picture})[0]
        for m in (model, quantised(model, Nearest()))
    )
    assert np.corrcoef(plain.ravel(), small.ravel())[0, 1] > 0.9


def fused(layers: Sequence[Layer], folder: Path) -> tuple[Counter[str], NDArray[Any]]:
    """The operators that ONNX Runtime makes of a probe, and what it gives."""
    probe = make_probe(layers)
    (folder / "probe.onnx").write_bytes(probe.model)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "fused.onnx")
    session = ort.InferenceSession(folder / "probe.onnx", options, providers=["CPUExecutionProvider"])
    first, count = INPUT_SLICE
    data = np.fromfile(folder / "weights.bin", np.float32, count, offset=4 * first)
    data = data.view(np.uint8) if "uint8" in session.get_inputs()[0].type else data
    output = session.run(None, {"input": np.resize(data, probe.shape)})[0]
    model = onnx.load(folder / "fused.onnx", load_external_data=False)
    return Counter(node.op_type for node in model.graph.node), output


def test_operators_of_blocks_are_those_of_the_network(tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.bin")
    blocks = [BLOCKS["gated"], BLOCKS["hard-swish"], BLOCKS["gated"].changed(activation="relu", residual=False)]
    layers = network(*blocks).in_precision("int8").layers
    whole, logits = fused(layers, tmp_path)
    alone = [fused((layer,), tmp_path) for layer in layers]
    assert sum((operators for operators, _ in alone), Counter[str]()) == whole
    assert "QLinearConv" in whole
    assert [output.dtype for _, output in alone] == [np.uint8] * (len(layers) - 1) + [np.float32]
    assert all(output.std() > 0 for _, output in (*alone, (whole, logits)))  # a checksum of it tells something


@pytest.mark.parametrize("precisions", [("int8", "float32"), ("float16", "float16")])
def test_a_probe_is_of_one_precision_that_is_measured(precisions: tuple[str, str]) -> None:
    layers = [layer.changed(precision=p) for layer, p in zip((STEM, BLOCKS["pool"]), precisions, strict=True)]
    with pytest.raises(ArchitectureError, match="in float32 or in int8"):
        make_probe(layers)

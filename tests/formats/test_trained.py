"""Exports with weights: every format computes the same function."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from hypothesis import given, settings
from networks import architectures, picture, randomize
from test_config import NETWORK

from nas.blocks import Architecture, Layer
from nas.blocks.build import build
from nas.data import Data, load_data
from nas.devices.fake import Fake
from nas.errors import ArchitectureError, DataError
from nas.export import int8
from nas.export.int8 import better, int8_summary, to_int8
from nas.formats.config import Pictures, read_config
from nas.formats.folded import fold
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.weights import random_weights
from nas.formats.weights_file import plain_weights, read_weights
from nas.formats.winner import Origin, export
from nas.profiler.bench import attached
from nas.runs.network import find_network
from nas.training.fit import fit
from nas.training.network import network_of
from nas.training.recipe import Recipe
from nas.training.score import evaluate

PICTURES = Pictures((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), tuple("abcde"))
LATENCY = {"ms": 12.345, "target": "cpu", "table": "abc", "error_pct": 3.0, "asked_ms": 15.0}
MEASURED = {"measured_ms": 12.5, "measured_halfwidth_ms": 0.25}
ACCURACY = {
    "value": 91.25,
    "unit": "%",
    "sigma": 0.5,
    "label": "top-1",
    "top5": 99.5,
    "data": "digits",
    "provenance": "measured",
}


def ran(model: bytes | str, x: torch.Tensor) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x.numpy()})[0]  # type: ignore[no-any-return]


@given(architectures())
@settings(max_examples=40, deadline=None)
def test_folded_it_is_the_same_function(architecture: Architecture) -> None:
    network = randomize(build(architecture), seed=3)
    whole = to_onnx(architecture, Inline(plain_weights(network.state_dict())), {"a": "b"})
    before = whole.SerializeToString()
    folded = fold(whole)
    assert whole.SerializeToString() == before
    onnx.checker.check_model(folded, full_check=True)
    kinds = Counter(node.op_type for node in folded.graph.node)
    convolved = {node.output[0] for node in whole.graph.node if node.op_type == "Conv"}
    alone = [
        node for node in whole.graph.node if node.op_type == "BatchNormalization" and node.input[0] not in convolved
    ]
    assert kinds["BatchNormalization"] == len(alone)
    assert kinds["Conv"] == sum(node.op_type == "Conv" for node in whole.graph.node)
    x = picture(architecture)
    with torch.inference_mode():
        expected = network(x).numpy()
    assert np.abs(ran(folded.SerializeToString(), x) - expected).max() <= 1e-4 * np.abs(expected).max() + 1e-6


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    network = randomize(build(NETWORK), seed=1)
    export(
        NETWORK,
        tmp_path / "out",
        ["config", "onnx", "torch", "hf"],
        decisions={"stage1.kernel": 3},
        space="mobile|<b>`",
        metrics={"latency": LATENCY | {"measured": MEASURED}, "accuracy": ACCURACY},
        weights=plain_weights(network.state_dict()),
        weights_from="trained",
        pictures=PICTURES,
    )
    return tmp_path / "out"


def test_the_files_have_the_weights(exported: Path) -> None:
    x = picture(NETWORK)
    network = randomize(build(NETWORK), seed=1)
    with torch.inference_mode():
        expected = network(x).numpy()
    assert np.allclose(ran(str(exported / "model.onnx"), x), expected, rtol=1e-4, atol=1e-5)
    metadata = {entry.key: entry.value for entry in onnx.load(exported / "model.onnx").metadata_props}
    assert metadata["weights"] == "trained"
    assert json.loads(metadata["pictures"])["classes"] == list("abcde")
    config = read_config(exported / "config.json")
    assert (config.weights, config.pictures) == ("trained", PICTURES)
    found = find_network(exported)
    assert found.weights is not None
    again = network_of(NETWORK, found.weights).eval()
    with torch.inference_mode():
        assert np.array_equal(again(x).numpy(), expected)
    np.save(exported / "x.npy", x.numpy())
    card = (exported / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    program = f"""
import sys
sys.modules["nas"] = None  # importing it fails
{code}
import numpy as np, torch
with torch.inference_mode():
    np.save("y.npy", network(torch.from_numpy(np.load("x.npy"))).numpy())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=exported, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.allclose(np.load(exported / "y.npy"), expected, rtol=1e-5, atol=1e-6)


def test_the_card(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    document = yaml.safe_load(head)
    assert document["pipeline_tag"] == "image-classification"
    assert document["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.9125
    for words in ("≤ 15 ms", "12.35 ms ± 3 %", "12.5 ± 0.25 ms", "`cpu`", "91.25 ± 0.5 %", "stage1.kernel"):
        assert words in body, words
    assert "top-5" not in body  # of five classes
    assert "<b>" not in body
    assert "mobile|" not in body


def test_a_card_of_which_little_is_known(tmp_path: Path) -> None:
    wild = {"latency": {"measured": 3, "ms": "x|y"}, "accuracy": {"value": "a\nb", "provenance": "<script>"}}
    for metrics in (None, {"latency": 3, "accuracy": []}, wild):
        export(NETWORK, tmp_path, ["hf"], metrics=metrics)
        text = (tmp_path / "README.md").read_text()
        assert "untrained" in text
        assert "<script>" not in text
        assert "load_file" not in text
    assert not (tmp_path / "model.safetensors").exists()


def test_random_weights_stay_an_unfolded_graph_without_a_file(tmp_path: Path) -> None:
    written = export(NETWORK, tmp_path, ["config", "onnx", "torch"])
    assert [path.name for path in written] == ["config.json", "model.onnx", "model.py"]
    assert any(node.op_type == "BatchNormalization" for node in onnx.load(tmp_path / "model.onnx").graph.node)
    assert find_network(tmp_path).weights is None


def test_a_config_whose_weights_are_missing(exported: Path) -> None:
    (exported / "model.safetensors").unlink()
    with pytest.raises(ArchitectureError, match=r"model\.safetensors: the weights cannot be read"):
        _ = find_network(exported).weights


def test_model_py_says_how_pictures_are_fed(exported: Path) -> None:
    text = (exported / "model.py").read_text()
    assert 'load_file("model.safetensors")' in text
    assert "mean = [0.5, 0.5, 0.5]" in text
    assert read_weights(exported / "config.json", NETWORK)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return load_data("digits", 16)


@pytest.fixture(scope="module", params=["relu", "hard-swish"])
def fitted(digits: Data, request: pytest.FixtureRequest) -> tuple[Architecture, Origin, float]:
    """A small network trained on digits, and its top-1 on the test pictures by torch."""
    activation = request.param
    common = {"height": 8, "width": 8, "activation": activation}
    architecture = Architecture(
        3,
        16,
        16,
        (
            Layer(
                kind="conv",
                in_channels=3,
                out_channels=16,
                kernel=3,
                stride=2,
                height=16,
                width=16,
                activation=activation,
            ),
            Layer(
                kind="mbconv",
                in_channels=16,
                out_channels=16,
                mid_channels=32,
                kernel=3,
                se_channels=4,
                residual=True,
                **common,
            ),
            Layer(kind="head", in_channels=16, out_channels=10, mid_channels=64, **common),
        ),
    )
    network = network_of(architecture, random_weights(architecture, 0))
    network = fit(network, digits, Recipe(epochs=10, learning_rate=0.3), seed=0).network
    pictures = Pictures(digits.mean, digits.std, digits.classes)
    origin = Origin(None, None, None, 0, plain_weights(network.state_dict()), "trained", pictures)
    return architecture, origin, evaluate(network, digits, digits.test).top1


@pytest.mark.parametrize("processor", ["this", "saturating", "exact"])
def test_int8_keeps_the_accuracy(
    digits: Data,
    fitted: tuple[Architecture, Origin, float],
    tmp_path: Path,
    processor: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if processor != "this":
        monkeypatch.setattr(int8, "saturates", lambda: processor == "saturating")
    architecture, origin, top1 = fitted
    with attached("cpu") as device:
        paths, report = to_int8(architecture, origin, digits, device, tmp_path)
    assert [path.name for path in paths] == ["model.int8.onnx", "int8.json"]
    before, after = (report["accuracy"][name]["top1"] for name in ("float32", "int8"))
    assert before == pytest.approx(top1, abs=0.3)
    assert before > 80
    assert abs(after - before) < 4
    tried = [(each["weights_bits"], each["calibration"]) for each in report["held_out"]]
    reduced = int8.saturates()
    assert tried == [(bits, how) for bits in ((7,) if reduced else (7, 8)) for how in ("extremes", "mean extremes")]
    assert {each["count"] for each in report["held_out"]} == {len(digits.validation)}
    assert report["processor"].startswith("saturates" if reduced else "exact")
    bits = report["weights_bits"]
    assert (bits, report["calibration"]) in tried
    assert ("VNNI" in report["safe_on"]) == (bits == 8)
    model = onnx.load(paths[0])
    weights = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) == 4]
    assert {array.dtype for array in weights} == {np.dtype(np.int8)}
    assert max(np.abs(array.astype(int)).max() for array in weights) == (64 if bits == 7 else 127)
    assert json.loads(paths[1].read_text()) == report
    summary = int8_summary(report)
    assert f"{report['latency']['ratio']:.2f} times the time" in summary
    assert f"{before:.2f} → {after:.2f} %" in summary
    assert f"{bits} bits, safe on " in summary


AVX2 = """
import sys
from nas.cli import main
from nas.export import int8
assert int8.saturates()
int8.saturates = lambda: False  # so that 8 bits are tried, too
sys.argv = ["nas", "export", "trained", "--format", "int8", "--data", "digits", "--out", "small"]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("fitted", ["hard-swish"], indirect=True)
@pytest.mark.skipif(shutil.which("qemu-x86_64-static") is None, reason="needs qemu: apt install qemu-user-static")
def test_weights_of_8_bits_saturate_without_vnni(fitted: tuple[Architecture, Origin, float], tmp_path: Path) -> None:
    """On a processor with AVX2 only, as qemu has it; times mean nothing there."""
    architecture, origin, top1 = fitted
    export(
        architecture,
        tmp_path / "trained",
        ["config"],
        weights=origin.weights,
        weights_from=origin.weights_from,
        pictures=origin.pictures,
    )
    words = ("qemu-x86_64-static", "-cpu", "Haswell", sys.executable, "-c", AVX2)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "small" / "int8.json").read_text())
    assert abs(report["accuracy"]["int8"]["top1"] - top1) < 4
    assert report["weights_bits"] == 7
    held_out = {(each["weights_bits"], each["calibration"]): each["top1"] for each in report["held_out"]}
    assert held_out[7, "extremes"] - held_out[8, "extremes"] > 4  # the very bound that the choice keeps


def test_better_is_more_than_chance() -> None:
    rival = np.arange(100) < 90
    assert not better(rival, rival)
    assert not better(rival | (np.arange(100) < 94), rival)  # 4 gains are 2 standard deviations
    assert better(rival | (np.arange(100) < 95), rival)
    assert not better(np.arange(100) >= 8, rival)  # 10 gains, 8 losses
    assert not better(np.zeros(0, bool), np.zeros(0, bool))


def test_int8_of_what_cannot_be(digits: Data, tmp_path: Path) -> None:
    with pytest.raises(ArchitectureError, match="this one's are random"):
        to_int8(NETWORK, Origin(None, None, None, 0), digits, Fake(), tmp_path)
    weights = plain_weights(build(NETWORK).state_dict())
    with pytest.raises(ArchitectureError, match=r"classes of digits \(10\) are not the network's \(5\)"):
        to_int8(NETWORK, Origin(None, None, None, 0, weights, "trained"), digits, Fake(), tmp_path)
    config = Origin(None, None, None, 0, weights, "trained")
    empty = replace(digits, classes=tuple("abcde"), validation=digits.validation.take(np.arange(0)))
    with pytest.raises(DataError, match="held-out pictures, and none are"):
        to_int8(NETWORK, config, empty, Fake(), tmp_path)
    assert not list(tmp_path.iterdir())

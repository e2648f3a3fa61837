"""A space of convolutions and attention, as `hybrid` is, from nothing to a trained network in other hands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from small_run import nas

from nas.accuracy.proxies import measure
from nas.accuracy.zero_cost import UNTRAINED
from nas.errors import NasError
from nas.runs.network import find_network
from nas.space.load import load_space

SPACE = """
format: nas-space/1
name: small-hybrid
source: test
num_classes: 10
input: {resolution: 16}
activation: gelu
blocks:
  conv3: {kind: mbconv, kernel: 3}
  pool3: {kind: poolformer, kernel: 3, layer_scale: true}
  moatconv: {kind: moat, kernel: 3, se: 0.25}
  moat2: {kind: moat, kernel: 3, heads: 2, key_channels: 4, value_channels: 4, positions: offset}
  attend2: {kind: mhsa, heads: 2, key_channels: 4, value_channels: 8, positions: distance, layer_scale: true}
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: early, block: {choice: [conv3, pool3, moatconv]}, width: 8, depth: {choice: [1, 2]}, expansion: 2}
  - {name: late, block: {choice: [moat2, attend2], per: layer}, width: {choice: [8, 12]}, stride: 2,
     depth: {choice: [1, 2]}, expansion: {choice: [1, 2]}, window: {choice: [0, 3]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the space's file, and a finished search in `run`."""
    place = tmp_path_factory.mktemp("hybrid")
    (place / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(place / "home"))
        words = ["--latency", "1s", "--accuracy", "zero-cost:macs", "--budget", "10"]
        nas("search", "--space", "space.yaml", "--target", "fake", *words, "--out", "run", cwd=place)
    return place


def test_a_winner_is_found_and_handed_over(folder: Path) -> None:
    result = json.loads((folder / "run/result.json").read_text())
    assert result["winner"]["latency_ms"] > 0
    nas("export", "run", "--format", "onnx,torch", "--out", "out", cwd=folder)
    assert (folder / "out/model.onnx").is_file()
    assert {layer.kind for layer in find_network(folder / "run").config.architecture.layers} & {"moat", "mhsa"}


def test_proxies_are_defined_with_attention(folder: Path) -> None:
    space = load_space(folder / "space.yaml")
    for genotype in space.sample(2, np.random.default_rng(0)):
        values = measure(space.decode(genotype), UNTRAINED, shape=(16, 16), pictures=8, seed=0)
        assert np.isfinite(values).all()


def test_a_policy_trains_its_supernet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(folder / "home"))
    words = ["--latency", "1s", "--data", "digits", "--controller", "proxyless", "--budget", "3", "--finalists", "0"]
    nas("search", "--space", "space.yaml", "--target", "fake", *words, "--out", "policy", cwd=folder)
    assert (folder / "policy/winner/model.safetensors").is_file()


def test_a_trained_network_computes_the_same_in_onnx_runtime(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(folder / "home"))
    nas("train", "run", "--data", "digits", "--epochs", "1", "--out", "trained", cwd=folder)
    nas("export", "trained", "--format", "onnx,torch", "--out", "handed", cwd=folder)
    scope: dict[str, object] = {}
    exec(compile((folder / "handed/model.py").read_text(), "model.py", "exec"), scope)
    network = scope["model"]().eval()  # type: ignore[operator]
    network.load_state_dict(load_file(folder / "handed/model.safetensors"), strict=False)
    x = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(folder / "handed/model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {"input": x.numpy()})
    with torch.inference_mode():
        assert np.abs(given - network(x).numpy()).max() < 1e-4  # its normalisation is folded


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("heads: 2, key_channels: 4, value_channels: 8", "heads: 2"), "`heads`, `key_channels` and `value_channels`"),
        (("positions: distance", "positions: learned"), "`positions` is one of none, distance, offset, got 'learned'"),
        (("window: {choice: [0, 3]}", "window: {choice: [0, -1]}"), r"`window` of a moat layer lies in 0\.\.65536"),
        (("key_channels: 4, value_channels: 8", "key_chanels: 4"), "settings of mhsa are .*, got 'key_chanels'"),
        (("heads: 2, key_channels: 4, value_channels: 4", "key_channels: 4"), "without `heads` has no settings"),
        (
            (
                "{kind: mhsa, heads: 2, key_channels: 4, value_channels: 8, positions: distance, layer_scale: true}",
                "{kind: shsa, part_channels: 8, key_channels: 4}",
            ),
            "`part_channels` are fewer than 8 `out_channels`, got 8",
        ),
    ],
)
def test_wrong_settings(words: tuple[str, str], rule: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    assert words[0] in SPACE
    path.write_text(SPACE.replace(*words))

    def decoded() -> None:
        space = load_space(path)
        for genotype in space.sample(30, np.random.default_rng(0)):
            space.decode(genotype)

    with pytest.raises(NasError, match=rule) as caught:
        decoded()
    assert caught.value.exit_code == 2
    assert str(caught.value).count("\n") < 2

"""`nas train` of blocks whose branches merge: what is trained, what is written, and what inherits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny import nas, write_config

from nas.blocks import Architecture, Layer
from nas.blocks.build import build
from nas.data import Data
from nas.data.batches import picture_tensor
from nas.errors import Interrupted
from nas.formats.config import read_config
from nas.formats.weights_file import read_weights
from nas.runs.network import find_network
from nas.system.checkpoint import read_checkpoint
from nas.training import fit as loop
from nas.training.network import network_of

REP = Architecture(
    3,
    16,
    16,
    (
        Layer(kind="rep", in_channels=3, out_channels=16, kernel=3, stride=2, height=16, width=16),
        Layer(kind="rep", in_channels=16, out_channels=16, kernel=5, depthwise=True, branches=2, height=8, width=8),
        Layer(kind="head", in_channels=16, out_channels=10, height=8, width=8),
    ),
)
TRAIN = ["--data", "digits", "--epochs", "2", "--lr", "0.3"]


def answers(network: torch.nn.Module, data: Data) -> np.ndarray:
    with torch.inference_mode():
        return network.eval()(picture_tensor(data, data.test.pictures[:64])).numpy()


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training, with a depthwise branch of kernel 1."""
    folder = tmp_path_factory.mktemp("branches")
    nas("train", str(write_config(folder, REP)), *TRAIN, "--out", "done", cwd=folder)
    return folder / "done"


def test_branches_are_trained_and_one_convolution_written(branches: Path, digits: Data, tmp_path: Path) -> None:
    assert read_config(branches / "config.json").architecture == REP
    own = network_of(REP, read_weights(branches / "config.json", REP))
    tensors, _ = read_checkpoint(branches / "checkpoint.safetensors")
    averaged = {name.removeprefix("average."): t for name, t in tensors.items() if name.startswith("average.")}
    trained = build(REP.for_training())
    trained.load_state_dict(averaged)
    expected = answers(trained, digits)
    assert np.abs(answers(own, digits) - expected).max() <= 1e-5 * np.abs(expected).max()
    done = nas("export", str(branches), "--format", "config,onnx,torch", "--out", "x", cwd=tmp_path)
    assert "model.onnx" in done.stdout
    scope: dict[str, Any] = {}
    exec(compile((tmp_path / "x/model.py").read_text(), "model.py", "exec"), scope)
    plain = scope["model"]()
    plain.load_state_dict(
        {name: torch.from_numpy(a) for name, a in load_file(tmp_path / "x/model.safetensors").items()}
    )
    assert np.array_equal(answers(plain, digits), answers(own, digits))


def test_stopped_and_gone_on_with_they_are_the_same(
    branches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.train_batch
    monkeypatch.setattr("nas.training.stepper.CHECKPOINT_SECONDS", 0.0)  # after every step

    def stopping(data: Data, step: int, *rest: Any) -> Any:
        if step == 20:
            raise Interrupted("stopped.")
        return real(data, step, *rest)

    monkeypatch.setattr(loop, "train_batch", stopping)
    nas("train", str(write_config(tmp_path, REP)), *TRAIN, "--out", "cut", cwd=tmp_path, code=130)
    monkeypatch.setattr(loop, "train_batch", real)
    nas("train", "--resume", "--out", "cut", cwd=tmp_path)
    whole, cut = (load_file(folder / "model.safetensors") for folder in (branches, tmp_path / "cut"))
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


def test_what_inherits_goes_on_merged(branches: Path, tmp_path: Path) -> None:
    done = nas("train", str(branches), "--data", "digits", "--epochs", "1", "--out", "on", cwd=tmp_path)
    assert "Its branches are merged in the weights, and stay so: --from-scratch trains them." in done.stderr
    tensors, _ = read_checkpoint(tmp_path / "on/checkpoint.safetensors")
    assert "network.0.0.conv.bias" in tensors
    assert find_network(tmp_path / "on").weights is not None
    refused = nas(
        *("train", str(branches), "--data", "digits", "--norm", "tune", "--out", "not"), cwd=tmp_path, code=2
    ).stderr
    assert "This network has no batch normalisation." in refused

"""Two processes over gloo: the same training as one, but for batch normalisation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gloo import figures
from safetensors.numpy import load_file
from tiny import write_config

HERE = Path(__file__).parent

PROGRAM = """
import json, sys
import torch
from torch import nn
from nas.data import load_data
from nas.formats.weights import random_weights
from nas.training.fit import fit
from nas.training.network import network_of
from nas.training.processes import joined
from nas.training.recipe import Recipe
from nas.training.score import evaluate
from tiny import TINY

kind = sys.argv[1]
torch.manual_seed(0)
network = network_of(TINY, random_weights(TINY, 0)) if kind == "normalised" else nn.Sequential(
    nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 10)
)
data = load_data("digits", 16)
with joined() as team:
    fitted = fit(network, data, Recipe(epochs=3, learning_rate=0.05), seed=0, processes=team)
    test = evaluate(fitted.network, data, data.test, processes=team)
    weights = [float(p.double().abs().sum()) for p in network.parameters()]
    if team.first:
        history = [[e.train_loss, e.train_top1, e.validation_top1] for e in fitted.history]
        print(json.dumps({"history": history, "test": [test.top1, test.loss, test.count], "weights": weights}))
"""


def train(kind: str, count: int) -> dict[str, list[float]]:
    document: dict[str, list[float]] = json.loads(figures(PROGRAM, kind, count=count, beside=HERE))
    return document


def test_without_batch_normalisation_two_are_as_one(cache: Path) -> None:
    one, two = train("plain", 1), train("plain", 2)
    assert np.allclose(one["history"], two["history"], rtol=1e-3)
    assert np.allclose(one["weights"], two["weights"], rtol=1e-3)
    assert np.allclose(one["test"], two["test"], rtol=1e-3)


@pytest.mark.slow
def test_with_it_each_normalises_by_its_own_half(cache: Path) -> None:
    one, two = train("normalised", 1), train("normalised", 2)
    losses = np.array(one["history"])[:, 0], np.array(two["history"])[:, 0]
    assert not np.array_equal(*losses)  # statistics of 32 pictures are not those of 64
    assert np.allclose(*losses, rtol=0.1)


@pytest.mark.slow
def test_torchrun_as_typed(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nas"]
    arguments = ["train", str(config), "--data", "digits", "--epochs", "4", "--out", "both", "--json"]
    done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 4 * 17
    assert load_file(tmp_path / "both/model.safetensors")

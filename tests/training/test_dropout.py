"""Dropout: a field of a network's head, of use in training alone, and the same each time."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import TINY
from torch import nn

from nas.blocks import Architecture
from nas.blocks.build import build
from nas.cli import cli
from nas.data import Data
from nas.errors import ArchitectureError
from nas.formats.config import parse_config, to_config
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.plain import to_python
from nas.formats.timm_network import from_timm
from nas.formats.weights import random_weights
from nas.space.elastic import elastic_space
from nas.supernet.multi_path import MultiPath
from nas.supernet.superkernel import Superkernel
from nas.training import fit as loop
from nas.training.fit import Fitted, fit
from nas.training.network import network_of
from nas.training.recipe import Recipe

SHORT = Recipe(epochs=2, learning_rate=0.3)
DROPPING = replace(TINY, layers=(*TINY.layers[:-1], TINY.layers[-1].changed(dropout=0.5)))


def trained(network: Architecture, data: Data, folder: Path | None = None) -> dict[str, torch.Tensor]:
    fitted: Fitted = fit(network_of(network, random_weights(TINY, 0)), data, SHORT, seed=1, folder=folder)
    assert not fitted.network.training
    return fitted.network.state_dict()


def test_a_training_drops_the_same_each_time_and_after_a_crash(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = digits.subset(192)
    whole, plain = trained(DROPPING, data), trained(TINY, data)
    assert whole.keys() == plain.keys()
    assert not torch.equal(whole["0.0.conv.weight"], plain["0.0.conv.weight"])
    monkeypatch.setattr("nas.training.stepper.CHECKPOINT_SECONDS", 0.0)
    real = loop.train_batch

    def failing(data: Data, number: int, *rest: Any) -> Any:
        if number == 3:
            raise KeyboardInterrupt
        return real(data, number, *rest)

    monkeypatch.setattr(loop, "train_batch", failing)
    with pytest.raises(KeyboardInterrupt):
        trained(DROPPING, data, tmp_path)
    monkeypatch.setattr(loop, "train_batch", real)
    torch.rand(3)
    again = trained(DROPPING, data, tmp_path)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_nothing_is_dropped_where_it_is_used(tmp_path: Path) -> None:
    x = torch.randn(2, *(DROPPING.channels, DROPPING.height, DROPPING.width))
    weights = random_weights(TINY, 0)
    assert torch.equal(network_of(DROPPING, weights).eval()(x), network_of(TINY, weights).eval()(x))
    models = [to_onnx(network, Inline(weights), {}).SerializeToString() for network in (TINY, DROPPING)]
    assert models[0] == models[1]
    assert (DROPPING.macs, DROPPING.params) == (TINY.macs, TINY.params)
    assert DROPPING.layers[-1].key == TINY.layers[-1].key
    (tmp_path / "model.py").write_text(to_python(DROPPING))
    module = runpy.run_path(str(tmp_path / "model.py"))["model"]()
    assert [part.p for part in module.modules() if isinstance(part, nn.Dropout)] == [0.5]
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def test_supernets_drop_nothing_and_their_networks_keep_it() -> None:
    space = elastic_space(DROPPING, "dropping")
    for kind in (Superkernel, MultiPath):
        supernet = kind(space).train()
        genotype = space.sample(1, np.random.default_rng(0))[0]
        x = torch.randn(4, DROPPING.channels, DROPPING.height, DROPPING.width)
        assert torch.equal(supernet(x, genotype), supernet(x, genotype))
    assert space.decode(genotype).layers[-1].dropout == 0.5


def test_it_is_read_and_kept() -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        ghost, effnet = timm.create_model("ghostnet_050"), timm.create_model("efficientnet_lite0", drop_rate=0.3)
    assert [from_timm(model).layers[-1].dropout for model in (ghost, effnet)] == [0.2, 0.3]
    config = json.loads(json.dumps(to_config(DROPPING)))
    assert config["layers"][-1]["dropout"] == 0.5
    assert parse_config(config, Path("config.json")).architecture == DROPPING
    assert build(DROPPING)[-1][-1].drop.p == 0.5
    assert "dropout" not in to_config(TINY)["layers"][-1]


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (-1, 1.0, "`dropout` of a head layer lies in 0..1, below 1, got 1.0"),
        (-1, -0.1, "`dropout` of a head layer lies in 0..1, below 1, got -0.1"),
        (-1, "0.2", "`dropout` of a head layer lies in 0..1, below 1, got '0.2'"),
        (-1, True, "`dropout` of a head layer lies in 0..1, below 1, got True"),
        (0, 0.2, r"layers\.0: `dropout` of a conv layer lies in 0..1, below 1 and is of a head, got 0.2"),
    ],
)
def test_what_it_cannot_be(place: int, value: object, problem: str, tmp_path: Path) -> None:
    config = to_config(TINY)
    config["layers"][place]["dropout"] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArchitectureError, match=problem):
        CliRunner().invoke(
            cli, ["estimate", str(tmp_path / "config.json")], catch_exceptions=False, standalone_mode=False
        )

"""Heads: with a convolution, after pooling, and without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nas.blocks import Architecture, Layer
from nas.cli import cli
from nas.cost.memory import flash, peak
from nas.errors import ArchitectureError, SpaceError
from nas.formats.archdef import parse_archdef, to_archdef
from nas.formats.config import read_config, to_config
from nas.formats.weights import random_weights
from nas.space.load import load_space
from nas.supernet.shares import shares_of
from nas.supernet.superkernel import Superkernel
from nas.tables.model import work
from nas.training.network import start

ARCHDEF = {
    "resolution": 32,
    "stem": 8,
    "activation": "relu",
    "num_classes": 2,
    "blocks": [["ds_r1_k3_s2_c16"], ["ir_r1_k3_s2_e3_c24"]],
}
SPACE = """
format: nas-space/1
name: bare
source: "test"
input: {resolution: 16}
num_classes: 3
activation: hard-swish
stages:
  - {name: stem, block: conv, width: 8, stride: 2}
  - {name: body, block: mbconv, width: {choice: [8, 12]}, stride: 2, expansion: {choice: [1, 3]}}
"""


def test_a_network_without_a_convolution_in_its_head() -> None:
    network = parse_archdef(ARCHDEF)
    stem, separable, block = 16 * 16 * 27 * 8, 8 * 8 * (9 * 8 + 8 * 16), 8 * 8 * 16 * 48 + 4 * 4 * (9 * 48 + 48 * 24)
    assert network.macs == stem + separable + block + 24 * 2 == 142_640
    assert network.params == 3_122
    assert network == parse_archdef(ARCHDEF | {"head": 0})
    head = network.layers[-1]
    assert (head.kind, head.mid_channels, [node.name for node in head.graph.nodes]) == (
        "head",
        0,
        ["pool", "classifier"],
    )
    assert list(random_weights(network, 0))[-2:] == ["3.1.linear.weight", "3.1.linear.bias"]
    assert work(head) == {"operators": 2, "traffic": 24 * 4 * 4, "linear": 48, "heads": 1}
    assert (flash(head), peak(head)) == (4 * (48 + 2), 4 * (24 * 16 + 24))
    assert to_archdef(network)["head"] == 0


def test_it_is_exported_by_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(to_config(parse_archdef(ARCHDEF))))
    words = ["export", str(tmp_path / "config.json"), "--format", "onnx,torch,timm", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.exception
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["arch.txt", "model.onnx", "model.py"]
    text = (tmp_path / "out" / "model.py").read_text()
    assert "142,640 multiply-accumulates, 3,122 parameters." in text
    assert "Linear(24, 2)" in text


def test_it_is_in_files_and_gets_other_classes(tmp_path: Path) -> None:
    network = parse_archdef(ARCHDEF | {"activation": "swish"})
    (tmp_path / "config.json").write_text(json.dumps(to_config(network)))
    assert read_config(tmp_path / "config.json").architecture == network
    weights = random_weights(network, 1)
    begun = start(network, weights, ("a", "b", "c"), seed=0)
    assert begun.architecture.num_classes == 3
    assert begun.weights["3.1.linear.weight"].shape == (3, 24)
    kept = [name for name in weights if not name.startswith("3.1.")]
    assert all(np.array_equal(begun.weights[name], weights[name]) for name in kept)


@pytest.mark.parametrize("head", ["", "head: 0\n", "head: {width: 0}\n"])
def test_a_space_without_one(tmp_path: Path, head: str) -> None:
    (tmp_path / "space.yaml").write_text(SPACE + head)
    space = load_space(tmp_path / "space.yaml")
    last = {network.layers[-1] for network in map(space.decode, space.enumerate())}
    assert last == {Layer(kind="head", in_channels=width, out_channels=3, height=4, width=4) for width in (8, 12)}


def test_whether_it_has_one_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE + "head: {width: {choice: [0, 16, 24]}}\n")
    space = load_space(tmp_path / "space.yaml")
    assert [decision.name for decision in space.decisions][-1] == "head.width"
    torch.manual_seed(0)
    supernet = Superkernel(space)
    x = torch.randn(4, 3, 16, 16)
    uniform = [torch.full((int(n),), 1 / int(n)) for n in space.cardinalities]
    shares = [shares_of(choice, uniform) for choice in supernet.choices]
    with torch.no_grad():
        for genotype in space.enumerate():
            logits = supernet(x, genotype)
            assert torch.allclose(logits, supernet.standalone(genotype)(x), atol=1e-5, rtol=0)
            assert torch.allclose(logits, supernet.gated(x, genotype, shares), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "head", "activation": "swish"}, "Without `mid_channels`, `activation` stays 'relu', got 'swish'"),
        ({"kind": "head", "mid_channels": -1}, "`mid_channels` of a head layer lies in 0..65536, got -1"),
        ({"kind": "pooled_head", "mid_channels": 0}, "`mid_channels` of a pooled_head layer lies in 1..65536, got 0"),
        ({"kind": "pooled_head"}, "A pooled_head layer needs `mid_channels` of at least 1"),
    ],
)
def test_what_is_no_head(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ArchitectureError, match=problem):
        _ = Layer(in_channels=8, out_channels=3, height=4, width=4, **settings).output  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "head", ["false", "-1", "{width: -1}", "[0]", "{}", "{width: 0.5}", "{width: 0, activation: relu}"]
)
def test_what_is_no_head_of_a_space(tmp_path: Path, head: str) -> None:
    (tmp_path / "space.yaml").write_text(SPACE + f"head: {head}\n")
    with pytest.raises(SpaceError, match=r"space.yaml: head"):
        load_space(tmp_path / "space.yaml")


def test_pooling_first_needs_a_width() -> None:
    with pytest.raises(ArchitectureError, match="with `head_after_pool` its width is at least 1, got 0"):
        parse_archdef(ARCHDEF | {"head_after_pool": True})


def test_only_the_last_layer_is_one() -> None:
    bare = Layer(kind="head", in_channels=3, out_channels=5, height=1, width=1)
    with pytest.raises(ArchitectureError, match="A head is the last layer, got one at 0 of 2"):
        Architecture(3, 1, 1, (bare, bare))

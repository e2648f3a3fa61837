"""EvoNorm-S0 in place of normalisation and activation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nas.accuracy.proxies import PROXIES, measure
from nas.blocks import Architecture, Layer
from nas.blocks.build import build, build_op
from nas.blocks.evonorm import EvoNorm
from nas.cli import cli
from nas.cost.memory import flash, peak
from nas.errors import ArchitectureError
from nas.formats.archdef import parse_archdef, to_archdef
from nas.formats.config import read_config, to_config
from nas.tables.model import work

STRAIGHT: dict[str, Any] = {"catch_exceptions": False, "standalone_mode": False}
SHAPE: dict[str, Any] = {"in_channels": 8, "out_channels": 8, "height": 9, "width": 9}


@pytest.mark.parametrize("channels", [64, 48, 7])
def test_it_is_timms(channels: int) -> None:
    layers = pytest.importorskip("timm.layers")
    op = EvoNorm(channels)
    ours, theirs = build_op(op), layers.EvoNorm2dS0(channels, groups=op.groups)
    random = torch.Generator().manual_seed(0)
    state = {name: torch.randn(channels, generator=random) for name in op.weights()}
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    x = torch.randn(3, channels, 5, 4, generator=random)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
    assert op.groups == {64: 32, 48: 16, 7: 1}[channels]


def test_it_is_in_place_of_both() -> None:
    layer = Layer(kind="mbconv", mid_channels=16, kernel=3, residual=True, activation="evonorm", **SHAPE)
    names = [node.name for node in layer.graph.nodes]
    assert names == ["expand", "expand_norm", "depthwise", "depthwise_norm", "project", "add"]
    usual = layer.changed(activation="relu")
    assert layer.macs == usual.macs
    assert layer.params == usual.params + 2 * 16  # three vectors for two
    assert flash(layer) == flash(usual) + 4 * 2 * (3 * 16 - 16)  # for a bias
    assert peak(layer) == 4 * (81 * (8 + 3 * 16) + 16)  # the input; EvoNorm's, and what it activates and centres; means
    assert work(layer)["operators"] == work(usual)["operators"] + 2 * 12
    assert [type(module).__name__ for module in build(Architecture(8, 9, 9, (layer,)))[0]] == [
        *("Conv", "EvoNorm", "Conv", "EvoNorm", "Conv", "Add")
    ]


def test_proxies_know_it(tmp_path: Path) -> None:
    layer = Layer(kind="conv", kernel=3, activation="evonorm", **SHAPE)
    head = Layer(kind="head", in_channels=8, out_channels=3, mid_channels=4, height=9, width=9, activation="evonorm")
    network = Architecture(8, 9, 9, (layer, layer, head))
    (tmp_path / "config.json").write_text(json.dumps(to_config(network)))
    assert read_config(tmp_path / "config.json").architecture == network
    assert np.isfinite(measure(network, tuple(PROXIES), shape=(9, 9), pictures=8, seed=0)).all()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "pooled_head", "mid_channels": 4}, "evonorm takes the place of batch normalisation, and 'features'"),
        ({"kind": "conv", "se_activation": "evonorm"}, r"`se_activation` is one of .*got 'evonorm'"),
        ({"kind": "conv", "se_activation": "none"}, r"`se_activation` is one of .*got 'none'"),
        ({"kind": "identity"}, "A identity layer has no `activation`"),
    ],
)
def test_what_it_cannot_be(settings: dict[str, Any], problem: str, tmp_path: Path) -> None:
    layer = {**SHAPE, "activation": "evonorm", **settings}
    document = {"format": "nas-architecture/1", "input": {"channels": 8, "height": 9, "width": 9}, "num_classes": 8}
    (tmp_path / "config.json").write_text(json.dumps({**document, "layers": [layer]}))
    with pytest.raises(ArchitectureError, match=problem):
        CliRunner().invoke(cli, ["estimate", str(tmp_path / "config.json")], **STRAIGHT)


def test_timm_has_no_strings_for_it(tmp_path: Path) -> None:
    document = {"resolution": 16, "stem": 8, "activation": "evonorm", "num_classes": 2, "blocks": [["ds_r1_k3_s2_c16"]]}
    (tmp_path / "arch.json").write_text(json.dumps(document))
    with pytest.raises(ArchitectureError, match=r"activation is one of .*got 'evonorm'"):
        CliRunner().invoke(cli, ["estimate", str(tmp_path / "arch.json")], **STRAIGHT)
    network = parse_archdef(document | {"activation": "relu"})
    for place in (0, 1):
        layers = [
            layer.changed(activation="evonorm") if n == place else layer for n, layer in enumerate(network.layers)
        ]
        with pytest.raises(ArchitectureError, match=r"an activation of timm's, got .*evonorm"):
            to_archdef(Architecture(3, 16, 16, tuple(layers)))

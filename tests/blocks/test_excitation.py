"""Gates beside squeeze-and-excitation: ECA and scSE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nas.blocks import Architecture, Layer
from nas.blocks.build import build, build_op
from nas.blocks.excitation import ConcurrentExcite, Eca, eca_kernel
from nas.cli import cli
from nas.errors import ArchitectureError, NasError
from nas.formats.dialects import fit
from nas.formats.timm_network import from_timm, timm_tensors
from nas.formats.weights_file import plain_weights
from nas.profiler.interpolate import interpolator
from nas.space.load import load_space
from nas.supernet.channels import important_first

STRAIGHT: dict[str, Any] = {"catch_exceptions": False, "standalone_mode": False}
SHAPE: dict[str, Any] = {"in_channels": 16, "out_channels": 16, "height": 8, "width": 6}
ECA = Layer(kind="mbconv", mid_channels=128, kernel=3, excitation="eca", residual=True, **SHAPE)
SCSE = Layer(kind="fused", mid_channels=32, kernel=3, excitation="scse", se_channels=4, **SHAPE)
SPACE = (
    "format: nas-space/1\nname: gates\nsource: test\ninput: {resolution: 16}\nnum_classes: 3\nactivation: relu\n"
    "stages:\n  - {name: stem, block: conv, width: 8, stride: 2}\n  - {name: body, width: 8, BODY}\n"
)


def test_macs_and_parameters_are_the_papers_arithmetic() -> None:
    pixels = 8 * 6
    assert ECA.macs == pixels * (2 * 16 * 128 + 9 * 128) + 128 * 5
    assert ECA.params == 2 * 16 * 128 + 9 * 128 + 2 * (128 + 128 + 16) + 5
    assert SCSE.macs == pixels * (9 * 16 * 32 + 32 + 32 * 16) + 2 * 32 * 4
    assert [eca_kernel(channels) for channels in (1, 127, 128, 512, 2048, 2**15)] == [3, 3, 5, 5, 7, 9]


def test_scse_is_the_sum_of_a_gate_by_channel_and_one_by_pixel() -> None:
    module, x = build_op(ConcurrentExcite(6, 2)), torch.randn(2, 6, 3, 4)
    by_channel = torch.sigmoid(module.excite(torch.relu(module.squeeze(x.mean((2, 3), keepdim=True)))))
    expected = x * by_channel + x * torch.sigmoid(module.spatial(x))
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("name", ["semnasnet_050", "mixnet_s"])
def test_timms_networks_with_eca_come_in(name: str) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(name, se_layer="eca", num_classes=5).eval()
    architecture = from_timm(theirs, 64)
    assert any(layer.excitation == "eca" for layer in architecture.layers)
    ours = build(architecture).eval()
    weights = fit(architecture, timm_tensors(theirs)).weights
    ours.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, strict=False)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (ours(x) - theirs(x)).abs().max() <= 1e-5
    assert architecture.params == sum(parameter.numel() for parameter in theirs.parameters())


def test_channels_before_an_eca_keep_their_order() -> None:
    """Its neighbours are what a channel's gate is made of."""
    head = Layer(kind="head", in_channels=16, out_channels=3, mid_channels=24, height=8, width=6)
    network = Architecture(16, 8, 6, (ECA, SCSE.changed(out_channels=16), head))
    torch.manual_seed(0)
    module = build(network)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.weight)
    state, x = plain_weights(module.state_dict()), torch.randn(4, 16, 8, 6)
    changed = important_first(network, state)
    moved = {name.split(".")[0] for name in state if not np.array_equal(state[name], changed[name])}
    with torch.inference_mode():
        expected = module.eval()(x)
        module.load_state_dict({name: torch.from_numpy(value) for name, value in changed.items()}, strict=False)
        torch.testing.assert_close(module(x), expected, atol=1e-5, rtol=1e-5)
    assert moved == {"1", "2"}


def test_tables_answer_for_them_by_their_work() -> None:
    measured = [layer.changed(mid_channels=mid) for layer in (ECA, SCSE) for mid in (24, 40, 160)]
    model, _ = interpolator(measured, np.array([1 + layer.macs / 1e4 for layer in measured]), (8, 6))
    assert [model.covers(layer) for layer in (ECA, SCSE)] == [None, None]
    assert Eca(5).work((16, 8, 6)) == {"gates": 1, "gated": 16 * 48, "linear": 16 * 5}


def test_a_ratio_says_where_a_gate_is_but_for_an_eca(tmp_path: Path) -> None:
    body = "block: mbconv, se: {choice: [0, 0.5]}, excitation: {choice: [se, eca, scse]}, se_gate: hard-sigmoid"
    (tmp_path / "space.yaml").write_text(SPACE.replace("BODY", body))
    space = load_space(tmp_path / "space.yaml")
    gates = {
        (layer.excitation, layer.se_channels, layer.se_gate)
        for layer in (space.decode(genotype).layers[1] for genotype in space.enumerate())
    }
    hard = "hard-sigmoid"
    assert gates == {("se", 0, "sigmoid"), ("se", 4, hard), ("eca", 0, hard), ("scse", 4, hard)}
    assert len(list(space.enumerate())) == 4


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"excitation": "eca", "se_channels": 4}, "An eca has no inner width: `se_channels` stays 0, got 4"),
        ({"excitation": "scse"}, "An scse has an inner width: `se_channels` of at least 1, got 0"),
        ({"excitation": "cbam"}, "`excitation` is one of se, eca, scse, got 'cbam'"),
        ({"kind": "tucker", "rank_channels": 8, "excitation": "eca"}, r"A tucker layer has no `excitation`"),
    ],
)
def test_what_they_cannot_be(settings: dict[str, Any], problem: str, tmp_path: Path) -> None:
    layer = {"kind": "mbconv", "mid_channels": 8, **SHAPE, **settings}
    picture = {"channels": 16, "height": 8, "width": 6}
    document = {"format": "nas-architecture/1", "input": picture, "num_classes": 16, "layers": [layer]}
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(ArchitectureError, match=problem):
        CliRunner().invoke(cli, ["estimate", str(tmp_path / "config.json")], **STRAIGHT)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("block: mbconv, excitation: scse", r"stages\.1: an scse of mbconv blocks has an inner width: `se` above 0"),
        (
            "block: mbconv, excitation: {choice: [se, cbam]}",
            "`excitation` is one of se, eca, scse, got 'cbam'",
        ),
        ("block: rep, excitation: eca", "settings of rep are .*, got 'excitation'"),
    ],
)
def test_what_no_stage_can_be(body: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPACE.replace("BODY", body))
    with pytest.raises(NasError, match=problem):
        CliRunner().invoke(cli, ["spaces", "show", str(tmp_path / "space.yaml")], **STRAIGHT)

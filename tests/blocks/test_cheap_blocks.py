"""Blocks that do with cheap operations what others do with convolutions: ghost, pconv, patch, pool and shift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nas.blocks import Layer
from nas.blocks.architecture import Architecture
from nas.blocks.build import build_layer, build_op
from nas.blocks.mixing import LocalPool, Shift
from nas.cli import cli
from nas.errors import ArchitectureError, NasError
from nas.formats.weights_file import plain_weights
from nas.profiler.interpolate import interpolator
from nas.space.elastic import elastic_space
from nas.supernet.channels import important_first

STRAIGHT: dict[str, Any] = {"catch_exceptions": False, "standalone_mode": False}
SHAPE: dict[str, Any] = {"in_channels": 16, "out_channels": 16, "height": 8, "width": 6}
LAYERS = [
    Layer(kind="ghost", mid_channels=30, residual=True, dfc=True, **SHAPE),
    Layer(kind="ghost", mid_channels=24, kernel=5, stride=2, projection=True, se_channels=4, **SHAPE),
    Layer(kind="pconv", mid_channels=32, n_div=2, residual=True, activation="gelu", **SHAPE),
    Layer(kind="patch", stride=2, **SHAPE),
    Layer(kind="pool", mid_channels=32, kernel=3, stride=2, pooling="average", **SHAPE),
    Layer(kind="shift", mid_channels=29, kernel=5, residual=True, **SHAPE),
]


def test_macs_are_the_papers_arithmetic() -> None:
    ghost, strided, partial, patch, pool, shift = (layer.macs for layer in LAYERS)
    pixels, few, quarter = 8 * 6, 4 * 3, 4 * 3
    gate = few * (16 * 30 + 2 * 5 * 30)
    assert ghost == gate + pixels * (16 * 15 + 9 * 15 + 30 * 8 + 9 * 8)
    squeezed, shortcut = 2 * 24 * 4, quarter * (25 * 16 + 16 * 16)
    assert strided == pixels * (16 * 12 + 9 * 12) + quarter * (25 * 24 + 24 * 8 + 9 * 8) + squeezed + shortcut
    assert partial == pixels * (9 * 8 * 8 + 2 * 16 * 32)
    assert patch == quarter * 4 * 16 * 16
    assert pool == pixels * 16 * 32 + quarter * 32 * 16
    assert shift == pixels * 2 * 16 * 29


def test_a_shift_moves_a_group_of_channels_to_each_place() -> None:
    x = torch.randn(2, 21, 4, 5)
    y = build_op(Shift(21))(x)
    assert torch.equal(y[:, 0:2, 1:, 1:], x[:, 0:2, :-1, :-1])  # from above and left
    assert not y[:, 0:2, 0].any()
    assert torch.equal(y[:, 8:10], x[:, 8:10])  # the middle place
    assert torch.equal(y[:, 16:18, :-1, :-1], x[:, 16:18, 1:, 1:])
    assert torch.equal(y[:, 18:], x[:, 18:])  # left over


def test_a_pool_counts_only_what_is_there() -> None:
    x = torch.ones(1, 2, 4, 3)
    assert torch.equal(build_op(LocalPool(3, pooling="average"))(x), x)
    assert torch.equal(build_op(LocalPool(5, 2))(-x), -x[:, :, ::2, ::2])


def test_a_ghost_without_convolution_of_its_kernel_is_one_layer() -> None:
    layers = {Layer(kind="ghost", mid_channels=30, kernel=kernel, residual=True, **SHAPE) for kernel in (3, 5, 7)}
    assert [layer.kernel for layer in layers] == [3]


def test_tables_answer_for_them_by_their_work() -> None:
    measured = [
        layer.changed(out_channels=16, mid_channels=m) for layer in LAYERS if layer.mid_channels for m in (28, 44)
    ]
    measured += [layer.changed(in_channels=n, residual=False) for layer in LAYERS[:3] for n in (8, 24)]
    model, _ = interpolator(measured, np.array([1 + layer.macs / 1e4 for layer in measured]), (8, 6))
    asked = [layer.changed(mid_channels=36) for layer in LAYERS if layer.mid_channels]
    assert [model.covers(layer) for layer in asked] == [None] * 5
    assert (model.predict(asked) > 0).all()


def test_channels_that_places_matter_to_keep_their_order() -> None:
    """Important channels first, where the network has a shift, ghosts and EvoNorm: it computes what it did."""
    shape: dict[str, Any] = {"in_channels": 16, "out_channels": 16, "height": 8, "width": 8}
    layers = [
        Layer(kind="conv", kernel=3, **shape),
        Layer(kind="mbconv", mid_channels=32, kernel=3, **shape),
        Layer(kind="mbconv", mid_channels=32, kernel=3, activation="evonorm", residual=True, **shape),
        Layer(kind="shift", mid_channels=32, kernel=3, residual=True, **shape),
        Layer(kind="conv", kernel=1, **shape),
        Layer(kind="ghost", mid_channels=30, dfc=True, **shape),
        Layer(kind="pconv", mid_channels=32, **shape),
        Layer(kind="pool", mid_channels=32, kernel=3, **shape),
        Layer(kind="head", in_channels=16, out_channels=3, mid_channels=24, height=8, width=8),
    ]
    network = Architecture(16, 8, 8, tuple(layers))
    torch.manual_seed(0)
    module = torch.nn.Sequential(*map(build_layer, layers))
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.weight)
    x = torch.randn(4, 16, 8, 8)
    state = plain_weights(module.state_dict())
    changed = important_first(network, state)
    moved = {name.split(".")[0] for name in state if not np.array_equal(state[name], changed[name])}
    with torch.inference_mode():
        expected = module.eval()(x)
        module.load_state_dict({name: torch.from_numpy(value) for name, value in changed.items()}, strict=False)
        assert torch.allclose(module(x), expected, atol=1e-5)
    assert {"1", "7", "8"} <= moved
    assert elastic_space(network, "mixed").decisions


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"kind": "ghost", "mid_channels": 8, "dfc": True, "width": 1},
            "Pooling of 2×2 pixels needs as many at least, got 8×1",
        ),
        ({"kind": "ghost", "mid_channels": 8, "projection": True}, "A `projection` is where stride or width change"),
        ({"kind": "pconv", "mid_channels": 8, "n_div": 17}, "one of 17 channels, so it takes as many at least; got 16"),
        ({"kind": "pconv", "mid_channels": 8, "stride": 2}, "A pconv layer has no `stride`"),
        ({"kind": "shift", "mid_channels": 8, "kernel": 3}, "3×3 takes at least 3×3 and as many channels, got 8"),
        ({"kind": "shift", "mid_channels": 8}, "1×1 takes at least 3×3"),
        ({"kind": "pool", "mid_channels": 8, "pooling": "min"}, "`pooling` is one of max, average, got 'min'"),
        ({"kind": "mbconv", "mid_channels": 8, "dfc": True}, "A mbconv layer has no `dfc`"),
    ],
)
def test_what_they_cannot_be(settings: dict[str, Any], problem: str, tmp_path: Path) -> None:
    layer = {**SHAPE, **settings}
    picture = {"channels": 16, "height": layer["height"], "width": layer["width"]}
    document = {"format": "nas-architecture/1", "input": picture, "num_classes": 16, "layers": [layer]}
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(ArchitectureError, match=problem):
        CliRunner().invoke(cli, ["estimate", str(tmp_path / "config.json")], **STRAIGHT)


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        (
            "block: pconv, stride: 2",
            r"stages\.1\.stride: a pconv block has none, got 2\. A stage before",
        ),
        ("block: ghost, dfc: maybe", "`dfc` is true or false, got 'maybe'"),
        ("block: patch, dfc: true", "settings of patch are none, got 'dfc'"),
        ("block: shift, expansion: {choice: [1, 4]}, kernel: 5", "5×5 takes at least 3×3 and as many channels, got 8"),
    ],
)
def test_what_no_stage_can_be(stage: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(
        "format: nas-space/1\nname: cheap\nsource: test\ninput: {resolution: 16}\nnum_classes: 3\nactivation: relu\n"
        f"stages:\n  - {{name: stem, block: conv, width: 8, stride: 2}}\n  - {{name: body, width: 8, {stage}}}\n"
    )
    words = ["search", "--space", "space.yaml", "--target", "fake", "--latency", "5ms", "--accuracy", "zero-cost:macs"]
    with pytest.raises(NasError, match=problem):
        CliRunner().invoke(cli, [*words, "--budget", "2", "--out", "run"], **STRAIGHT)

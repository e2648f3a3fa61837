"""A kind of layer registered in one place is usable in MACs, torch, ONNX, tables, spaces, configs and model.py."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import picture, randomize
from test_agreement import run_onnx

from nas.blocks import KEY_COLUMNS, Architecture, Layer
from nas.blocks.build import build
from nas.blocks.kinds import KINDS, Kind, macs, params
from nas.blocks.ops import Conv, Op
from nas.errors import LatencyMissing, SpaceError
from nas.formats.config import read_config, to_config
from nas.formats.onnx_graph import Inline, to_onnx
from nas.formats.plain import to_python
from nas.space.load import load_space
from nas.system.places import shipped_folder
from nas.tables.table import load_table

USES = frozenset({"mid_channels", "kernel", "stride", "activation", "residual"})


def bottleneck(layer: Layer) -> tuple[Op, ...]:
    """Narrow, convolve, widen (arXiv:1512.03385), without an activation after the sum."""
    mid = layer.mid_channels
    return (
        Conv(layer.in_channels, mid, activation=layer.activation),
        Conv(mid, mid, layer.kernel, layer.stride, activation=layer.activation),
        Conv(mid, layer.out_channels),
    )


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Layer:
    monkeypatch.setitem(KINDS, "bottleneck", Kind(bottleneck, USES, needs_mid=True))
    return Layer(
        kind="bottleneck",
        in_channels=12,
        out_channels=12,
        mid_channels=3,
        kernel=3,
        residual=True,
        height=7,
        width=7,
    )


def test_macs_torch_and_onnx(registered: Layer, tmp_path: Path) -> None:
    assert macs(registered) == 49 * (12 * 3 + 3 * 3 * 9 + 3 * 12)
    assert params(registered) == 12 * 3 + 3 * 3 * 9 + 3 * 12 + 2 * (3 + 3 + 12)
    network = Architecture(12, 7, 7, (registered,))
    module = randomize(build(network), seed=0)
    x = picture(network)
    with torch.inference_mode():
        expected = module(x).numpy()
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    assert np.abs(run_onnx(to_onnx(network, Inline(weights), {}), x) - expected).max() < 1e-5
    assert "# 0: bottleneck, 7×7×12" in to_python(network)
    import json

    (tmp_path / "config.json").write_text(json.dumps(to_config(network)))
    assert read_config(tmp_path / "config.json").architecture == network


def test_a_row_of_a_table(registered: Layer, tmp_path: Path) -> None:
    shutil.copytree(shipped_folder("latency_tables") / "pixel-cpu", tmp_path / "own")
    with pytest.raises(LatencyMissing, match="bottleneck"):
        load_table(tmp_path / "own").lookup([registered])
    key = [int(value) if value is True else value for value in (getattr(registered, name) for name in KEY_COLUMNS)]
    with (tmp_path / "own/table.csv").open("a") as file:
        file.write(",".join(map(str, [*key, 1.25, 0.05, 30, "measured"])) + "\n")
    assert load_table(tmp_path / "own").lookup([registered]).ms.tolist() == [1.25]


SPACE = """
format: nas-space/1
name: own
source: test
input: {resolution: 32}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: 16, stride: 2}
  - name: body
    block: {choice: [bottleneck, mbconv]}
    width: 16
    depth: 2
    expansion: {choice: [0.25, 4]}
    se: {choice: [0, 0.25]}
head: {width: 32}
"""


def test_a_space_file(registered: Layer, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(SPACE)
    space = load_space(path)
    choices = {"body.block": "bottleneck", "body.expansion": 0.25, "body.se": 0.25}
    layers = space.decode(space.encode([choices])[0]).layers
    assert [(layer.kind, layer.mid_channels, layer.residual) for layer in layers[1:3]] == [("bottleneck", 4, True)] * 2
    assert len(space.enumerate()) == 2 + 2 * 2  # SE has no effect in a bottleneck, which does not read it


def test_an_unregistered_kind_lists_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(SPACE)
    with pytest.raises(SpaceError, match="a block is one of conv, sepconv, mbconv, fused, identity; got 'bottleneck'"):
        load_space(path)
    path.write_text(SPACE.replace("stages:", "blocks: {b: {kind: bottleneck}}\nstages:"))
    with pytest.raises(SpaceError, match=r"blocks\.b\.kind: a kind is one of conv, .*got 'bottleneck'"):
        load_space(path)
    path.write_text(SPACE.replace("bottleneck", "head"))
    with pytest.raises(SpaceError, match="a block is one of"):
        load_space(path)

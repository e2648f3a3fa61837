"""Projections: where stride or width change, the input is added by a convolution of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas.blocks import Architecture, Layer
from nas.cost.memory import peak
from nas.errors import ArchitectureError
from nas.formats.config import read_config, to_config
from nas.formats.weights import weight_shapes

SHAPE = {"in_channels": 8, "height": 7, "width": 7}


@pytest.mark.parametrize(
    ("settings", "own"),
    [
        ({"kind": "conv", "out_channels": 12}, 7 * 7 * 8 * 12),
        ({"kind": "conv", "out_channels": 8, "stride": 2}, 4 * 4 * 8 * 8),
        ({"kind": "sepconv", "out_channels": 8, "mid_channels": 8, "stride": 3}, 3 * 3 * 8 * 8),
        ({"kind": "mbconv", "out_channels": 12, "mid_channels": 24, "kernel": 5, "stride": 2}, 4 * 4 * 8 * 12),
        ({"kind": "fused", "out_channels": 9, "mid_channels": 24, "kernel": 3}, 7 * 7 * 8 * 9),
    ],
)
def test_it_is_one_convolution_more(settings: dict[str, Any], own: int, tmp_path: Path) -> None:
    plain, projected = Layer(**SHAPE, **settings), Layer(**SHAPE, **settings, projection=True)
    assert projected.macs == plain.macs + own
    assert projected.output == plain.output
    assert peak(projected) > peak(plain)
    assert "projection" not in plain.row
    network = Architecture(8, 7, 7, (projected,))
    (tmp_path / "config.json").write_text(json.dumps(to_config(network)))
    assert read_config(tmp_path / "config.json").architecture == network
    place = len(projected.graph.nodes) - 2
    assert weight_shapes(network)[f"0.{place}.conv.weight"] == (settings["out_channels"], 8, 1, 1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "conv", "out_channels": 8, "projection": True}, "A `projection` is where stride or width change"),
        ({"kind": "conv", "out_channels": 8, "projection": True, "residual": True}, "`residual` adds the input as"),
        ({"kind": "conv", "out_channels": 9, "projection": True, "residual": True}, "has stride 1 and equal widths"),
        ({"kind": "identity", "out_channels": 9, "projection": True}, "A identity layer has no `projection`"),
        ({"kind": "conv", "out_channels": 9, "projection": 1}, "`projection` is true or false, got 1"),
    ],
)
def test_where_there_is_none(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ArchitectureError, match=says):
        _ = Layer(**SHAPE, **settings).graph

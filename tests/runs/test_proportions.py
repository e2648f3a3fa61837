"""Networks made deeper, shallower, and for other pictures: what is published comes out, and a network is a network."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import architectures, picture, scaled_or_told

from nas.blocks import Architecture, Layer
from nas.blocks.block import is_head
from nas.blocks.build import build
from nas.errors import ArchitectureError, NasError
from nas.formats.archdef import to_archdef
from nas.runs.network import find_network
from nas.runs.proportions import WAYS, scaled, sizes
from nas.runs.scaling import scalings


def network(name: str) -> Architecture:
    return find_network(name).config.architecture


@pytest.mark.parametrize(("width", "depth", "params"), [(1.2, 1.5, 12_233_232), (1.4, 2.0, 19_341_616)])
def test_efficientnets_come_out_as_published(width: float, depth: float, params: int) -> None:
    """B3 and B4, whose depths, 1.4 and 1.8, are rounded up there: to as many blocks as the nearest of these are."""
    assert scaled(network("efficientnet-b0"), width, depth).params == params


def test_ways_share_the_work_as_published() -> None:
    """Work is depth · width² · side². Fast scaling gives width four fifths of it, and activations, depth · width ·
    side², grow with its power 0.6; EfficientNet doubles the work, about, with φ."""
    depth, side = WAYS["fast"]
    work = depth + 2 + 2 * side
    assert 2 / work == pytest.approx(0.8)
    assert (depth + 1 + 2 * side) / work == pytest.approx(0.6)
    depth, side = (1.1**power for power in WAYS["compound"])
    assert (depth, side) == pytest.approx((1.2, 1.15))
    assert depth * 1.1**2 * side**2 == pytest.approx(2, rel=0.05)


STAGES = {
    "mobilenetv2-1.0": (1, 2, 3, 4, 3, 3, 1),
    "mobilenetv3-large-1.0": (1, 2, 3, 4, 2, 3),
    "efficientnet-b0": (1, 2, 2, 3, 3, 4, 1),
}


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("depth", [0.3, 0.5, 1.5, 2.0])
def test_stages_have_their_share_of_blocks_and_added_ones_are_residual(name: str, depth: float) -> None:
    """Residual blocks are repeated, or leave from the end of their stage; stem and head stay."""
    whole = network(name)
    other = scaled(whole, 1.0, depth)
    counts = [max(1, int(depth * blocks + 0.5)) for blocks in STAGES[name]]
    assert len(other.layers) - sum(counts) == len(whole.layers) - sum(STAGES[name])
    assert (other.layers[0], other.layers[-1]) == (whole.layers[0], whole.layers[-1])
    place = 1
    for count in counts:
        stage = other.layers[place : place + count]
        assert all(layer.residual and layer.output == stage[0].output for layer in stage[1:])
        place += count


def test_a_deeper_network_is_built_and_written_like_any_other() -> None:
    other = scaled(network("mobilenetv3-small-1.0").resized(64), 0.5, 1.6)
    assert build(other).eval()(picture(other)).shape == (2, 1000)
    assert len(to_archdef(other)["blocks"]) > 1


@settings(max_examples=60, deadline=None)
@given(architectures(), st.floats(0.2, 3), st.floats(0.2, 2))
def test_networks_of_all_blocks_become_deeper_or_shallower(whole: Architecture, depth: float, width: float) -> None:
    other = scaled_or_told(whole, width, depth)
    if other is None:
        return
    assert (len(other.layers) <= len(whole.layers)) if depth < 1 else (len(other.layers) >= len(whole.layers))
    assert is_head(other.layers[-1].kind) == is_head(whole.layers[-1].kind)
    assert other.layers[-1].output[1:] == whole.layers[-1].output[1:]


@settings(max_examples=30, deadline=None)
@given(architectures())
def test_pictures_have_sizes_that_a_network_takes(whole: Architecture) -> None:
    found = sizes(whole)
    assert (whole.height, whole.width) in found
    for height, width in found:
        assert whole.resized(height, width).layers[0].height == height


def test_pictures_are_as_even_as_those_of_the_network_and_leave_two_pixels() -> None:
    assert [height for height, _ in sizes(network("mobilenetv2-1.0"))] == list(range(40, 673, 8))
    wide = network("mobilenetv2-1.0").resized(96, 160)
    assert {(48, 80), (96, 160), (144, 240)} <= set(sizes(wide))


def inverted(into: int, out: int, mid: int, side: int, **settings: Any) -> Layer:
    shape = {"in_channels": into, "out_channels": out, "mid_channels": mid, "height": side, "width": side}
    return Layer(**{"kind": "mbconv", "kernel": 3, **shape, **settings})


BRANCHED = Architecture(
    3,
    16,
    16,
    (
        Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=16, width=16),
        inverted(8, 8, 16, 8, residual=True),
        inverted(8, 8, 24, 8, residual=True),
        inverted(8, 16, 16, 8, stride=2),
        Layer(kind="head", in_channels=8, mid_channels=0, out_channels=2, height=8, width=8),
        Layer(kind="head", in_channels=16, mid_channels=0, out_channels=4, height=4, width=4),
    ),
    wires=((-1,), (0,), (1,), (1,), (2,), (3,)),
    outputs=(4, 5),
)
"""Its second block branches off behind the first, and has a head of its own."""


@pytest.mark.parametrize(("depth", "layers"), [(0.5, 5), (1.0, 6), (2.0, 9)])
def test_wires_lead_to_what_is_left_and_to_the_last_of_what_is_repeated(depth: float, layers: int) -> None:
    other = scaled(BRANCHED, 1.0, depth)
    assert len(other.layers) == layers
    assert other.outputs is not None
    assert [other.layers[place].output for place in other.outputs] == [(2,), (4,)]
    first, second = build(other).eval()(torch.zeros(1, 3, 16, 16))
    assert (first.shape, second.shape) == ((1, 2), (1, 4))


def test_what_is_no_block_is_not_repeated() -> None:
    """A plain convolution that changes the width; a skip without ops."""
    plain = Architecture(
        3,
        8,
        8,
        (
            Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, height=8, width=8),
            Layer(kind="conv", in_channels=8, out_channels=16, kernel=3, height=8, width=8),
            Layer(kind="identity", in_channels=16, out_channels=16, height=8, width=8),
            Layer(kind="head", in_channels=16, mid_channels=0, out_channels=2, height=8, width=8),
        ),
    )
    assert scaled(plain, 1.0, 3.0) == plain
    projected = plain.layers[1].changed(projection=True)
    deeper = scaled(replace(plain, layers=(plain.layers[0], projected, *plain.layers[2:])), 1.0, 3.0)
    assert [layer.residual for layer in deeper.layers] == [False, False, True, True, False, False]


@pytest.mark.parametrize("depth", [0, -1, float("nan"), float("inf")])
def test_a_depth_is_above_nothing(depth: float) -> None:
    with pytest.raises(NasError, match="A depth is a number above 0"):
        scaled(network("mobilenetv2-1.0"), 1.0, depth)


@pytest.mark.parametrize("by", WAYS)
def test_scalings_of_a_way_grow_and_have_the_network_among_them(by: str) -> None:
    whole = network("mobilenetv3-small-1.0").resized(64)
    found = scalings(whole, by)
    assert found[whole] == 1
    assert list(found.values()) == sorted(found.values())
    work = [each.macs for each in found]
    assert sum(after < before for before, after in pairwise(work)) <= len(work) / 20
    heights = {each.height for each in found}
    assert heights == {64} if by == "width" else len(heights) > 2
    assert all(height % 8 == 0 for height in heights)


def test_a_network_that_nothing_can_be_made_of_says_where() -> None:
    layer = Layer(kind="head", in_channels=3, mid_channels=60_000, out_channels=2, height=8, width=8)
    with pytest.raises(ArchitectureError, match=r"Layer 0 \(head\) cannot be made 2 times as wide"):
        scaled(Architecture(3, 8, 8, (layer,)), 2, 2)

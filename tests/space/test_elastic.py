"""The smaller networks that a network has in it."""

from __future__ import annotations

import numpy as np
import pytest

import nas
from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.errors import SpaceError
from nas.formats.network_file import read_network
from nas.space.elastic import elastic_space
from nas.system.places import network_names, published


@pytest.mark.parametrize("name", published())
def test_the_largest_is_the_network_itself(name):
    network = read_network(network_names()[name]).architecture
    space = elastic_space(network, name)
    assert list(space.references) == [name]
    largest = space.encode(list(space.references.values()))
    assert (largest == space.cardinalities - 1).all()
    assert space.decode(largest[0]) == network


@pytest.mark.parametrize("name", ["mobilenetv2-1.0", "mobilenetv3-small-1.0", "efficientnet-b0", "fbnet-a"])
def test_every_option_makes_a_network_smaller(name):
    space = nas.load_space(f"elastic:{name}", resolution=96, classes=6)
    assert space.name == f"{name}-elastic-96px-keep-6c"
    largest = (space.cardinalities - 1).astype(np.uint8)
    whole = space.decode(largest)
    for place, decision in enumerate(space.decisions):
        before = whole.macs
        for option in reversed(range(len(decision.options) - 1)):
            genotype = largest.copy()
            genotype[place] = option
            smaller = space.decode(genotype)
            assert smaller.macs < before, decision
            assert smaller.num_classes == 6
            before = smaller.macs


def test_decisions_are_named_by_stage_and_block():
    space = nas.load_space("elastic:mobilenetv2-1.0", resolution=96)
    options = {decision.name: decision.options for decision in space.decisions}
    assert options["resolution"] == (48, 64, 80, 96)
    assert options["stage3.depth"] == (1, 2, 3)
    assert options["stage4.depth"] == (1, 2, 3, 4)
    assert options["stage4.width"] == (16, 24, 32, 48, 56, 64)
    assert options["stage4.block2.mid"] == (96, 152, 208, 272, 328, 384)
    assert options["head.mid"][-1] == 1280
    space = nas.load_space("elastic:proxylessnas-mobile")
    assert {decision.options for decision in space.decisions if decision.name.endswith("kernel")} == {(3, 5), (3, 5, 7)}


@pytest.mark.parametrize("kind", ["mbconv", "fused", "tucker"])
def test_inner_widths_and_stages_of_every_bottleneck_are_elastic(kind):
    shape = {"height": 8, "width": 8, "out_channels": 32}
    inner = {"mid_channels": 96, "kernel": 3, **({"rank_channels": 24} if kind == "tucker" else {})}
    layers = (
        Layer(kind="conv", in_channels=3, kernel=3, **shape),
        Layer(kind=kind, in_channels=32, residual=True, **inner, **shape),
        Layer(kind="head", in_channels=32, out_channels=10, height=8, width=8),
    )
    space = elastic_space(Architecture(3, 8, 8, layers), "x")
    names = [decision.name for decision in space.decisions]
    assert "stem.width" in names
    assert any(name.endswith("mid") for name in names)
    smallest = space.decode(np.zeros(len(names), dtype=np.uint8))
    assert smallest.layers[-1].in_channels == 8


def test_what_cannot_be_elastic_is_told(tmp_path):
    conv = Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, height=8, width=8)
    wired = Architecture(3, 8, 8, (conv, conv), ((-1,), (-1,)))
    with pytest.raises(SpaceError, match="chain"):
        elastic_space(wired, "x")
    with pytest.raises(SpaceError, match="No network named"):
        nas.load_space("elastic:nothing")
    with pytest.raises(SpaceError, match="keeps its strides"):
        nas.load_space("elastic:mobilenetv2-1.0", resolution=32, strides="drop")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(nas.NasError, match="a network is a JSON file"):
        nas.load_space(f"elastic:{tmp_path / 'config.json'}")

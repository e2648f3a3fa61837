"""Attention in supernets: channels are put in order, weights inherited, and maps of other sizes attended to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import randomize

from nas.blocks.architecture import Architecture
from nas.blocks.build import build
from nas.blocks.layer import Layer
from nas.formats.weights_file import plain_weights
from nas.space.elastic import elastic_space
from nas.supernet.channels import important_first
from nas.supernet.inherit import inherit
from nas.supernet.superkernel import Superkernel
from nas.training.network import network_of

HEADS = {"heads": 2, "key_channels": 3, "value_channels": 5, "height": 8, "width": 8}


def attending() -> Architecture:
    """All kinds of blocks with attention, and convolutions around them."""
    shape = {"in_channels": 16, "out_channels": 16, "mid_channels": 24}
    layers = (
        Layer(kind="conv", in_channels=3, out_channels=24, kernel=3, conv_bias=True, height=16, width=16),
        Layer(kind="conv", in_channels=24, out_channels=16, kernel=3, stride=2, height=16, width=16),
        Layer(kind="poolformer", **shape, layer_scale=True, height=8, width=8),
        Layer(kind="mhsa", **shape, **HEADS, positions="distance", layer_scale=True, activation="gelu"),
        Layer(kind="shsa", **shape, part_channels=6, key_channels=4, height=8, width=8),
        Layer(kind="moat", **shape, **HEADS, positions="offset", window=3, se_channels=4),
        Layer(kind="norm_head", in_channels=16, out_channels=5, classifiers=2, height=8, width=8),
    )
    return Architecture(3, 16, 16, layers)


def test_reordering_channels_changes_nothing_of_what_it_computes() -> None:
    network = attending()
    weights = plain_weights(randomize(build(network), 1).state_dict())
    changed = important_first(network, weights)
    assert sum(not np.array_equal(weights[name], changed[name]) for name in weights) > 20
    x = torch.randn(2, 3, 16, 16, generator=torch.manual_seed(0))
    with torch.no_grad():
        before, after = (network_of(network, given).eval()(x) for given in (weights, changed))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_its_elastic_space_inherits_its_weights() -> None:
    """The largest network is itself; a smaller picture has the nearest of the learned positions."""
    network = attending()
    weights = plain_weights(randomize(build(network), 1).state_dict())
    space = elastic_space(network, "attending")
    supernet = Superkernel(space)
    inherit(supernet, network, weights)
    largest = space.encode(list(space.references.values()))[0]
    x = torch.randn(4, 3, 16, 16, generator=torch.manual_seed(0))
    with torch.no_grad():
        expected = network_of(network, weights).train()(x)
        torch.testing.assert_close(supernet(x, largest), expected, rtol=1e-4, atol=1e-5)
        smaller = space.encode([space.choices(largest) | {"resolution": 8}])[0]
        parts = supernet.standalone(smaller)
    distances, offsets = (value for name, value in parts.state_dict().items() if name.endswith("biases"))
    whole = [value for name, value in weights.items() if name.endswith("biases")]
    assert np.array_equal(distances, whole[0][:, :4, :4])
    assert np.array_equal(offsets, whole[1])  # windows of 3 pixels are there in a map of 4


@pytest.mark.parametrize("side", [4, 8, 14, 32])
def test_pictures_of_other_sizes_pass(side: int) -> None:
    network = build(attending()).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 3, side, side + 2)).isfinite().all()

"""A trained network as the largest one of a supernet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import nas
from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.data import load_data
from nas.errors import SpaceError
from nas.formats.network_file import read_network
from nas.formats.weights import random_weights
from nas.space.elastic import elastic_space
from nas.supernet.channels import by_norm, groups, important_first
from nas.supernet.inherit import inherit
from nas.supernet.past import Past, Shrinking, Tuned
from nas.supernet.shared_weights import SharedSettings, SharedWeights
from nas.supernet.superkernel import Superkernel
from nas.system.places import network_names
from nas.system.teller import Silent
from nas.training.network import network_of
from nas.training.processes import alone

SMALL = ["mobilenetv2-1.0", "mobilenetv3-small-1.0", "fbnet-a", "mnasnet-a1-1.0"]


def tiny() -> Architecture:
    residual = {"in_channels": 24, "mid_channels": 48, "kernel": 5, "residual": True, "height": 8, "width": 8}
    layers = (
        Layer(kind="conv", in_channels=3, out_channels=16, kernel=3, stride=2, height=32, width=32),
        Layer(kind="mbconv", in_channels=16, out_channels=24, mid_channels=48, kernel=3, stride=2, height=16, width=16),
        Layer(kind="mbconv", out_channels=24, **residual),
        Layer(kind="head", in_channels=24, out_channels=10, mid_channels=32, height=8, width=8),
    )
    return Architecture(3, 32, 32, layers)


def trained_like(network: Architecture) -> dict[str, np.ndarray]:
    """Weights whose normalisation is no identity."""
    rng, weights = np.random.default_rng(0), random_weights(network, 0)
    for name, value in weights.items():
        if "norm." in name and value.ndim == 1:
            weights[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return weights


@pytest.mark.parametrize("name", SMALL)
def test_reordering_changes_nothing_of_what_a_network_computes(name):
    network = read_network(network_names()[name]).architecture.resized(32)
    weights = trained_like(network)
    changed = important_first(network, weights)
    x = torch.randn(2, 3, 32, 32, generator=torch.manual_seed(0))
    with torch.no_grad():
        before, after = (network_of(network, w).eval()(x) for w in (weights, changed))
    assert any(not np.array_equal(weights[n], changed[n]) for n in weights)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    for group in groups(network):
        if not group.fixed and any(n.endswith("norm.weight") for n, _ in group.given):
            assert (np.diff(by_norm(group, changed)) <= 1e-9).all()


@pytest.mark.parametrize("name", SMALL)
def test_the_largest_of_the_supernet_computes_what_the_network_does(name):
    network = read_network(network_names()[name]).architecture.resized(32)
    weights, space = trained_like(network), elastic_space(network, name)
    supernet = Superkernel(space)
    inherit(supernet, network, weights)
    genotype = space.encode(list(space.references.values()))[0]
    x = torch.randn(4, 3, 32, 32, generator=torch.manual_seed(0))
    with torch.no_grad():
        own, other = supernet(x, genotype), network_of(network, weights).train()(x)
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_merged_branches_stay_merged():
    size = {"height": 16, "width": 16}
    layers = (
        Layer(kind="rep", in_channels=3, out_channels=16, kernel=3, stride=2, height=32, width=32),
        Layer(kind="rep", in_channels=16, out_channels=16, kernel=5, depthwise=True, se_channels=4, **size),
        Layer(kind="mbconv", in_channels=16, out_channels=16, mid_channels=48, kernel=5, residual=True, **size),
        Layer(kind="head", in_channels=16, out_channels=10, **size),
    )
    network = Architecture(3, 32, 32, layers)
    weights, space = important_first(network, trained_like(network)), elastic_space(network, "rep")
    supernet = Superkernel(space, inherits=True)
    inherit(supernet, network, weights)
    x = torch.randn(4, 3, 32, 32, generator=torch.manual_seed(0))
    whole, *smaller = (space.encode([space.references["rep"]])[0], *space.sample(3, np.random.default_rng(0)))
    with torch.no_grad():
        torch.testing.assert_close(supernet(x, whole), network_of(network, weights).train()(x), rtol=1e-4, atol=1e-4)
        for genotype in smaller:
            side = space.decode(genotype).height
            shown = torch.nn.functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
            torch.testing.assert_close(supernet(x, genotype), supernet.standalone(genotype)(shown), rtol=0, atol=1e-5)
    assert "0.0.conv.bias" in supernet.standalone(whole).state_dict()


def test_a_smaller_network_has_the_first_channels():
    network, space = tiny(), elastic_space(tiny(), "tiny")
    weights, supernet = trained_like(tiny()), Superkernel(space)
    inherit(supernet, network, weights)
    genotype = np.zeros(len(space.decisions), np.uint8)
    smallest, mid = supernet.standalone(genotype).state_dict(), space.decode(genotype).layers[1].mid_channels
    np.testing.assert_array_equal(smallest["1.0.conv.weight"], weights["1.0.conv.weight"][:mid, :8])


def test_weights_of_another_network_are_refused():
    space = elastic_space(tiny(), "tiny")
    with pytest.raises(SpaceError, match="no network with these weights"):
        inherit(Superkernel(space), tiny().resized(64), {})


def test_a_network_is_tuned_once_and_then_read(tmp_path: Path):
    data = load_data("digits", 32)
    past = Past(tiny(), random_weights(tiny(), 0), data.mean, data.std, (), epochs=1, share=0.5)
    first = past.tuned(data, 0, tmp_path, Silent(), alone())
    assert (tmp_path / "teacher" / "config.json").is_file()
    again = past.tuned(data, 0, tmp_path, Silent(), alone())
    assert first.seconds > 0 == again.seconds
    asked: list[float] = []
    weights = SharedWeights(elastic_space(tiny(), "tiny"), data, SharedSettings(), 0, tmp_path, Silent(), None, past)
    before = weights.fingerprint
    weights.settle = lambda took: asked.append(took) or 7
    assert (weights.training.planned, asked, weights.fingerprint) == (7, [0.0], before)
    assert first.weights.keys() == again.weights.keys()
    assert all(np.array_equal(first.weights[name], again.weights[name]) for name in first.weights)


def test_networks_are_drawn_around_the_share_that_is_wanted():
    space = nas.load_space("elastic:mobilenetv2-1.0", resolution=96, classes=6)
    whole = space.decode(space.encode(list(space.references.values()))[0])
    rule = Shrinking(space, torch.nn.Identity(), 0.4)
    drawn = [space.decode(g).macs / whole.macs for s in range(10) for g in rule.networks(3, np.random.default_rng(s))]
    assert 0.3 < float(np.median(drawn)) < 0.52
    assert min(drawn) > 0.25
    assert max(drawn) < 0.65


def test_the_rule_leaves_gradients():
    space = elastic_space(tiny(), "tiny")
    tuned = Tuned(tiny(), trained_like(tiny()))
    supernet = Superkernel(space)
    inherit(supernet, tuned.architecture, tuned.weights)
    x = torch.randn(4, 3, 32, 32)
    loss = Shrinking(space, tuned.network(), 0.5)(supernet, x, torch.tensor([0, 1, 2, 3]), np.random.default_rng(0))
    assert np.isfinite(loss)
    assert sum(p.grad is not None and bool(p.grad.abs().sum()) for p in supernet.parameters()) > 10

"""Which networks are measured: enough of every layer, no two alike, the same ones again."""

from __future__ import annotations

import numpy as np
import pytest

from nas.blocks.layer import Layer
from nas.profiler.fit import counts
from nas.profiler.networks import calibrating, random_networks
from nas.profiler.survey import CALIBRATING, Survey
from nas.space import Decision, Slot, Space
from nas.space.load import load_space


def body(*options: object) -> tuple[Layer, ...]:
    kernel = options[0] if options else 3
    assert isinstance(kernel, int)
    return (Layer(kind="conv", in_channels=3, out_channels=8, kernel=kernel, height=8, width=8),)


def tiny(*kernels: int) -> Space:
    """As many networks as kernels; without any, one network and no decision."""
    decisions = (Decision("kernel", kernels),) if kernels else ()
    return Space("tiny", decisions, (Slot("body", (0,) if kernels else (), body),))


def test_calibrating_networks_have_every_layer() -> None:
    space = load_space("mobile")
    chosen = list(Survey.of(space).calibrating)
    stands_in = (counts([network.layers for network in chosen], space.layers()) > 0).sum(axis=0)
    assert len(chosen) == CALIBRATING == 40
    assert stands_in.min() >= 2
    uniform = [space.decode(genotype) for genotype in space.sample(40, np.random.default_rng(0))]
    alike = (counts([network.layers for network in uniform], space.layers()) > 0).sum(axis=0)
    assert alike.min() == 0  # which is why they are chosen


def test_the_choice_is_always_the_same() -> None:
    space = load_space("mobile")
    assert list(Survey.of(space).calibrating) == list(Survey.of(load_space("mobile")).calibrating)
    assert Survey.of(space).checking == Survey.of(load_space("mobile")).checking
    assert calibrating(space, 3, np.random.default_rng(0)) != calibrating(space, 3, np.random.default_rng(1))


def test_no_two_networks_are_alike() -> None:
    space = load_space("mobile")
    both = [*Survey.of(space).calibrating, *Survey.of(space).checking]
    assert len({network.layers for network in both}) == 60  # none checks that has calibrated


def test_genotypes_of_one_network_count_once() -> None:
    """NAS-Bench-Macro: 6,561 codes, 3,969 networks."""
    found = random_networks(load_space("nas-bench-macro"), 300, np.random.default_rng(0))
    assert len({network.layers for network in found}) == len(found) == 300


@pytest.mark.parametrize("kernels", [(), (3,), (3, 5), (3, 5, 7)])
def test_a_space_of_few_networks_gives_those(kernels: tuple[int, ...]) -> None:
    space = tiny(*kernels)
    found = random_networks(space, 20, np.random.default_rng(0))
    assert len(found) == len(set(found)) == max(1, len(kernels))
    chosen = calibrating(space, 40, np.random.default_rng(0))
    assert len(chosen) == len(found)
    shares = np.unique([network.layers[0].kernel for network in chosen], return_counts=True)[1]
    assert len(shares) == max(1, len(kernels))
    assert shares.max() - shares.min() <= 1  # each about as often as any other

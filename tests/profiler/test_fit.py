"""The fit on made-up times of the layers of `mobile`, whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from nas.blocks.layer import Layer
from nas.profiler.fit import DEVIATIONS, LEAST_SHARE, REACHES, Fit, counts, features, in_network
from nas.profiler.networks import random_networks
from nas.profiler.survey import Survey
from nas.space.load import load_space

NOISE = 0.005
"""Of the measured networks, relative."""


@dataclass(frozen=True)
class Setting:
    """Layers of `mobile`, and how often networks have them."""

    layers: list[Layer]
    alone_ms: NDArray[np.float64]
    calibrating: NDArray[np.float64]
    others: NDArray[np.float64]


@cache
def mobile() -> Setting:
    space = load_space("mobile")
    layers = [layer for layer in space.layers() if list(layer.graph.ops())]
    others = random_networks(space, 60, np.random.default_rng(5))
    return Setting(
        layers,
        np.array([0.01 + 2e-8 * layer.macs + 1e-7 * np.prod(layer.output) for layer in layers]),
        counts([network.layers for network in list(Survey.of(space).calibrating)], layers),
        counts([network.layers for network in others], layers),
    )


def truth(deviation: float, seed: int) -> NDArray[np.float64]:
    """ms of each layer in a network: 1.15 times that alone, 0.02 ms a megabyte of weights, and its own deviation."""
    here = mobile()
    megabytes = np.array([4e-6 * layer.params for layer in here.layers])
    own = 1 + deviation * np.random.default_rng(seed).standard_normal(len(here.layers))
    result: NDArray[np.float64] = (1.15 * here.alone_ms + 0.02 * megabytes) * own
    return result


def fitted(layer_ms: NDArray[np.float64], seed: int = 0) -> Fit:
    """Fitted to the calibrating networks, measured with noise."""
    here = mobile()
    clean = here.calibrating @ layer_ms
    measured = clean * (1 + NOISE * np.random.default_rng([seed, 1]).standard_normal(len(clean)))
    return in_network(here.layers, here.alone_ms, here.calibrating, measured, NOISE * measured)


def mape(ms: NDArray[np.float64], layer_ms: NDArray[np.float64]) -> float:
    return float(100 * np.abs(ms / (mobile().others @ layer_ms) - 1).mean())


def test_other_networks_are_told_better_than_by_sums_or_a_line() -> None:
    here, errors = mobile(), []
    for seed in range(5):
        layer_ms = truth(0.05, seed)
        calibrating, alone = here.calibrating @ layer_ms, here.others @ here.alone_ms
        columns = np.column_stack([here.calibrating @ here.alone_ms, np.ones(40)]) / calibrating[:, None]
        scale, offset = np.linalg.lstsq(columns, np.ones(40), rcond=None)[0]
        tables = (here.others @ fitted(layer_ms, seed).ms, alone, scale * alone + offset)
        errors.append([mape(table, layer_ms) for table in tables])
    ours, sums, line = np.mean(errors, axis=0)
    assert ours < 1.1
    assert ours < 0.1 * sums
    assert ours < 0.7 * line


def test_layers_move_towards_their_own_truth() -> None:
    """Not only the sums: what is left of a layer's deviation is less than with the right features alone."""
    layer_ms, usual = truth(0.16, 1), truth(0.0, 1)
    found = fitted(layer_ms).ms
    heavy = mobile().alone_ms > 0.5  # ms; networks tell little of the others
    assert 20 < heavy.sum() < 150
    assert np.abs(found / layer_ms - 1)[heavy].mean() < 0.85 * np.abs(usual / layer_ms - 1)[heavy].mean()


def test_the_likelihood_tells_how_much_layers_deviate() -> None:
    assert fitted(truth(0.0, 0)).s == DEVIATIONS[0]
    assert fitted(truth(0.0, 0)).c in REACHES
    assert fitted(truth(0.3, 0)).s == DEVIATIONS[-1]
    assert fitted(mobile().alone_ms).c == REACHES[0]  # sums are right: features need not reach far


def test_deviation_covers_the_truth() -> None:
    inside, errors, told = [], [], []
    for seed in range(5):
        layer_ms = truth(0.05, seed)
        found = fitted(layer_ms, seed)
        inside += (np.abs(found.ms - layer_ms) < 1.96 * found.deviation).tolist()
        errors.append(np.abs(found.ms - layer_ms) / mobile().alone_ms)
        told.append(found.deviation / mobile().alone_ms)
    assert np.mean(inside) > 0.93
    assert np.mean(told) < 4 * np.mean(errors)  # and is not just anything


def test_networks_make_layers_surer() -> None:
    """A layer that is in no network keeps its prior; one that makes up a network is as sure as that."""
    layers = [Layer(kind="conv", in_channels=8, out_channels=8 * n, height=8, width=8) for n in (1, 2, 3, 4)]
    alone = np.full(4, 1.0)
    networks = np.array([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]])
    found = in_network(layers, alone, networks, networks @ (1.2 * alone), np.full(3, 0.001))
    assert found.ms[0] == pytest.approx(1.2, abs=0.01)
    assert found.ms[1] + found.ms[2] == pytest.approx(2.4, abs=0.02)
    assert found.ms[3] > 1.1  # by its features
    assert found.deviation[0] < 0.01
    assert found.deviation[3] > 2 * found.deviation[0]


def test_never_negative() -> None:
    here = mobile()
    networks = here.calibrating @ here.alone_ms
    for nothing in (1e-6 * networks, np.linspace(1e-6, 0.5, 40) * networks):
        found = in_network(here.layers, here.alone_ms, here.calibrating, nothing, 0.01 * nothing)
        assert (found.ms >= LEAST_SHARE * here.alone_ms).all()
        assert np.isfinite(found.ms).all()
        assert (found.deviation >= 0).all()
        assert np.isfinite(found.deviation).all()


def test_features_that_no_layer_has_are_harmless() -> None:
    """Neither residual layers nor squeeze-and-excitation."""
    layers = [Layer(kind="conv", in_channels=8, out_channels=n, kernel=3, height=16, width=16) for n in range(1, 21)]
    alone = np.linspace(0.1, 2.0, 20)
    assert not features(layers, alone)[:, 4:].any()
    rng = np.random.default_rng(0)
    networks = rng.integers(0, 2, (30, 20)).astype(float)
    found = in_network(layers, alone, networks, networks @ (1.1 * alone), np.full(30, 1e-3))
    np.testing.assert_allclose(found.ms, 1.1 * alone, rtol=0.04)


def test_one_layer_and_one_network() -> None:
    layer = Layer(kind="conv", in_channels=8, out_channels=8, height=8, width=8)
    found = in_network([layer], np.array([2.0]), np.array([[3.0]]), np.array([7.2]), np.array([0.01]))
    assert found.ms[0] == pytest.approx(2.4, rel=0.02)


def test_features_by_hand() -> None:
    plain = Layer(kind="conv", in_channels=8, out_channels=4, kernel=3, stride=2, height=10, width=10)
    gated = Layer(
        kind="mbconv", in_channels=8, out_channels=8, mid_channels=16, se_channels=2, residual=True, height=5, width=5
    )
    weights = 8 * 4 * 9 + 2 * 4
    inside = (8 * 16 + 2 * 16) + (16 + 2 * 16) + (16 * 2 + 2 + 2 * 16 + 16) + (16 * 8 + 2 * 8)
    np.testing.assert_allclose(
        features([plain, gated], np.array([0.5, 0.25])),
        [[1, weights, 4 * 5 * 5, 0.5, 0, 0], [1, inside, 8 * 5 * 5, 0.25, 0.25, 0.25]],
    )


def test_counts() -> None:
    a, b, c = (Layer(kind="conv", in_channels=8, out_channels=8, kernel=k, height=8, width=8) for k in (1, 3, 5))
    assert counts([[a, b, a], [c]], [c, a, b]).tolist() == [[0, 2, 1], [1, 0, 0]]
    with pytest.raises(KeyError):
        counts([[a, c]], [a, b])


def test_layers_that_cannot_take_less_leave_the_rest_to_others() -> None:
    """Networks take 1.5 ms less than their blocks alone, more than some of these have."""
    here = mobile()
    clean = here.calibrating @ here.alone_ms - 1.5
    fit = in_network(here.layers, here.alone_ms, here.calibrating, clean, 0.001 * clean)
    least = LEAST_SHARE * here.alone_ms
    assert (fit.ms >= least * (1 - 1e-9)).all()
    assert np.isclose(fit.ms, least).any()
    assert np.abs(here.calibrating @ fit.ms / clean - 1).mean() < 0.01  # 7 % where each is only raised to its least

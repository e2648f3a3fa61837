"""From some layers measured alone, and whole networks, to what every layer of a space takes inside a network.

Layers alone: log(t / block model) is a Gaussian process over `described` layers (Matérn 5/2, a length for each column
by marginal likelihood), which gives every layer a time and says how unsure it is, and of which layers together.
In a network it is the regression of `nas.profiler.fit` with two terms more,

    θ_l = t_l (1 + u_l + v_l) + Σ_j β_j f_j(l) + ε_l,   v ~ N(0, g² K)

where u is what the layers alone leave open and v what networks do to layers that are alike, K another Matérn kernel.
All terms are Gaussian, so a network's covariance with others and with layers is a sum of known matrices by weights,
and the weights are those of a small grid under which the measured networks are most likely. Equations are those of
Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

from nas.blocks.layer import Layer
from nas.profiler.design import described
from nas.profiler.fit import LEAST_NOISE, LEAST_SHARE, REACHES, Fit
from nas.profiler.fit import features as in_network_features
from nas.tables.model import BlockModel

Array = NDArray[np.float64]

DEVIATIONS = (0.02, 0.08, 0.16)
"""Values of s that are tried."""
SHARED = (0.05, 0.1, 0.2, 0.4)
"""Values of g that are tried."""
LENGTHS = (2.0, 4.0, 8.0)
"""Lengths of K that are tried, in doublings of a width."""
MOST_STEPS = 30
"""Of the search for lengths."""
CHUNK = 1024
"""Layers whose covariances are held at once."""


@dataclass(frozen=True)
class Alone:
    """L layers alone, of which some were measured."""

    places: Array
    """float64[L, F]: `described`."""
    ms: Array
    kernel: Any
    """Of the logarithms, without what is each layer's own."""
    white: Array
    """float64[L]: variance of a layer's own part; 0 where it was measured."""
    half: Array
    """float64[M, L]: its squares, summed over the M that were measured, are what these take off a layer's variance."""
    left_out_pct: Array
    """float64[M]: how far off each measured layer is by the others."""


def times_alone(
    layers: Sequence[Layer], measured: NDArray[np.int64], ms: Array, deviation_ms: Array, model: BlockModel
) -> Alone:
    """All layers from those `measured` (indices), their times and standard errors."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    places, usual = described(layers), model.predict(layers)
    usual = np.maximum(usual, usual[measured].min() / 10)  # it may be nothing
    logs = np.log(ms / usual[measured])
    middle = logs.mean()
    lengths = Matern(np.full(places.shape[1], 3.0), (0.2, 100.0), nu=2.5)
    process = GaussianProcessRegressor(
        ConstantKernel(0.05) * lengths + WhiteKernel(1e-3, (1e-5, 1e-1)),
        alpha=1e-6 + (deviation_ms / ms) ** 2,
        optimizer=_most_likely,
    )
    with warnings.catch_warnings():  # a length at its bound is one that does not matter
        warnings.simplefilter("ignore")
        process.fit(places[measured], logs - middle)
    kernel, white = process.kernel_.k1, np.full(len(places), process.kernel_.k2.noise_level)
    cross = kernel(places[measured], places)
    half = solve_triangular(process.L_, cross, lower=True)
    found = usual * np.exp(middle + cross.T @ process.alpha_)
    found[measured], white[measured] = ms, 0.0
    inverse = np.diag(cho_solve((process.L_, True), np.eye(len(ms))))
    left_out = 100 * np.abs(np.expm1(process.alpha_ / inverse))  # equation 5.12
    return Alone(places, found, kernel, white, half, left_out)


def in_networks(layers: Sequence[Layer], found: Alone, networks: Array, network_ms: Array, noise_ms: Array) -> Fit:
    """Times in a network of L layers from N networks (`counts`), their times and standard errors."""
    from sklearn.gaussian_process.kernels import Matern

    ms = found.ms
    columns = in_network_features(layers, ms)
    scale = np.abs(columns).mean(axis=0)
    columns = columns[:, scale > 0] / scale[scale > 0] * ms.mean()
    known = networks * ms
    left = found.half @ known.T
    terms: dict[Any, Array] = {
        "open": (_shared(found.kernel, found.places, known) - left.T @ found.half + known * found.white) * ms,
        "own": networks * ms**2,
        "features": (networks @ columns) @ columns.T,
        **{length: _shared(Matern(length, nu=2.5), found.places, known) * ms for length in LENGTHS},
    }
    unsure = np.maximum(found.kernel.diag(found.places) - (found.half**2).sum(axis=0), 0.0) + found.white
    variances: dict[Any, Array] = {
        "open": unsure * ms**2,
        "own": ms**2,
        "features": (columns**2).sum(axis=1),
        **dict.fromkeys(LENGTHS, ms**2),
    }
    among = {name: joint @ networks.T for name, joint in terms.items()}
    noise = np.diag(np.maximum(noise_ms, LEAST_NOISE * network_ms) ** 2)
    surprise = network_ms - networks @ ms

    def mixed(parts: dict[Any, Array], s: float, c: float, g: float, length: float) -> Array:
        return parts["open"] + s**2 * parts["own"] + c**2 * parts["features"] + g**2 * parts[length]

    def likelihood(weights: tuple[float, ...]) -> float:
        lower = np.linalg.cholesky(mixed(among, *weights) + noise)
        white = solve_triangular(lower, surprise, lower=True)
        return float(-0.5 * white @ white - np.log(np.diag(lower)).sum())

    best = max(product(DEVIATIONS, REACHES, SHARED, LENGTHS), key=likelihood)
    lower = np.linalg.cholesky(mixed(among, *best) + noise)
    gain = solve_triangular(lower, mixed(terms, *best), lower=True)
    moved = ms + gain.T @ solve_triangular(lower, surprise, lower=True)
    variance = mixed(variances, *best) - (gain**2).sum(axis=0)
    return Fit(np.maximum(moved, LEAST_SHARE * ms), np.sqrt(np.maximum(variance, 0.0)), best[0], best[1])


def _shared(kernel: Callable[[Array, Array], Array], places: Array, known: Array) -> Array:
    """`known @ kernel(places, places)`, float64[N, L], without the whole of that matrix."""
    used = np.flatnonzero(known.any(axis=0))
    chunks = [
        known[:, used] @ kernel(places[used], places[start : start + CHUNK]) for start in range(0, len(places), CHUNK)
    ]
    return np.concatenate(chunks, axis=1)


def _most_likely(loss: Callable[[Array], tuple[float, Array]], start: Array, bounds: Array) -> tuple[Array, float]:
    """scikit-learn's own search has no end that could be set."""
    limits = list(map(tuple, bounds))
    found = minimize(loss, start, method="L-BFGS-B", jac=True, bounds=limits, options={"maxiter": MOST_STEPS})
    return found.x, float(found.fun)

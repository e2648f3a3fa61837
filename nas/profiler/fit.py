"""What a layer takes inside a network, from what it takes alone and from what whole networks take.

A block alone finds its weights and its input in the caches and its buffers in place; in a network it does not, and
what it leaves behind costs the next one. So sums of blocks are off, by a tenth or more. The fit is Bayesian linear
regression with the measured blocks as its prior: the time of layer l in a network is

    θ_l = t_l + Σ_j β_j f_j(l) + ε_l,   ε_l ~ N(0, (s t_l)²),   β_j ~ N(0, (c t̄ / f̄_j)²)

with t_l the time of the layer alone and features f: one (a call's overhead), t itself, weights, output values, t of
residual layers and t of layers with squeeze-and-excitation. A network's time is the sum of its layers' θ and noise of
known size. What the networks say of a feature moves all layers that have it; what they say of single layers moves
those a little. `s` and `c` are those of a small grid under which the measured networks are most likely (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, equation 2.30).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from nas.blocks.layer import Layer

DEVIATIONS = (0.02, 0.04, 0.08, 0.16)
"""Values of s that are tried."""
REACHES = (0.03, 0.1, 0.3)
"""Values of c that are tried."""
LEAST_SHARE = 0.1
"""A layer takes at least this share of its time alone, whatever the networks say."""
LEAST_NOISE = 0.005
"""Relative noise of a network's measured time is at least this."""


@dataclass(frozen=True)
class Fit:
    """Of L layers, in a network: `ms` and `deviation` (posterior standard deviation, ms), float64[L] each."""

    ms: NDArray[np.float64]
    deviation: NDArray[np.float64]
    s: float
    c: float


def counts(networks: Sequence[Sequence[Layer]], layers: Sequence[Layer]) -> NDArray[np.float64]:
    """float64[N, L]: how often each network has each layer. Raises `KeyError` for a layer that is not listed."""
    index = {layer: number for number, layer in enumerate(layers)}
    matrix = np.zeros((len(networks), len(layers)))
    for row, network in enumerate(networks):
        for layer in network:
            matrix[row, index[layer]] += 1
    return matrix


def features(layers: Sequence[Layer], alone_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[L, F]: see the head of this file."""
    values = np.array([[1.0, layer.params, prod(layer.output)] for layer in layers])
    residual = np.array([layer.residual for layer in layers])
    gated = np.array([layer.gated for layer in layers])
    return np.column_stack([values, alone_ms, alone_ms * residual, alone_ms * gated])


def in_network(
    layers: Sequence[Layer],
    alone_ms: NDArray[np.float64],
    networks: NDArray[np.float64],
    network_ms: NDArray[np.float64],
    noise_ms: NDArray[np.float64],
) -> Fit:
    """Times in a network of L layers measured alone, from N networks (`counts`), their times and standard errors."""
    columns = features(layers, alone_ms)
    scale = np.abs(columns).mean(axis=0)
    columns = columns[:, scale > 0] / scale[scale > 0] * alone_ms.mean()
    noise = np.maximum(noise_ms, LEAST_NOISE * network_ms)
    least = LEAST_SHARE * alone_ms
    held = np.zeros(len(layers), dtype=bool)

    def posterior(s: float, c: float) -> tuple[float, Fit]:
        """Log marginal likelihood of the networks, and the posterior of the layers that are not held at their least."""
        usual = np.where(held, least, alone_ms)
        surprise = network_ms - networks @ usual
        reach = columns * c * ~held[:, None]
        prior = reach @ reach.T + np.diag((s * alone_ms * ~held) ** 2)
        joint = networks @ prior
        lower = np.linalg.cholesky(joint @ networks.T + np.diag(noise**2))
        white = np.linalg.solve(lower, surprise)
        gain = np.linalg.solve(lower, joint)
        likelihood = -0.5 * white @ white - np.log(np.diag(lower)).sum()
        ms = usual + gain.T @ white
        variance = np.diag(prior) - (gain**2).sum(axis=0)
        return float(likelihood), Fit(ms, np.sqrt(np.maximum(variance, 0.0)), s, c)

    while True:
        best = max((posterior(s, c) for s in DEVIATIONS for c in REACHES), key=lambda found: found[0])[1]
        if not (below := (best.ms < least) & ~held).any():
            return best
        held |= below  # what they would have taken off the sums is for the others to take

"""A Gaussian process over option indices: kernel, its fit by marginal likelihood, and posteriors over a pool.

The kernel is k(a, b) = C + s² · exp(-Σ_d r_d [a_d ≠ b_d]), the exponential Hamming kernel: a product over decisions,
hence a function with effects of every order, whose share falls geometrically with the order where the rates r_d are
small (Duvenaud, Nickisch & Rasmussen 2011, arXiv:1112.4394). C stands for an unknown mean. Equations are
those of Rasmussen & Williams, Gaussian Processes for Machine Learning, MIT Press 2006 (GPML).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from nas.space.space import Population

Array = NDArray[np.float64]

CONSTANT = 10.0
"""Variance of the unknown mean, for values of variance about 1."""
JITTER = 1e-8
AMPLITUDE, NOISE, RATES = 5.0, 1e-2, 0.5
"""Medians of the priors; the last is the sum of all rates."""
MAX_STEPS = 30


@dataclass(frozen=True)
class Encoding:
    """Genotypes as features whose squared distance, weighted by rates, is the exponent of the kernel."""

    cardinalities: NDArray[np.int64]

    def __call__(self, population: Population) -> Array:
        """`uint8[N, D]` → `float64[N, F]`, F the sum of cardinalities: √½ at each option taken, 0 elsewhere."""
        first = np.concatenate([[0], np.cumsum(self.cardinalities)[:-1]])
        features = np.zeros((len(population), int(self.cardinalities.sum())))
        features[np.arange(len(population))[:, None], first + population] = np.sqrt(0.5)
        return features

    @property
    def owners(self) -> NDArray[np.int64]:
        """int64[F]: the decision of each feature."""
        return np.repeat(np.arange(len(self.cardinalities)), self.cardinalities)


@dataclass(frozen=True)
class Kernel:
    """Amplitude s², noise variance and a rate for each feature, `float64[F]`."""

    amplitude: float
    noise: float
    rates: Array

    def __call__(self, left: Array, right: Array) -> Array:
        """Covariances of two sets of features: `float64[L, R]`."""
        covariance: Array = CONSTANT + self.amplitude * np.exp(-_distances(left, right, self.rates))
        return covariance

    @property
    def variance(self) -> float:
        """Of the function at any one point."""
        return CONSTANT + self.amplitude


def fit_kernel(features: Array, values: Array, owners: NDArray[np.int64]) -> Kernel:
    """The kernel of largest posterior density for values `float64[N]` of mean about 0 and variance about 1.

    Log-normal priors: s² about 5 and rates about 0.5 / D, so that main effects lead and pairs follow; noise about
    1 % of the variance. The fit starts at their medians: it depends on the data alone, not on earlier fits.
    """
    decisions = int(owners[-1]) + 1
    median = np.log(np.array([AMPLITUDE, NOISE] + [RATES / decisions] * decisions))
    spread = np.array([1.0, 1.5] + [1.0] * decisions)

    def loss(position: Array) -> tuple[float, Array]:
        amplitude, noise = np.exp(position[:2])
        rates = np.exp(position[2:])
        correlation = np.exp(-_distances(features, features, rates[owners]))
        covariance = CONSTANT + amplitude * correlation
        covariance[np.diag_indices(len(values))] += noise + JITTER
        factor = np.linalg.cholesky(covariance)
        inverse = dpotri(factor.T)[0]  # its upper triangle
        inverse = np.triu(inverse) + np.triu(inverse, 1).T
        weights = inverse @ values
        likelihood = 0.5 * values @ weights + np.log(np.diag(factor)).sum()  # GPML eq. 5.8, negated
        slope = 0.5 * (inverse - np.outer(weights, weights))  # eq. 5.9: its sum over dK/dθ
        by_amplitude = amplitude * slope * correlation
        by_distance = -2 * (by_amplitude.sum(axis=1) @ features**2 - ((by_amplitude @ features) * features).sum(axis=0))
        by_rate = rates * np.bincount(owners, weights=by_distance, minlength=decisions)
        gradient = np.concatenate([[by_amplitude.sum(), noise * np.trace(slope)], by_rate])
        offset = (position - median) / spread
        return float(likelihood + 0.5 * offset @ offset), gradient + offset / spread

    limits = list(zip(median - 4 * spread, median + 4 * spread, strict=True))
    found = minimize(loss, median, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": MAX_STEPS}).x
    return Kernel(float(np.exp(found[0])), float(np.exp(found[1])), np.exp(found[2:])[owners])


def default_kernel(owners: NDArray[np.int64]) -> Kernel:
    """The kernel at the medians of the priors."""
    return Kernel(AMPLITUDE, NOISE, np.full(len(owners), RATES / (int(owners[-1]) + 1)))


@dataclass(frozen=True)
class Process:
    """A kernel conditioned on points `float64[N, F]`, not yet on values there."""

    kernel: Kernel
    points: Array
    factor: Array
    """Lower Cholesky factor of the covariance of noisy values at the points, `float64[N, N]`."""

    @classmethod
    def prior(cls, kernel: Kernel) -> Process:
        """Conditioned on nothing."""
        return cls(kernel, np.zeros((0, len(kernel.rates))), np.zeros((0, 0)))

    def extended(self, points: Array) -> Process:
        """Conditioned on further points: a block row of the Cholesky factor."""
        if not len(points):
            return self
        before, after = len(self.points), len(self.points) + len(points)
        cross = self.whiten(self.kernel(self.points, points))
        own = self.kernel(points, points) - cross.T @ cross
        own[np.diag_indices(len(points))] += self.kernel.noise + JITTER
        factor = np.zeros((after, after))
        factor[:before, :before] = self.factor
        factor[before:, :before] = cross.T
        factor[before:, before:] = np.linalg.cholesky(own)
        return Process(self.kernel, np.concatenate([self.points, points]), factor)

    def whiten(self, columns: Array) -> Array:
        """Solve with the factor: `float64[N, …]` to the same shape."""
        if not len(self.points):
            return columns
        return np.asarray(solve_triangular(self.factor, columns, lower=True, check_finite=False), dtype=np.float64)

    @property
    def residual(self) -> Array:
        """float64[N, N]: times values, how far each is from what all the others predict for it (GPML eq. 5.12)."""
        root = self.whiten(np.eye(len(self.points)))
        inverse = root.T @ root
        return np.asarray(inverse / np.diag(inverse)[:, None], dtype=np.float64)

    def smoothed(self, values: Array) -> Array:
        """Posterior mean at the points themselves, given noisy values there: `float64[N]` to the same."""
        weights = solve_triangular(self.factor, self.whiten(values), lower=True, trans=1, check_finite=False)
        return np.asarray(values - (self.kernel.noise + JITTER) * weights, dtype=np.float64)


@dataclass(frozen=True)
class Posterior:
    """What a process says of a pool of P candidates, given values at its points."""

    process: Process
    pool: Array
    """float64[P, F]: features of the candidates."""
    whitened: Array
    """float64[N, P]: factor⁻¹ · k(points, pool); grows by rows."""
    variance: Array
    """float64[P], of the function itself, without noise."""

    @classmethod
    def of(cls, process: Process, pool: Array) -> Posterior:
        """The posterior over a pool."""
        whitened = process.whiten(process.kernel(process.points, pool))
        return cls(process, pool, whitened, _positive(process.kernel.variance - (whitened**2).sum(axis=0)))

    def extended(self, points: Array) -> Posterior:
        """With further points, at the cost of their rows alone."""
        if not len(points):
            return self
        before = len(self.process.points)
        process = self.process.extended(points)
        below, own = process.factor[before:, :before], process.factor[before:, before:]
        covariance = self.process.kernel(points, self.pool) - below @ self.whitened
        rows = solve_triangular(own, covariance, lower=True, check_finite=False)
        variance = _positive(self.variance - (rows**2).sum(axis=0))
        return Posterior(process, self.pool, np.concatenate([self.whitened, rows]), variance)

    def among(self, candidates: NDArray[np.int64]) -> Posterior:
        """Over a part of the pool, given by indices."""
        whitened, variance = self.whitened[:, candidates], self.variance[candidates]
        return Posterior(self.process, self.pool[candidates], whitened, variance)

    def mean(self, values: Array) -> Array:
        """float64[P], from noisy values `float64[n]` at the first n of the points (GPML eq. 2.25)."""
        factor = self.process.factor[: len(values), : len(values)]
        weights = solve_triangular(factor, values, lower=True, check_finite=False)
        return np.asarray(weights @ self.whitened[: len(values)], dtype=np.float64)


def _distances(left: Array, right: Array, rates: Array) -> Array:
    """Sum over features of rate · squared difference: `float64[L, R]`."""
    scaled = left * rates
    squares = (scaled * left).sum(axis=1)[:, None] + (right**2) @ rates
    return np.asarray(np.maximum(squares - 2 * scaled @ right.T, 0), dtype=np.float64)


def _positive(variance: Array) -> Array:
    return np.maximum(variance, 1e-12)

"""Prior: a predictor that was fitted on a space, for that space at another resolution or with other classes.

What it says there is a rank from ImageNet and no accuracy. `--accuracy prior:TRAININGS[,EPOCHS]` corrects it by short
trainings of a few networks within the bounds: a Gaussian process whose mean is the prior on the scale of these pictures
(Rasmussen & Williams, GPML, section 2.7). Only what they differ by beyond their standard error corrects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.predictor import Predictor, has_predictor, load_predictor
from nas.blocks.precision import FLOAT
from nas.controllers.gaussian_process import NOISE, RATES, Encoding, Kernel, Posterior, Process
from nas.cost.factors import Factors
from nas.errors import NasError, SpaceError
from nas.space.adapt import Strides, in_precision, parts_of
from nas.space.load import load_space
from nas.space.space import Population, Space
from nas.system.places import space_names
from nas.system.teller import Teller, stage

if TYPE_CHECKING:
    from nas.accuracy.short_training import ShortTraining

VERSION = "prior/1"
TRAININGS, EPOCHS = 12, 3
LEAST = 4
"""Fewer trainings than these say nothing of a scale."""
MOST = 1_000


def prior_of(space: Space) -> Predictor | None:
    """The predictor that was fitted on this space as it is at its own resolution, with its own classes; None where
    there is none, and where one was fitted on just this space."""
    space = in_precision(space, FLOAT)
    base, resolution, keep, classes = parts_of(space.name)
    if base not in space_names() or not has_predictor(load_space(base)):
        return None
    strides: Strides | None = None if resolution is None else "keep" if keep else "drop"
    try:
        adapted = load_space(base, resolution=resolution, classes=classes, strides=strides)
    except SpaceError:  # another space of such a name
        return None
    return load_predictor(base) if adapted.fingerprint == space.fingerprint else None


class Borrowed(Predictor):
    """A prior as it is: a rank. It is a sum of arrays, so that what is best by it can be proved."""

    @property
    def label(self) -> str:
        return "rank from ImageNet"

    @property
    def provenance(self) -> str:
        return (
            f"a rank from ImageNet, no accuracy on these pictures: the predictor of {self.name}, fitted on "
            f"{self.meta['networks']:,} networks at its own resolution and with its own classes"
        )


@dataclass(eq=False)
class Corrected:
    """A prior and the trainings that correct it; calling it gives the top-1 to be expected after such a training,
    `float64[N]`, in percent. They are made at the first call."""

    label: ClassVar[str] = "top-1 by a corrected prior"
    unit: ClassVar[str] = "%"

    prior: Predictor
    training: ShortTraining
    trainings: int
    teller: Teller

    def __post_init__(self) -> None:
        self._design: Population | None = None

    @property
    def worth(self) -> Factors:
        return self.prior.factors

    def among(self, population: Population) -> None:
        """Which networks are trained: of a population `uint8[N, D]`, N at least 1, more of those that the prior likes
        than of the others."""
        ranked = population[np.argsort(-self.prior(population), kind="stable")]
        shares = ((np.arange(self.trainings) + 0.5) / self.trainings) ** 2
        self._design = ranked[np.unique((shares * len(ranked)).astype(np.int64))]

    @property
    def classes(self) -> int:
        return self.training.classes

    @property
    def provenance(self) -> str:
        fitted = self._fitted
        data = self.training.training.data
        return (
            f"a rank from ImageNet (the predictor of {self.prior.name}) corrected by {len(fitted.values)} trainings of "
            f"{self.training.training.recipe.epochs} epochs on {data.name} at {data.seen}, on "
            f"{len(data.validation):,} pictures held out, with which it agrees by a tau of {fitted.tau:.2f}"
        )

    @property
    def fingerprint(self) -> str:
        parts = (VERSION, self.prior.fingerprint, self.training.fingerprint, self.trainings)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __call__(self, population: Population) -> NDArray[np.float64]:
        return self._fitted.mean(population)

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """Of the process, in points; it says nothing of what a longer training would give."""
        return self._fitted.deviation(population)

    @cached_property
    def _fitted(self) -> _Fit:
        if self._design is None:
            raise NasError("A prior is corrected in a search, by networks within its bounds.")
        self.teller.say(
            f"{len(self._design)} trainings of {self.training.training.recipe.epochs} epochs correct the rank from "
            "ImageNet"
        )
        stage(self.teller, "tune")
        values = self.training(self._design)
        errors = self.training.uncertainty(self._design)
        encoding = Encoding(self.training.space.cardinalities)
        return fit(self.prior, self._design, values, errors, encoding)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A prior on the scale of trainings, and the process of what they differ from it by."""

    line: Callable[[Population], NDArray[np.float64]]
    process: Process
    encoding: Encoding
    values: NDArray[np.float64]
    """float64[n]: what trainings differ from the line by, in units of `noise`."""
    noise: float
    """Standard error of a training, in points."""
    tau: float
    """Kendall's, of the prior and the trainings."""

    def mean(self, population: Population) -> NDArray[np.float64]:
        """float64[N], in points."""
        return self.line(population) + self.noise * self._posterior(population).mean(self.values)

    def deviation(self, population: Population) -> NDArray[np.float64]:
        """float64[N], in points."""
        return np.asarray(self.noise * np.sqrt(self._posterior(population).variance), dtype=np.float64)

    def _posterior(self, population: Population) -> Posterior:
        return Posterior.of(self.process, self.encoding(population))


def fit(
    prior: Callable[[Population], NDArray[np.float64]],
    population: Population,
    values: NDArray[np.float64],
    errors: NDArray[np.float64],
    encoding: Encoding,
) -> _Fit:
    """Of trained networks `uint8[n, D]`, n at least 2, with their top-1 and its standard errors, `float64[n]` each.

    The slope of the line is Bayesian, a point for a point as long as trainings do not say otherwise. What they differ
    from it by beyond their errors is the amplitude of the process: 0 where that is nothing.
    """
    from scipy.stats import kendalltau  # a second

    told = prior(population)
    centre, middle = told - told.mean(), values.mean()
    spread = float(centre @ centre)
    free = values - middle - centre * (centre @ values / spread if spread else 0.0)
    noise = float(np.sqrt(np.mean(errors**2)))
    weight = 1 / max(noise**2, float(free @ free) / max(len(values) - 2, 1))
    slope = (1 + weight * float(centre @ values)) / (1 + weight * spread)
    rest = values - middle - slope * centre
    rates = np.full(len(encoding.owners), RATES / len(encoding.cardinalities))
    features = encoding(population)
    far = 1 - Kernel(1.0, 0.0, rates)(features, features) + Kernel(0.0, 0.0, rates)(features, features)
    pairs = np.triu_indices(len(values), 1)
    signal = max(0.0, float(rest @ rest) / (len(values) - 1) - noise**2) / noise**2
    apart = float(far[pairs].mean())
    kernel = Kernel(signal / apart if apart else 0.0, max(1.0, NOISE), rates)
    process = Process.prior(kernel).extended(features)
    offset, scale = middle - slope * told.mean(), slope
    tau = float(kendalltau(told, values).statistic)
    return _Fit(
        lambda others: offset + scale * prior(others),
        process,
        encoding,
        rest / noise,
        noise,
        0.0 if tau != tau else tau,
    )

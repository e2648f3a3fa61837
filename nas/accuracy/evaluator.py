"""The contract of an evaluator."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nas.cost.factors import Factors
from nas.space.space import Population


class Evaluator(Protocol):
    """Estimates the accuracy of each genotype of a population; knows nothing of latency or controllers."""

    @property
    def label(self) -> str:
        """What the figure is, as it is shown beside it, such as `proxy top-1`."""

    @property
    def unit(self) -> str:
        """Unit of the figure: `%`, or nothing for a score."""

    @property
    def provenance(self) -> str:
        """One line on what the estimate rests on."""

    @property
    def fingerprint(self) -> str:
        """Differs whenever the same genotype may get another figure: what a resumed run compares."""

    def __call__(self, population: Population) -> NDArray[np.float64]:
        """Accuracy or score, `float64[N]`."""

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """One standard deviation of that estimate, in points, `float64[N]`."""


@runtime_checkable
class Spread(Protocol):
    """An evaluator that has its genotypes evaluated by workers."""

    @property
    def at_once(self) -> int:
        """How many of them at the same time. Raises `NasError` where the workers are not there."""


@runtime_checkable
class Sampling(Protocol):
    """An evaluator that learns from networks of those that a search may find, with the workers that there are."""

    @property
    def worth(self) -> Factors:
        """Which networks it had better learn from: those of which this is large."""

    def among(self, population: Population) -> None:
        """These are some: `uint8[N, D]`, N at least 1."""

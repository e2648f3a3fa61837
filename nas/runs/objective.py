"""Objective: accuracy and costs → values to maximise, and by how much the bounds are broken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.evaluator import Evaluator
from nas.cost.cost import by_key
from nas.cost.factors import Factors
from nas.errors import Unattainable
from nas.space.space import Population

MNASNET_EXPONENTS = {"mnasnet-soft": (-0.07, -0.07), "mnasnet-hard": (0.0, -1.0)}
"""(alpha, beta) below and above the target: arXiv:1807.11626, section 3 and figure 3."""


@dataclass(frozen=True)
class Objective:
    """What a search maximises, under upper bounds on costs.

    `form` is `bound` (the accuracy), `mnasnet-soft` or `mnasnet-hard` (its product with a power of the latency), or
    `front` (accuracy, less latency, less every cost in `further`: a value each).
    """

    accuracy: Evaluator
    costs: Mapping[str, Factors]
    bounds: Mapping[str, float]
    """Upper bound by name of the cost; latency always has one."""
    hard: tuple[str, ...]
    """The bounds that count while searching. That on latency may be a wish, for MnasNet's forms and for fronts."""
    form: str = "bound"
    further: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what `measure` gives: accuracy, latency, then the other costs that are bounded or optimised."""
        return tuple(dict.fromkeys(("accuracy", *self.bounds, *self.further)))

    def measure(self, population: Population) -> dict[str, NDArray[np.float64]]:
        """Accuracy and costs of each genotype, `float64[N]` each."""
        costs = {name: self.costs[name](population) for name in self.columns[1:]}
        return {"accuracy": self.accuracy(population), **costs}

    def judge(self, measures: Mapping[str, NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values `float64[N, m]` and violations `float64[N]`, the sum of relative excesses over the hard bounds."""
        values = [first_value(measures, self.bounds, self.form)]
        if self.form == "front":
            values += [-measures[name] for name in ("latency_ms", *self.further)]
        violation = np.zeros(len(values[0]))
        for name in self.hard:
            violation += np.maximum(measures[name] / self.bounds[name] - 1, 0)
        return np.stack(values, axis=1), violation

    def excess(self, population: Population) -> NDArray[np.float64]:
        """By how much genotypes break the hard bounds, `float64[N]`; see `nas.controllers.controller.Excess`."""
        over = np.stack([self.costs[name](population) / self.bounds[name] - 1 for name in self.hard])
        total = np.maximum(over, 0).sum(axis=0)
        return np.asarray(np.where(total > 0, total, over.max(axis=0)), dtype=np.float64)

    def worth(self, measures: Mapping[str, NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each is worth as the winner, `float64[N]`, minus infinity beyond a bound; and its violations of all."""
        values, violations = self.judge(measures)
        if self.form == "front":
            violations = violations + np.maximum(measures["latency_ms"] / self.bounds["latency_ms"] - 1, 0)
        return np.where(violations == 0, values[:, 0], -np.inf), violations

    def winner(self, stretches: Iterable[Mapping[str, NDArray[np.float64]]]) -> int:
        """Row of the largest first value within all bounds, the first of equals, of measures that come in stretches.

        Raises `Unattainable` where no row is within them.
        """
        best, largest, closest, rows = -1, -np.inf, np.inf, 0
        for measures in stretches:
            worth, violations = self.worth(measures)
            row = int(worth.argmax())
            if worth[row] > largest:
                best, largest = rows + row, float(worth[row])
            closest = min(closest, float(violations.min()))
            rows += len(worth)
        if best < 0:
            raise Unattainable(
                f"None of {rows:,} architectures meets all bounds; the closest breaks them by "
                f"{closest:.1%} in sum. Loosen one of them, or search longer."
            )
        return best

    @property
    def maxima(self) -> dict[str, tuple[Factors, float]]:
        """The hard bounds on costs that are maxima: each leaves or forbids an architecture place by place."""
        return {name: (self.costs[name], self.bounds[name]) for name in self.hard if self.costs[name].fold == "max"}

    def cheapest(self) -> Population:
        """For each bounded cost the architecture of the least, within the bounds on maxima: `uint8[bounds, D]`."""
        maxima = self.maxima.values()
        return np.stack([self.costs[name].restricted(maxima).cheapest() for name in self.bounds])

    def check_attainable(self) -> None:
        """Raise `Unattainable`, with the attainable range, where no architecture can meet the hard bounds.

        One bound is decided exactly, and so are all on maxima together with one on a sum. Several on sums are refuted
        where for some weights the weighted costs cannot come down to the weighted bounds (Lagrangian duality); this
        proves the no, never the yes.
        """
        hard = {name: self.bounds[name] for name in self.hard}
        for name, bound in hard.items():
            least, largest = self.costs[name].bounds()
            if least > bound:
                told = by_key(name).told
                raise Unattainable(
                    f"No architecture has at most {told(bound)}: this space attains "
                    f"{told(least, unit=False)} to {told(largest)}. Ask for a bound in that range."
                )
        within = {name: self.costs[name].restricted(self.maxima.values()) for name in hard}
        for name, cost in within.items():
            if self.maxima and cost.bounds()[0] > hard[name]:
                raise _apart(*dict.fromkeys((*self.maxima, name)))
        sums = [name for name in hard if name not in self.maxima]
        for left, right in combinations(sums, 2):
            for weight in np.linspace(0.05, 0.95, 19):
                weighed = within[left] * (weight / hard[left]) + within[right] * ((1 - weight) / hard[right])
                if weighed.bounds()[0] > 1:
                    raise _apart(left, right, *self.maxima)


def first_value(
    measures: Mapping[str, NDArray[np.float64]], bounds: Mapping[str, float], form: str
) -> NDArray[np.float64]:
    """What evaluations are worth to an objective of a form, `float64[N]`: the accuracy, or MnasNet's product."""
    if form not in MNASNET_EXPONENTS:
        return measures["accuracy"]
    ratio = measures["latency_ms"] / bounds["latency_ms"]
    below, above = MNASNET_EXPONENTS[form]
    return np.asarray(measures["accuracy"] * ratio ** np.where(ratio <= 1, below, above))  # eq. 2 and 3


def _apart(*names: str) -> Unattainable:
    told = ", ".join(names[:-1]) + f" and {names[-1]}"
    return Unattainable(
        f"No architecture meets the bounds on {told} together, though each alone can be met. Loosen one of them."
    )

"""Objective: accuracy and costs → values to maximise, and by how much the bounds are broken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from operator import add

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.evaluator import Evaluator
from nas.cost.cost import by_key, latencies_of
from nas.cost.factors import Factors
from nas.errors import Unattainable
from nas.space.space import Population

ROUNDS = 60
"""In which bounds are weighed against each other to refute them."""
TOLERANCE = 1e-9
"""By which a bound may seem broken for the rounding of sums."""
MNASNET_EXPONENTS = {"mnasnet-soft": (-0.07, -0.07), "mnasnet-hard": (0.0, -1.0)}
"""(alpha, beta) below and above the target: arXiv:1807.11626, section 3 and figure 3."""


@dataclass(frozen=True)
class Objective:
    """What a search maximises, under upper bounds on costs.

    `form` is `bound` (the accuracy), `mnasnet-soft` or `mnasnet-hard` (its product with a power of each latency), or
    `front` (accuracy, less each latency, less every cost in `further`: a value each).
    """

    accuracy: Evaluator
    costs: Mapping[str, Factors]
    bounds: Mapping[str, float]
    """Upper bound by key of the cost; latency has one on each target."""
    hard: tuple[str, ...]
    """The bounds that count while searching. Those on latency may be wishes, for MnasNet's forms and for fronts."""
    form: str = "bound"
    further: tuple[str, ...] = ()
    targets: Mapping[str, str] = field(default_factory=dict)
    """Names of the targets by the key of latency on each."""

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
            values += [-measures[name] for name in (*latencies_of(self.bounds), *self.further)]
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
            for name in latencies_of(self.bounds):
                violations = violations + np.maximum(measures[name] / self.bounds[name] - 1, 0)
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
        """Raise `Unattainable`, with what is attainable, where no architecture can meet the hard bounds.

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
                    f"No architecture has at most {self._told(name, bound)}: this space attains "
                    f"{told(least, unit=False)} to {told(largest)}. Ask for a bound in that range."
                )
        within = {name: self.costs[name].restricted(self.maxima.values()) for name in hard}
        for name, cost in within.items():
            if self.maxima and cost.bounds()[0] > hard[name]:
                raise self._apart(tuple(dict.fromkeys((*self.maxima, name))), cost.cheapest())
        sums = {name: within[name] * (1 / hard[name]) for name in hard if name not in self.maxima}
        if len(sums) > 1 and (nearest := _refuted(list(sums.values()))) is not None:
            for pair in combinations(sums, 2):  # two of them alone say more
                if (found := _refuted([sums[name] for name in pair])) is not None:
                    raise self._apart((*pair, *self.maxima), found)
            raise self._apart((*sums, *self.maxima), nearest)

    def _apart(self, names: tuple[str, ...], nearest: NDArray[np.uint8]) -> Unattainable:
        """That bounds cannot be met together, with what a genotype `uint8[D]` that comes near them has."""
        words = [by_key(name).words + self._on(name) for name in names]
        near = [self._told(name, float(self.costs[name](nearest[None])[0])) for name in names]
        return Unattainable(
            f"No architecture meets the bounds on {_and(words)} together, though each alone can be met. One that comes "
            f"near them has {_and(near)}. Loosen one of them."
        )

    def _told(self, name: str, value: float) -> str:
        return by_key(name).told(value) + self._on(name)

    def _on(self, name: str) -> str:
        """The target of a latency, where there are several."""
        return f" on {self.targets[name]}" if len(self.targets) > 1 and name in self.targets else ""


def first_value(
    measures: Mapping[str, NDArray[np.float64]], bounds: Mapping[str, float], form: str
) -> NDArray[np.float64]:
    """What evaluations are worth to an objective of a form, `float64[N]`: the accuracy, or MnasNet's product."""
    if form not in MNASNET_EXPONENTS:
        return measures["accuracy"]
    below, above = MNASNET_EXPONENTS[form]
    value = measures["accuracy"]
    for name in latencies_of(bounds):
        ratio = measures[name] / bounds[name]
        value = value * ratio ** np.where(ratio <= 1, below, above)  # eq. 2 and 3
    return value


def _refuted(shares: Sequence[Factors]) -> NDArray[np.uint8] | None:
    """Where no genotype has all of these sums at 1 or less, one `uint8[D]` that comes near; None where that is not
    proved. The weights follow the excesses (multiplicative weights: Freund and Schapire 1999)."""
    weights = np.full(len(shares), 1 / len(shares))
    refuted, nearest, excess = False, None, np.inf
    for number in range(1, ROUNDS + 1):
        weighed = reduce(add, [share * float(weight) for share, weight in zip(shares, weights, strict=True)])
        genotype = weighed.cheapest()
        refuted = refuted or bool(weighed(genotype[None])[0] > 1 + TOLERANCE)
        over = np.array([float(share(genotype[None])[0]) for share in shares]) - 1
        if over.max() <= 0:
            return None
        if over.max() < excess:
            nearest, excess = genotype, float(over.max())
        weights = weights * np.exp(over / (np.abs(over).max() * np.sqrt(number)))
        weights /= weights.sum()
    return nearest if refuted else None


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"

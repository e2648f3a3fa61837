"""Objective: accuracy and costs → values to maximise, and by how much the bounds are broken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.evaluator import Evaluator
from nas.cost.factors import Factors
from nas.errors import Unattainable
from nas.space.space import Population

MNASNET_EXPONENTS = {"mnasnet-soft": (-0.07, -0.07), "mnasnet-hard": (0.0, -1.0)}
"""(alpha, beta) below and above the target: arXiv:1807.11626, section 3 and figure 3."""

_SHOWN = {"latency_ms": (1.0, "ms"), "macs": (1e-6, "M MACs"), "params": (1e-6, "M parameters")}


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
        values = [measures["accuracy"]]
        if self.form == "front":
            values += [-measures[name] for name in ("latency_ms", *self.further)]
        elif self.form in MNASNET_EXPONENTS:
            ratio = measures["latency_ms"] / self.bounds["latency_ms"]
            below, above = MNASNET_EXPONENTS[self.form]
            values[0] = values[0] * ratio ** np.where(ratio <= 1, below, above)  # eq. 2 and 3
        violation = np.zeros(len(values[0]))
        for name in self.hard:
            violation += np.maximum(measures[name] / self.bounds[name] - 1, 0)
        return np.stack(values, axis=1), violation

    def winner(self, stretches: Iterable[Mapping[str, NDArray[np.float64]]]) -> int:
        """Row of the largest first value within all bounds, the first of equals, of measures that come in stretches.

        Raises `Unattainable` where no row is within them.
        """
        best, largest, closest, rows = -1, -np.inf, np.inf, 0
        for measures in stretches:
            values, violations = self.judge(measures)
            if self.form == "front":
                violations = violations + np.maximum(measures["latency_ms"] / self.bounds["latency_ms"] - 1, 0)
            worth = np.where(violations == 0, values[:, 0], -np.inf)
            row = int(worth.argmax())
            if worth[row] > largest:
                best, largest = rows + row, float(worth[row])
            closest = min(closest, float(violations.min()))
            rows += len(values)
        if best < 0:
            raise Unattainable(
                f"None of {rows:,} architectures meets all bounds; the closest breaks them by "
                f"{closest:.1%} in sum. Loosen one of them, or search longer."
            )
        return best

    def check_attainable(self) -> None:
        """Raise `Unattainable`, with the attainable range, where no architecture can meet the hard bounds.

        One bound is decided exactly. Several at once are refuted where for some weights the weighted costs
        cannot come down to the weighted bounds (Lagrangian duality); this proves the no, never the yes.
        """
        hard = {name: self.bounds[name] for name in self.hard}
        for name, bound in hard.items():
            least, largest = self.costs[name].bounds()
            if least > bound:
                scale, unit = _SHOWN[name]
                raise Unattainable(
                    f"No architecture has at most {bound * scale:.4g} {unit}: this space attains "
                    f"{least * scale:.4g} to {largest * scale:.4g} {unit}. Ask for a bound in that range."
                )
        relative = [self.costs[name] * (1 / bound) for name, bound in hard.items()]
        for left in range(len(relative)):
            for right in range(left + 1, len(relative)):
                for weight in np.linspace(0.05, 0.95, 19):
                    if (relative[left] * weight + relative[right] * (1 - weight)).bounds()[0] > 1:
                        names = list(hard)
                        raise Unattainable(
                            f"No architecture meets the bounds on {names[left]} and {names[right]} together, "
                            "though each alone can be met. Loosen one of them."
                        )

"""Bounds on maxima, such as that on peak memory: which states they leave, and a value that has lost the others.

A maximum is within its bound where each of its terms is. So a state of a variable, or a pair of states, is either gone
whatever else is chosen, or none of the bound's business: nothing is left to relax.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.cost.factors import Factor, Factors
from nas.solvers.relaxation import Variable, tables_of

Maxima = Sequence[tuple[Factors, float]]
"""Costs that are maxima, and their bounds."""


def lower(value: Factors, maxima: Maxima) -> Factors:
    """A value that is less wherever a maximum is over its bound, by more than the value can differ at all."""
    if not maxima:
        return value
    stake = 1.0 + sum(float(np.ptp(term.array)) for term in value.terms)
    over = [Factor(term.axes, -stake * term.array) for cost, bound in maxima for term in _over(cost, bound).terms]
    return Factors.of(value.cardinalities, value.constant, [*value.terms, *over])


def allowed_states(variables: Sequence[Variable], maxima: Maxima) -> list[NDArray[np.bool_]]:
    """For each variable, the states that are within all bounds with some state of every other one, as far as pairs of
    neighbours tell: bool[states] each."""
    stays = [np.ones(variable.size, dtype=bool) for variable in variables]
    tables = [
        (scope, table == 0)
        for cost, bound in maxima
        for scope, table in tables_of(variables, _over(cost, bound))[1].items()
    ]
    changed = True
    while changed:
        changed = False
        for scope, allowed in tables:
            for place, variable in enumerate(scope):
                for other, neighbour in enumerate(scope):
                    if other != place:
                        mask = stays[neighbour].reshape([-1 if p == other else 1 for p in range(len(scope))])
                        allowed = allowed & mask
                others = tuple(p for p in range(len(scope)) if p != place)
                left = stays[variable] & allowed.any(axis=others)
                changed = changed or bool((left != stays[variable]).any())
                stays[variable] = left
    return stays


def _over(cost: Factors, bound: float) -> Factors:
    """Where a maximum is over its bound, without the decisions that do not matter to that."""
    terms = []
    for term in cost.excess(bound).terms:
        array, axes = term.array, list(term.axes)
        for place in reversed(range(len(axes))):
            if (array == array.take([0], axis=place)).all():
                array = array.take([0], axis=place).squeeze(place)
                del axes[place]
        if axes:
            terms.append(Factor(tuple(axes), array))
    return Factors(cost.cardinalities, 0.0, tuple(terms))

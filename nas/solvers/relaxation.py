"""Relaxation: an upper bound on the best value under bounds, for many problems of one shape at once.

For any λ ≥ 0

    max V  ≤  max_g [ V(g) − Σ_k λ_k (C_k(g) − c_k) ]                                      (Lagrangian relaxation)
           ≤  constant + Σ_i max θ_i + Σ_f max θ_f + Σ_k λ_k c_k                            (dual decomposition)

The second is tightened by moving value between the single variables θ_i and the tables θ_f without changing their
sum (block coordinate descent of Globerson and Jaakkola 2007, "Fixing max-product", MPLP), the first by λ.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from nas.cost.factors import Factors

Array = NDArray[np.float64]
Scope = tuple[int, ...]

MAX_STATES = 4_096
"""States of one variable: decisions that always occur together are one variable up to this size."""
ARRAY_WORK = 2_000
"""What an array costs beside its entries, as so many of them."""


@dataclass(frozen=True)
class Variable:
    """Decisions that always occur together; `options` lists their combinations, `uint8[states, decisions]`."""

    decisions: Scope
    options: NDArray[np.uint8]

    @property
    def size(self) -> int:
        """Number of its states."""
        return len(self.options)


def group(factors: Sequence[Factors]) -> list[Variable]:
    """Group decisions by the terms that they occur in."""
    cards = factors[0].cardinalities
    scopes = [term.axes for each in factors for term in each.terms]
    groups: dict[tuple[int, ...], list[int]] = {}
    for axis in range(len(cards)):
        groups.setdefault(tuple(i for i, scope in enumerate(scopes) if axis in scope), []).append(axis)
    variables = []
    for occurs, members in groups.items():
        parts: list[list[int]] = [[]]
        for axis in members if occurs else ():
            if prod(cards[a] for a in parts[-1]) * cards[axis] > MAX_STATES:
                parts.append([])
            parts[-1].append(axis)
        for part in parts:
            shape = [cards[axis] for axis in part]
            options = np.stack(np.unravel_index(np.arange(prod(shape)), shape), axis=1) if part else None
            if options is not None:
                variables.append(Variable(tuple(part), options.astype(np.uint8)))
    return variables


@dataclass
class _Cost:
    """One cost in the shape of a relaxation; None is zero."""

    limit: float
    constant: Array
    singles: list[Array]
    tables: list[Array | None]


class Relaxation:
    """The dual bound of `n` problems of one shape at once: every array has `n` as its first axis.

    `singles` and `tables` hold the value less λ times the costs, moved about by message passing.
    """

    def __init__(
        self,
        constant: Array,
        singles: list[Array],
        scopes: list[Scope],
        tables: list[Array],
        costs: list[_Cost],
        multipliers: Array,
    ) -> None:
        self.constant = constant
        self.singles = singles
        self.scopes = scopes
        self.tables = tables
        self.costs = costs
        self.multipliers = multipliers  # n, costs

    @classmethod
    def of(cls, variables: list[Variable], value: Factors, limits: Sequence[tuple[Factors, float]]) -> Relaxation:
        """The whole problem with λ = 0."""
        parts = [tables_of(variables, each) for each in (value, *(cost for cost, _ in limits))]
        scopes = sorted({scope for _, tables in parts for scope in tables if len(scope) > 1})
        zeros = [np.zeros(variable.size) for variable in variables]

        def singles(tables: Mapping[Scope, Array]) -> list[Array]:
            return [tables.get((v,), zero)[None].copy() for v, zero in enumerate(zeros)]

        def full(tables: Mapping[Scope, Array], scope: Scope) -> Array | None:
            return tables[scope][None].copy() if scope in tables else None

        constant, tables = parts[0]
        shapes = {scope: (1, *(variables[v].size for v in scope)) for scope in scopes}
        filled = [full(tables, scope) for scope in scopes]
        return cls(
            np.array([constant]),
            singles(tables),
            scopes,
            [np.zeros(shapes[s]) if table is None else table for s, table in zip(scopes, filled, strict=True)],
            [
                _Cost(limit, np.array([c]), singles(t), [full(t, scope) for scope in scopes])
                for (c, t), (_, limit) in zip(parts[1:], limits, strict=True)
            ],
            np.zeros((1, len(limits))),
        )

    def work(self, rounds: int, problems: int = 1) -> int:
        """What it costs to tighten so many problems of this shape, as so many entries that are passed over."""
        entries = sum(ARRAY_WORK + problems * array.size for array in (*self.singles, *self.tables))
        return rounds * (1 + len(self._moves)) * entries

    def copy(self) -> Relaxation:
        """A copy that is independent of this one."""
        costs = [_Cost(c.limit, c.constant, list(c.singles), list(c.tables)) for c in self.costs]
        return Relaxation(
            self.constant.copy(), list(self.singles), self.scopes, list(self.tables), costs, self.multipliers.copy()
        )

    def tighten(self, rounds: int) -> Array:
        """Pass messages and move λ; returns the least bound met by each problem, float64[n].

        The bound has kinks in λ, where no single λ_k makes it better and a change of several does: costs that go
        together, such as latencies, come to stand there. So weight also goes from one cost to the others.
        """
        best = self._descend(2)
        steps = np.full((len(best), len(self._moves)), 1.5)
        for _ in range(rounds):
            for number, (k, together) in enumerate(self._moves):
                before, step = self.multipliers.copy(), steps[:, number]
                scale = np.maximum(before[:, k], self._usual(k))
                trial = before.copy()
                trial[:, k] = np.where(step > 1, before[:, k] + scale * (step - 1), before[:, k] * step)
                if together:
                    self._make_up(k, before, trial)
                self._move(trial)
                bound = self._descend(2)
                better = bound < best
                best = np.minimum(best, bound)
                self._move(np.where(better[:, None], trial, before))
                steps[:, number] = np.where(better, step, 1 / (1 + (step - 1) * 0.6))
            best = np.minimum(best, self._descend(2))
        return best

    def condition(self, variable: int) -> Relaxation:
        """One problem for each state of a variable of this one (n = 1), in which it has that state."""
        n = self.singles[variable].shape[1]
        constant = self.constant[0] + self.singles[variable][0]
        singles, scopes, tables = _conditioned(variable, n, self.singles, self.scopes, list(self.tables))
        costs = []
        for cost in self.costs:
            parts = _conditioned(variable, n, cost.singles, self.scopes, cost.tables)
            costs.append(_Cost(cost.limit, cost.constant[0] + cost.singles[variable][0], parts[0], parts[2]))
        whole = [table for table in tables if table is not None]
        return Relaxation(constant, singles, scopes, whole, costs, np.repeat(self.multipliers, n, axis=0))

    def states_above(self, value: float) -> list[tuple[int, NDArray[np.bool_]]]:
        """For each variable (n = 1), its states whose bound as it stands exceeds a value; at least one stays."""
        bound = self.bound()[0]
        slack = [bound - single[0].max() + single[0] for single in self.singles]
        return [(v, (each > value) | (each == each.max())) for v, each in enumerate(slack)]

    def keep(self, variable: int, stays: NDArray[np.bool_]) -> None:
        """Keep only these states of a variable."""
        _keep(variable, stays, self.singles, self.scopes, self.tables)
        for cost in self.costs:
            _keep(variable, stays, cost.singles, self.scopes, cost.tables)

    def bound(self) -> Array:
        """What no value of each problem exceeds as it stands, float64[n]."""
        bound: Array = self.constant + sum(single.max(axis=1) for single in self.singles)
        for table in self.tables:
            bound = bound + table.reshape(len(table), -1).max(axis=1)
        for k, cost in enumerate(self.costs):
            bound = bound + self.multipliers[:, k] * cost.limit
        return bound

    def _descend(self, sweeps: int) -> Array:
        """Message passing: each table shares the best that it allows evenly among its variables."""
        for _ in range(sweeps):
            for f, scope in enumerate(self.scopes):
                total = self.tables[f]
                for place, variable in enumerate(scope):
                    total = total + _along(self.singles[variable], place, len(scope))
                for place, variable in enumerate(scope):
                    others = tuple(1 + other for other in range(len(scope)) if other != place)
                    share = total.max(axis=others) / len(scope)
                    self.singles[variable] = share
                for place, variable in enumerate(scope):
                    total = total - _along(self.singles[variable], place, len(scope))
                self.tables[f] = total
        return self.bound()

    def _usual(self, k: int) -> Array:
        """A first size for λ_k: value at stake over cost at stake."""
        value = sum(np.ptp(single, axis=1) for single in self.singles) + 1e-12
        cost = sum(np.ptp(single, axis=1) for single in self.costs[k].singles)
        cost = cost + sum(np.ptp(t.reshape(len(t), -1), axis=1) for t in self.costs[k].tables if t is not None)
        return np.asarray(0.02 * value / np.maximum(cost, 1e-12))

    @property
    def _moves(self) -> list[tuple[int, bool]]:
        """What is tried in each round: each λ by itself and, of several, each with the others making up for it."""
        costs = range(len(self.costs))
        return [(k, together) for k in costs for together in ((False, True) if len(costs) > 1 else (False,))]

    def _make_up(self, k: int, before: Array, trial: Array) -> None:
        """Scale the others of a `trial` in which λ_k has changed, so that Σ λ |c| is as it was."""
        limits = np.array([abs(cost.limit) for cost in self.costs])
        others = np.arange(len(limits)) != k
        had = before[:, others] @ limits[others]
        left = had - (trial[:, k] - before[:, k]) * limits[k]
        trial[:, others] *= np.divide(np.maximum(left, 0), had, out=np.ones_like(had), where=had > 0)[:, None]

    def _move(self, multipliers: Array) -> None:
        """Set λ of each problem, `float64[n, costs]`."""
        for k, cost in enumerate(self.costs):
            change = multipliers[:, k] - self.multipliers[:, k]
            if not change.any():
                continue
            self.constant = self.constant - change * cost.constant
            self.singles = [s - change[:, None] * c for s, c in zip(self.singles, cost.singles, strict=True)]
            for f, table in enumerate(cost.tables):
                if table is not None:
                    self.tables[f] = self.tables[f] - change.reshape(-1, *[1] * (table.ndim - 1)) * table
        self.multipliers = multipliers


def tables_of(variables: Sequence[Variable], factors: Factors) -> tuple[float, dict[Scope, Array]]:
    """Constant of a sum, and one array over variable states for each scope."""
    owner = {axis: v for v, variable in enumerate(variables) for axis in variable.decisions}
    tables: dict[Scope, Array] = {}
    for term in factors.terms:
        scope = tuple(sorted({owner[axis] for axis in term.axes}))
        index = []
        for axis in term.axes:
            place = scope.index(owner[axis])
            variable = variables[scope[place]]
            column = variable.options[:, variable.decisions.index(axis)]
            index.append(column.reshape([-1 if p == place else 1 for p in range(len(scope))]))
        table = term.array[tuple(index)]
        tables[scope] = tables[scope] + table if scope in tables else table
    return factors.constant, tables


def _along(single: Array, place: int, arity: int) -> Array:
    """float64[n, K] laid along one axis of an [n, ...] table."""
    return single.reshape(len(single), *[-1 if other == place else 1 for other in range(arity)])


def _keep(
    variable: int,
    stays: NDArray[np.bool_],
    singles: list[Array],
    scopes: list[Scope],
    tables: MutableSequence[Array] | MutableSequence[Array | None],
) -> None:
    """Drop the other states of a variable, in place."""
    singles[variable] = singles[variable][:, stays]
    for f, scope in enumerate(scopes):
        table = tables[f]
        if variable in scope and table is not None:
            tables[f] = np.compress(stays, table, axis=1 + scope.index(variable))


def _conditioned(
    variable: int, n: int, singles: list[Array], scopes: list[Scope], tables: Sequence[Array | None]
) -> tuple[list[Array], list[Scope], list[Array | None]]:
    """Singles and tables of `n` problems from those of one, a variable being settled in each."""
    given = [np.repeat(single, n, axis=0) for single in singles]
    given[variable] = np.zeros((n, 1))
    kept: dict[Scope, Array | None] = {}
    for scope, table in zip(scopes, tables, strict=True):
        if variable not in scope:
            repeated = None if table is None else np.repeat(table, n, axis=0)
            before = kept.get(scope)
            kept[scope] = repeated if before is None else before if repeated is None else before + repeated
            continue
        rest = tuple(v for v in scope if v != variable)
        sliced = None if table is None else np.moveaxis(table[0], scope.index(variable), 0)
        if len(rest) == 1:
            if sliced is not None:
                given[rest[0]] = given[rest[0]] + sliced
        else:
            before = kept.get(rest)
            kept[rest] = sliced if before is None else before if sliced is None else before + sliced
    return given, list(kept), list(kept.values())

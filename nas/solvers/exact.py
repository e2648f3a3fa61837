"""The best architecture under bounds, with a proof: branch and bound over a relaxation.

Maximise V(g) subject to C_k(g) ≤ c_k, where V and every C_k are Factors. `nas.solvers.relaxation` gives an upper
bound for any part of the space. Each state of each variable is tried on its own: where its bound does not exceed the
best known architecture, it is gone. What is left is enumerated, or split and treated again.

A bound on a maximum (peak memory) is a matter of single places: what exceeds it there is gone before anything is
relaxed. Where two variables exceed it only together, the value of both is lowered by more than all that is at stake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from nas.controllers.evolution import Evolution
from nas.controllers.unique import Unique
from nas.cost.factors import Factors
from nas.errors import NasError, Unattainable
from nas.solvers.maxima import allowed_states, lower
from nas.solvers.relaxation import Array, Relaxation, Variable, group
from nas.space.index import GenotypeIndex
from nas.space.space import Population, Space

TOLERANCE = 1e-9
"""Values that differ by less are taken as equal."""
ENUMERATED = 1_000_000
"""Combinations that are listed rather than bounded."""
HEURISTIC_BUDGET = 60_000
"""Evaluations of the evolution that finds the first known architecture."""
WORK = 3_000_000_000
"""Entries of tables that are passed over before a proof is left off: about a minute on one core. A count and not a
time, so that how far it comes is the same on any day."""
ROUNDS, ROUNDS_OF_SEVERAL = (12, 6, 6), (48, 24, 4)
"""In which a part's bound is tightened at first, then again, and in which that of each state is; under one bound on a
sum, and under several: good multipliers are then hard to find, and states are gone sooner by them."""
LISTED_WORK = 16
"""What a combination that is listed costs, as so many entries."""


@dataclass(frozen=True)
class Solution:
    """An architecture and how good any could be."""

    genotype: NDArray[np.uint8]
    value: float
    upper_bound: float
    """No architecture within the bounds has a larger value."""
    proven: bool
    """Whether value and upper bound agree: the architecture is the best there is."""
    nodes: int
    """Relaxations solved."""
    seconds: float


def solve(
    space: Space,
    value: Factors,
    costs: Mapping[str, Factors],
    bounds: Mapping[str, float],
    *,
    known: Population | None = None,
    work: int = WORK,
    watch: Callable[[int], object] = lambda percent: None,
) -> Solution:
    """The architecture of largest value with every cost within its bound; costs and bounds may be negative.

    `known` are genotypes `uint8[N, D]` to start from; by default a short evolution finds some. `watch` is called with
    the share of the `work` that is done, in percent. When all of it is, the best found is returned with the upper bound
    reached by then. Raises what `attain` does, and `NasError` where the factors entangle too many decisions.
    """
    start = perf_counter()
    limits = [(costs[name], limit) for name, limit in bounds.items()]
    sums = [(cost, limit) for cost, limit in limits if cost.fold == "sum"]
    maxima = [(cost, limit) for cost, limit in limits if cost.fold == "max"]
    lowered = lower(value, maxima)
    population = evolved(space, value, limits) if known is None else known
    variables = group([lowered, *(cost for cost, _ in sums)])
    search = _Search(space, value, limits, variables, work, watch)
    search.meet(population)
    if search.best is None:
        search.meet(attain(space, costs, bounds, work=work)[None])
    assert search.best is not None
    relaxation, allowed = Relaxation.of(variables, lowered, sums), allowed_states(variables, maxima)
    for variable, stays in enumerate(allowed if maxima else ()):
        relaxation.keep(variable, stays)
    search.explore(relaxation, [np.flatnonzero(stays) for stays in allowed])
    watch(100)
    upper = float(search.value if search.complete else max(search.value, search.open_bound))
    proven = search.complete or upper <= search.value + TOLERANCE
    return Solution(search.best, search.value, upper, proven, search.nodes, perf_counter() - start)


def attain(
    space: Space, costs: Mapping[str, Factors], bounds: Mapping[str, float], *, work: int = WORK
) -> NDArray[np.uint8]:
    """An architecture `uint8[D]` within all bounds, whatever its value.

    Bounds on maxima are met first, by elimination. Then bound after bound is met by the least of that cost within the
    ones before, which is found, or proved to be too much, far more quickly than by looking for a value. Raises
    `Unattainable` where nothing meets the bounds, and `NasError` where neither is known after so much `work` for a
    bound.
    """
    met: dict[str, float] = {}
    found: NDArray[np.uint8] = space.sample(1, np.random.default_rng(0))[0]
    maxima: list[tuple[Factors, float]] = []
    for name, bound in bounds.items():
        if costs[name].fold == "max":
            within = costs[name].restricted(maxima)
            found = within.cheapest()
            least = float(within(found[None])[0])
            if least > bound:
                raise _out_of_reach(name, least - bound, bound, met, True)
            met[name] = bound
            maxima.append((costs[name], bound))
    for name, bound in bounds.items():
        if name not in met and costs[name](found[None])[0] > bound:
            solution = solve(space, costs[name] * -1.0, costs, met, known=found[None], work=work)
            found = solution.genotype
            if costs[name](found[None])[0] > bound:
                raise _out_of_reach(name, -solution.value - bound, bound, met, solution.proven)
        met[name] = bound
    return found


def _out_of_reach(name: str, excess: float, bound: float, met: Mapping[str, float], proven: bool) -> NasError:
    over = f"{100 * excess / max(abs(bound), 1e-12):.2g} %"
    others = f" within the {'bounds' if len(met) > 1 else 'bound'} on {' and '.join(met)}" if met else ""
    if proven:
        return Unattainable(
            f"No architecture meets all bounds together: the least {name}{others} is {over} over its own. "
            "Loosen one of them."
        )
    return NasError(
        f"No architecture that meets all bounds was found, nor a proof that there is none: the least {name}{others} "
        f"that was found is {over} over its own. Loosen one of them by as much."
    )


def evolved(space: Space, value: Factors, limits: Sequence[tuple[Factors, float]]) -> Population:
    """What a short evolution met, `uint8[n, D]`: some of it is good, and within the limits where that is easy."""
    maxima = [(cost, limit) for cost, limit in limits if cost.fold == "max"]
    cheapest = [cost.restricted(maxima).cheapest() for cost, _ in limits]
    start = np.stack(cheapest) if limits else space.sample(1, np.random.default_rng(0))
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(Evolution.sized(space, space.canonical(start), HEURISTIC_BUDGET), space, known)
    for batch in range(HEURISTIC_BUDGET // 500):
        before = len(known)
        population = controller.ask(500, np.random.default_rng([0, batch]))
        known.add(population)
        if len(known) == before:
            break
        excess = np.zeros(len(population))
        for cost, limit in limits:
            excess += np.maximum(cost(population) - limit, 0) / max(abs(limit), 1e-12)
        controller.tell(population, value(population)[:, None], excess)
    return known.genotypes()


class _Search:
    """The best architecture so far, and the parts of the space that are still open."""

    def __init__(
        self,
        space: Space,
        value: Factors,
        limits: Sequence[tuple[Factors, float]],
        variables: list[Variable],
        work: int,
        watch: Callable[[int], object],
    ) -> None:
        self._factors, self._limits, self._work = value, limits, work
        self._all_work, self._watch = work, watch
        self._width = len(space.decisions)
        self.variables = variables
        self.best: NDArray[np.uint8] | None = None
        self.value = -np.inf
        self.nodes = 0
        self.complete = True
        self.open_bound = -np.inf

    def meet(self, population: Population) -> None:
        """Keep the best genotype that meets the bounds."""
        meets = np.ones(len(population), dtype=bool)
        for cost, limit in self._limits:
            meets &= cost(population) <= limit
        values = np.where(meets, self._factors(population), -np.inf)
        if len(values) and values.max() > self.value:
            self.best, self.value = population[values.argmax()].copy(), float(values.max())

    def explore(self, relaxation: Relaxation, states: list[NDArray[np.int64]]) -> None:
        """Settle one part of the space: states left of each variable, and its relaxation."""
        bound = relaxation.bound()[0]
        first, again, each = ROUNDS if len(relaxation.costs) < 2 else ROUNDS_OF_SEVERAL
        if self._left_open(bound, relaxation.work(first)):
            return None
        bound = self._tighten(relaxation, rounds=first)[0]
        while bound > self.value + TOLERANCE:
            before = prod(map(len, states))
            if self._left_open(bound):
                return None
            if before <= ENUMERATED:
                return self._enumerate(states)
            for variable, stays in relaxation.states_above(self.value + TOLERANCE):
                states[variable] = states[variable][stays]
                relaxation.keep(variable, stays)
            for variable in sorted(range(len(states)), key=lambda v: len(states[v])):
                if len(states[variable]) > 1:
                    if self._left_open(bound, relaxation.work(each, len(states[variable]))):
                        return None
                    stays = self._tighten(relaxation.condition(variable), rounds=each) > self.value + TOLERANCE
                    if not stays.any():
                        return None
                    states[variable] = states[variable][stays]
                    relaxation.keep(variable, stays)
            bound = min(bound, self._tighten(relaxation, rounds=again)[0])
            if before / 8 < prod(map(len, states)) > ENUMERATED:
                return self._branch(relaxation, states, each)
        return None

    def _branch(self, relaxation: Relaxation, states: list[NDArray[np.int64]], rounds: int) -> None:
        variable = min((v for v in range(len(states)) if len(states[v]) > 1), key=lambda v: len(states[v]))
        bounds = self._tighten(relaxation.condition(variable), rounds)
        for place in np.argsort(-bounds, kind="stable"):
            if bounds[place] > self.value + TOLERANCE:
                only = np.arange(len(bounds)) == place
                part = relaxation.copy()
                part.keep(variable, only)
                self.explore(part, [s[only] if v == variable else s.copy() for v, s in enumerate(states)])

    def _left_open(self, bound: float, needed: int = 0) -> bool:
        """Whether the work is used up, or would be by this much: a part with this bound is then left as it is."""
        if self._work >= needed:
            return False
        self.complete = False
        self.open_bound = max(self.open_bound, bound)
        return True

    def _tighten(self, relaxation: Relaxation, rounds: int) -> Array:
        self.nodes += len(relaxation.constant)
        self._work -= relaxation.work(rounds)
        self._watch(100 - 100 * max(0, self._work) // max(1, self._all_work))
        return relaxation.tighten(rounds)

    def _enumerate(self, states: list[NDArray[np.int64]]) -> None:
        counts = [len(s) for s in states]
        self._work -= prod(counts) * LISTED_WORK
        for start in range(0, prod(counts), 1 << 16):
            flat = np.arange(start, min(start + (1 << 16), prod(counts)))
            population = np.zeros((len(flat), self._width), dtype=np.uint8)
            for variable, state, place in zip(self.variables, states, np.unravel_index(flat, counts), strict=True):
                population[:, variable.decisions] = variable.options[state[place]]
            self.meet(population)

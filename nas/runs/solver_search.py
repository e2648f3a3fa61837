"""SolverSearch: the best architecture at once and with a proof; proofs of what others found."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from nas.cost.cost import latencies_of
from nas.errors import NasError, Unattainable
from nas.runs.ledger import Ledger
from nas.runs.plan import Plan
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.result import Proof
from nas.runs.search_method import Searched
from nas.solvers import SOLVERS
from nas.solvers.exact import TOLERANCE, WORK, Solution, evolved, solve
from nas.system.teller import Teller

SHORT_WORK = 150_000_000
"""Of a proof that nobody asked for, for each bound: 2 to 4 s, in which those on `mobile` are mostly settled."""

FASTER = 0.04
"""By this share each finalist of a race is faster than the one before: measured on a device, the best by the table may
be late."""


class SolverSearch:
    """A search by a solver."""

    def __init__(self, request: Request, problem: Problem, teller: Teller) -> None:
        self._raced = request.raced
        self._solve = SOLVERS[request.controller].load()
        self._problem = problem
        self._teller = teller

    def search(self, plan: Plan, ledger: Ledger) -> Searched:
        """The best architecture there is, into the ledger; before a race also the best that are faster."""
        problem, start = self._problem, perf_counter()
        factors, bounds = problem.factors, problem.objective.bounds
        solution = self._solve(problem.space, problem.value_factors, factors, bounds, watch=_told(self._teller))
        if not ledger.blocks:  # else it was recorded before, and what follows was not done
            found = np.stack([solution.genotype, *self._faster(solution.genotype)])
            ledger.append(problem.space.canonical(found), problem.objective.measure)
            ledger.sync()
        return Searched(perf_counter() - start, _proof(problem, solution, solution.value))

    def _faster(self, first: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The best genotypes that are faster than the one before on every target, as far as there are some."""
        problem, found = self._problem, [first]
        bounds = dict(problem.objective.bounds)
        while len(found) < self._raced:
            for name in latencies_of(bounds):
                bounds[name] = (1 - FASTER) * float(problem.factors[name](found[-1][None])[0])
            try:
                answer = solve(problem.space, problem.value_factors, problem.factors, bounds, work=SHORT_WORK)
            except Unattainable:
                break
            found.append(answer.genotype)
        return found[1:]

    def take_part(self, plan: Plan) -> None:
        """Train the supernet that the accuracy is measured with, where there is one."""
        if self._problem.weights is not None:
            self._problem.weights.train()


def _told(teller: Teller) -> Callable[[int], None]:
    """What tells of a solver's progress, in percent of the work that it may do at most."""
    return lambda percent: teller.progress(percent, 100, "proof")


def prove(
    problem: Problem, request: Request, winner: NDArray[np.uint8], teller: Teller
) -> tuple[NDArray[np.uint8], Proof | None]:
    """The better of a search's winner `uint8[D]` and what a proof that starts from it finds, and the proof.

    Without one where the request leaves it out, where there is nothing to prove by, or where the factors entangle too
    many decisions; raises `NasError` for these where it was asked for.
    """
    if request.prove is False or request.goal != "bound" or not problem.provable:
        return winner, None
    space, value, factors, bounds = problem.space, problem.value_factors, problem.factors, problem.objective.bounds
    work, watch = WORK if request.prove else SHORT_WORK * len(bounds), _told(teller)
    try:
        others = evolved(space, value, [(factors[name], bound) for name, bound in bounds.items()])
        known = np.concatenate([space.canonical(winner[None]), others])
        solution = solve(space, value, factors, bounds, known=known, work=work, watch=watch)
    except NasError:
        if request.prove:
            raise
        return winner, None
    proof = _proof(problem, solution, float(value(known[:1])[0]))
    better = proof.improved_by is not None
    return (space.canonical(solution.genotype[None])[0] if better else winner), proof


def _proof(problem: Problem, solution: Solution, found: float) -> Proof:
    """A solution as it stands in results; `found` is the value that the search had come to."""
    ahead = solution.value - found
    proof = Proof(
        upper_bound=solution.upper_bound,
        gap=max(0.0, solution.upper_bound - solution.value),
        proven=solution.proven,
        nodes=solution.nodes,
        seconds=solution.seconds,
        improved_by=ahead if ahead > TOLERANCE else None,
    )
    objective = problem.objective
    return proof.model_copy(update={"verdict": proof.told(objective.accuracy.label, len(objective.bounds))})

"""SolverSearch: the best architecture at once and with a proof; proofs of what others found."""

from __future__ import annotations

from time import perf_counter

from nas.runs.ledger import Ledger
from nas.runs.plan import Plan
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.result import Found, Proof
from nas.runs.search_method import Searched
from nas.solvers import SOLVERS
from nas.solvers.exact import Solution, solve


class SolverSearch:
    """A search by a solver."""

    def __init__(self, request: Request, problem: Problem) -> None:
        self._solve = SOLVERS[request.controller]
        self._problem = problem

    def search(self, plan: Plan, ledger: Ledger) -> Searched:
        """The best architecture there is, into the ledger."""
        problem, start = self._problem, perf_counter()
        solution = self._solve(problem.space, problem.value_factors, problem.factors, problem.objective.bounds)
        if not ledger.blocks:  # else it was recorded before, and what follows was not done
            ledger.append(problem.space.canonical(solution.genotype[None]), problem.objective.measure)
            ledger.sync()
        return Searched(perf_counter() - start, proof_of(solution))

    def take_part(self, plan: Plan) -> None:
        """There is nothing to train."""


def prove(problem: Problem, winner: Found) -> Proof:
    """How much better than a winner any architecture within the bounds could be."""
    known = problem.space.canonical(problem.space.encode([winner.decisions]))
    return proof_of(
        solve(problem.space, problem.value_factors, problem.factors, problem.objective.bounds, known=known),
        winner.accuracy,
    )


def proof_of(solution: Solution, found: float | None = None) -> Proof:
    """A solution as it stands in results; the gap is that of `found`, or of the solution itself."""
    return Proof(
        upper_bound=solution.upper_bound,
        gap=max(0.0, solution.upper_bound - (solution.value if found is None else found)),
        proven=solution.proven,
        nodes=solution.nodes,
        seconds=solution.seconds,
    )

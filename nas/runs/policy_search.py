"""PolicySearch: from a problem to a trained policy and the architecture that it amounts to within the bounds."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, fields
from typing import cast

import torch

from nas.errors import Interrupted
from nas.policies import POLICIES, check_policy
from nas.policies.bound import Bounds, Tightest
from nas.policies.descent import Descent, Record, derive
from nas.runs.ledger import Ledger
from nas.runs.plan import Plan
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.result import Policy
from nas.runs.search_method import Searched
from nas.solvers.exact import attain
from nas.supernet.shared_weights import SharedWeights
from nas.supernet.training import WeightTraining
from nas.system.atomic import write_atomic
from nas.system.interrupt import Stopwatch, interruptible
from nas.system.teller import Teller, stage

PACE_STEPS = 4


class PolicySearch:
    """The policy that a request names, on the weights that its problem has.

    Raises `NasError` where the policy cannot search the problem's space, `Unattainable` where nothing meets all
    bounds, and `NasError` where that is not known: training would then end with nothing to show.
    """

    def __init__(self, request: Request, problem: Problem, teller: Teller) -> None:
        check_policy(request.controller, problem.space)
        attain(problem.space, problem.factors, problem.objective.bounds)
        self._request = request
        self._problem = problem
        self._teller = teller
        self._weights = cast(SharedWeights, problem.weights)

    def steps_in(self, seconds: float) -> int:
        """Steps that fit into a time, by the pace of a few of them on weights that are then thrown away."""
        self._weights.plan(1_000)
        descent = self._descent(self._weights.fresh_training())
        descent.first = 0
        descent.advance(0)
        team = self._weights.team
        with interruptible() as interrupted:
            watch, timed = Stopwatch(interrupted), 0
            while timed < PACE_STEPS:
                descent.advance(timed + 1)
                timed += watch.lap()
                if team.any(interrupted()):
                    raise Interrupted("nothing was trained yet.")
        pace = team.sums([watch.seconds / timed])[0] / team.count  # the same for all processes
        return max(1, round(seconds / pace))

    def take_part(self, plan: Plan) -> None:
        """Train with the process that searches."""
        self._train(plan.planned or self.steps_in(self._problem.seconds or 0))

    def _train(self, planned: int) -> tuple[float, Descent]:
        """Train, or go on, to the planned step; returns seconds and what was trained."""
        self._weights.plan(planned)
        stage(self._teller, "search")
        descent = self._descent(self._weights.training)
        with interruptible() as interrupted:
            seconds = descent.run(self._teller, interrupted)
        self._weights.are_trained()
        return seconds, descent

    def search(self, plan: Plan, ledger: Ledger) -> Searched:
        """Train, then take the policy's best architecture into the ledger; its curves become policy.csv."""
        planned = plan.planned or plan.become(self.steps_in(self._problem.seconds or 0))
        seconds, descent = self._train(planned)
        problem = self._problem
        derived = derive(problem.space, descent.policy, problem.factors, problem.objective.bounds)
        write_atomic(plan.run.path / "policy.csv", _csv(descent.records))
        if not ledger.blocks:
            ledger.append(problem.space.canonical(derived.solution.genotype[None]), problem.objective.measure)
            ledger.sync()
        last = descent.records[-1]
        losses = [record.loss for record in descent.records if record.step > 0.9 * planned]
        policy = Policy(
            steps=planned,
            argmax=problem.space.choices(derived.argmax),
            argmax_ms=next(iter(derived.argmax_ms.values())),
            expected_ms=next(iter(derived.expected_ms.values())),
            argmax_latencies={table.name: derived.argmax_ms[key] for key, table in problem.tables.items()},
            expected_latencies={table.name: derived.expected_ms[key] for key, table in problem.tables.items()},
            changed=derived.changed,
            decisions=len(problem.space.decisions),
            floored=derived.floored,
            proven=derived.solution.proven,
            entropy=last.entropy,
            skips=last.skips,
            loss=sum(losses) / len(losses),
            probabilities=_probabilities(descent),
        )
        return Searched(seconds, policy=policy)

    def _descent(self, training: WeightTraining) -> Descent:
        problem, request = self._problem, self._request
        limits = [(problem.factors[key], problem.objective.bounds[key]) for key in problem.tables]
        policy = POLICIES[request.controller](problem.space, training.supernet, Tightest(limits), limits[0][1])
        return Descent(training, policy.to(training.device), Bounds(problem.factors, problem.objective.bounds))


@torch.no_grad()
def _probabilities(descent: Descent) -> dict[str, list[float]]:
    decisions = descent.policy.space.decisions
    return {
        decision.name: [round(float(p), 4) for p in chances]
        for decision, chances in zip(decisions, descent.policy.probabilities(), strict=True)
    }


def _csv(records: list[Record]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Record)])
    writer.writerows(astuple(record) for record in records)
    return text.getvalue()

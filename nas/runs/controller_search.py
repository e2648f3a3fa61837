"""ControllerSearch: ask → measure → judge → tell, until what is planned is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from nas.accuracy.evaluator import Spread
from nas.controllers import make_controller
from nas.controllers.controller import Controller, Ending
from nas.controllers.unique import SMALL, Unique
from nas.errors import Interrupted
from nas.runs.ledger import Ledger
from nas.runs.plan import Plan
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.search_method import Searched
from nas.runs.standing import Standing
from nas.system.interrupt import Stopwatch, interruptible
from nas.system.teller import Teller, stage

if TYPE_CHECKING:
    from nas.supernet.shared_weights import SharedWeights

MOST_PER_BATCH = 1_000
WARM_UP_SECONDS = 0.5

Progress = Callable[[int, int | None, str], None]
"""Called after each batch with the evaluations asked for so far and in all (None while that is measured), and a word
on how good they are."""


class ControllerSearch:
    """A search by a controller that asks and is told."""

    def __init__(self, request: Request, problem: Problem, progress: Progress, teller: Teller) -> None:
        self._request = request
        self._problem = problem
        self._progress = progress
        self._teller = teller
        self._controller = make_controller(
            request.controller, problem.space, problem.initial, problem.planned, problem.objective.excess
        )

    def search(self, plan: Plan, ledger: Ledger) -> Searched:
        """Tell the controller what the ledger has, then go on to the planned number."""
        request, problem, objective = self._request, self._problem, self._problem.objective
        if plan.together is not None and request.batch is None:
            self._teller.say(f"as many evaluations are asked for at once as there are workers: --batch {plan.together}")
        controller = Unique(self._controller, problem.space, ledger.index)
        standing = Standing(objective)
        asked = 0
        for population, measures in ledger.replay():
            judged = objective.judge(measures)
            controller.tell(population, *judged)
            standing.update(*judged)
            asked += len(population)
        first = 0 if isinstance(objective.accuracy, Spread) else 1  # workers would wait for one
        objective.accuracy(problem.initial[:first])  # what is prepared at the first call is not part of the pace
        stage(self._teller, "search")
        with interruptible() as interrupted:
            watch, timed = Stopwatch(interrupted), 0  # what was asked for in the seconds of the watch
            while not _ended(self._controller) and (plan.planned is None or asked < plan.planned):
                n = _batch_size(plan, asked, len(ledger.blocks))
                population = controller.ask(n, np.random.default_rng([request.seed, len(ledger.blocks)]))
                before = len(ledger)
                judged = objective.judge(ledger.append(population, objective.measure))
                controller.tell(population, *judged)
                asked += n
                timed += n * watch.lap()
                if plan.planned is None and watch.seconds > WARM_UP_SECONDS:
                    plan.become(max(asked, int(timed * (problem.seconds or 0) / watch.seconds)))
                plan.run.check_present()
                self._progress(asked, plan.planned, standing.update(*judged))
                if len(ledger) == before and problem.space.size <= SMALL:
                    break  # every network of the space has been evaluated
                if interrupted():
                    ledger.sync()
                    raise Interrupted(f"{len(ledger):,} evaluations are kept.")
        ledger.sync()
        return Searched(watch.seconds)

    def take_part(self, plan: Plan) -> None:
        """Train the supernet that evaluates."""
        cast("SharedWeights", self._problem.weights).train()


def _ended(controller: Controller) -> bool:
    return isinstance(controller, Ending) and controller.ended


def _batch_size(plan: Plan, asked: int, batches: int) -> int:
    """A two-hundredth of the plan, within 1..1,000; doubled from 1 on while a time is yet to become a plan. Or what was
    settled."""
    if plan.together is not None:
        return plan.together if plan.planned is None else min(plan.together, plan.planned - asked)
    if plan.planned is None:
        return min(MOST_PER_BATCH, 1 << min(batches, 10))
    return min(MOST_PER_BATCH, max(1, plan.planned // 200), plan.planned - asked)

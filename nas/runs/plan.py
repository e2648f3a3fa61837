"""Plan: what a run rests on and how much of it is to be done, as setup.json keeps it from before the first ask."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import numpy as np

import nas
from nas.accuracy.evaluator import Spread
from nas.devices.names import device_name
from nas.errors import RunError
from nas.runs.past import SHARED_SHARE, WHOLE_SHARE
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.result import Chosen
from nas.runs.run import Run
from nas.system import ranks

FILE = "setup.json"

USUAL_SECONDS = 900.0
"""For a search on pictures where no time was given: what fits into it is chosen by that."""

TUNE_SHARES = {"supernet": 0.6, "prior": 0.8}
"""Of it, by the accuracy that was chosen: training before the first evaluation takes so much."""

_RESTS_ON = {
    "space": "the search space",
    "table": "the latency table",
    "accuracy": "what accuracy is estimated from",
    "bounds": "the bound",
}


def stages(request: Request, chosen: Chosen | None, network: bool = False) -> dict[str, float | None]:
    """The stages of a search, of a trained `network` or not, and about how long each takes, in seconds; None where it
    takes what it takes."""
    given = request.before_race.seconds or (USUAL_SECONDS if chosen else None)
    accuracy = (request if chosen is None else chosen.applied(request)).accuracy or ("supernet" if request.data else "")
    kind = accuracy.partition(":")[0]
    tuned = kind in TUNE_SHARES and accuracy != "prior:0" and not request.learns
    share = TUNE_SHARES[kind] if chosen and tuned else 0.0
    if network:
        tuned, share = True, WHOLE_SHARE + (0 if request.learns else SHARED_SHARE)
    return {
        **({"profile": None} if any(device_name(aim.target) is not None for aim in request.aims) else {}),
        **({"tune": share * given if share and given else None} if tuned else {}),
        "search": None if given is None else (1 - share) * given,
        **({"race": request.race_seconds} if request.raced else {}),
    }


@dataclass
class Plan:
    """How much of a search is to be done, in all of its processes and however often it is gone on with."""

    run: Run
    planned: int | None
    """Evaluations to ask for, or steps of a policy; None while a time is yet to become a number."""
    together: int | None
    """Evaluations that are asked for together, where that does not follow from `planned`."""

    @classmethod
    def settled(cls, run: Run, problem: Problem, chosen: Chosen | None = None) -> Plan:
        """Recorded in setup.json with what was chosen for the search or, in a run that is gone on with, read there.

        Raises `RunError` where what the run rests on has changed since.
        """
        prints = [table.fingerprint for table in problem.tables.values()]
        setup: dict[str, Any] = {
            "space": problem.space.fingerprint,
            "table": prints if len(prints) > 1 else prints[0],
            "accuracy": problem.objective.accuracy.fingerprint,
            "bounds": dict(problem.objective.bounds),
            "planned": problem.planned,
            "batch": None,
            **({} if chosen is None else {"chosen": chosen.model_dump()}),
            "versions": {"nas": nas.__version__, "numpy": np.__version__, "python": platform.python_version()},
        }
        before = run.read(FILE)
        if before is None:
            if ranks.rank():
                raise RunError(f"{run.path}: all processes read --out, and {FILE} is not there.")
            setup["batch"] = _at_once(run.request.batch, problem)
            run.write(FILE, setup)
            return cls(run, problem.planned, setup["batch"])
        for name, what in _RESTS_ON.items():
            if before.get(name) != setup[name]:
                raise RunError(
                    f"{run.path}: {what} has changed since this run began. Start a new one with another --out."
                )
        for name in ("planned", "batch"):
            value = before.get(name)
            if value is not None and type(value) is not int:
                raise RunError(f"{run.path}/{FILE}: `{name}` is a whole number or null, got {value!r}.")
        return cls(run, before.get("planned"), before.get("batch"))

    def become(self, planned: int) -> int:
        """The number that a time has become, recorded."""
        self.planned = planned
        self.run.amend(FILE, planned=planned)
        return planned


def _at_once(asked: int | None, problem: Problem) -> int | None:
    """As many as asked for, else as there are workers, within a quarter of the plan: what a controller is not told it
    cannot learn from. None where there is one worker."""
    accuracy = problem.objective.accuracy
    most = accuracy.at_once if isinstance(accuracy, Spread) else 1
    if asked is not None or most == 1:
        return asked
    return most if problem.planned is None else max(1, min(most, problem.planned // 4))

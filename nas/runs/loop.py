"""search(): from a request to a run folder with a winner. The loop is ask → measure → judge → tell."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import nas
from nas.accuracy.evaluator import Spread
from nas.controllers import CONTROLLERS
from nas.controllers.unique import SMALL, Unique
from nas.devices.names import device_name
from nas.errors import Alone, Interrupted, NasError, RunError
from nas.runs.ledger import Ledger
from nas.runs.problem import Problem, Subject
from nas.runs.request import Request
from nas.runs.request_folder import check_present, code_option, resumable
from nas.runs.result import Verified, conclude, proof_of, prove
from nas.runs.run import Run
from nas.runs.standing import Standing
from nas.solvers.exact import solve
from nas.system import ranks
from nas.system.atomic import write_atomic
from nas.system.interrupt import Stopwatch, interruptible
from nas.system.teller import Silent, Teller
from nas.workers import Workers, check_workers, make_workers

if TYPE_CHECKING:
    from nas.accuracy.shared import Shared
    from nas.runs.policy_search import PolicySearch
    from nas.training.processes import Processes

MOST_PER_BATCH = 1_000
WARM_UP_SECONDS = 0.5

_RESTS_ON = {
    "space": "the search space",
    "table": "the latency table",
    "accuracy": "what accuracy is estimated from",
    "bounds": "the bound",
}

Progress = Callable[[int, int | None, str], None]
"""Called after each batch with the evaluations asked for so far and in all (None while that is measured), and a word
on how good they are."""


def search(
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    teller: Teller | None = None,
    workers: str | None = None,
    **request: Any,
) -> Run:
    """Search, and return the run. Keywords are those of `nas.runs.request.Request`: space, target, latency_ms, seed, …

    The run is written to `out`, by default `runs/SPACE-TARGET-N`. `workers` is `ray` or `ray:ADDRESS`; where something
    is evaluated is no part of the request. Raises `NasError` for a wrong request,
    `Unattainable` where no architecture meets the bounds, `Interrupted` after SIGINT, SIGTERM or SIGHUP.
    """
    path = Path(out) if out is not None else None
    if workers is not None:
        check_workers(workers)
    run = Run.resume(path, request) if resume else Run.create(path, Request(**request))
    return carry_out(run, progress or (lambda done, total, note: None), teller or Silent(), workers)


def carry_out(run: Run, progress: Progress, teller: Teller, workers: str | None = None) -> Run:
    """Search in a run folder, from wherever it stands, to its result and report; then let other processes in. `workers`
    as in `search`.

    Where the target is a device, its table is profiled first if there is none, and the winner is measured at the end.
    Of several processes the first does it all; the others train the supernet with it.
    """
    try:
        if not run.finished:
            option = code_option(run.request.data) + (f" --workers {workers}" if workers else "")
            with resumable(run.path, "nas search", option):
                _work(run, progress, teller, workers)
        from nas.report import FILE, attempt_report

        if not ranks.rank() and not (run.path / FILE).is_file():
            attempt_report(run, teller)
    finally:
        run.release()
    return run


def _work(run: Run, progress: Progress, teller: Teller, workers: str | None) -> None:
    try:
        with _team(run.request) as team, closing(make_workers(workers, teller)) as opened:
            if team is None or team.first:
                _carry_out(run, progress, teller, opened, team)
            else:
                _take_part(run, team)
    except NasError:
        if not ranks.rank():
            run.discard_unless_begun()
        raise


@contextmanager
def _team(request: Request) -> Iterator[Processes | None]:
    """The processes that torchrun started; None is this one alone, which needs no torch for it."""
    if ranks.count() == 1:
        yield None
        return
    if not request.inherits:
        raise NasError(
            "Several processes train a supernet together, and this search trains none. Start it without torchrun."
        )
    from nas.training.processes import joined

    with joined() as team:
        yield team


def _carry_out(run: Run, progress: Progress, teller: Teller, workers: Workers, team: Processes | None) -> None:
    subject = Subject.load(run.request, teller)
    load = partial(
        Problem.load, run.request, subject=subject, folder=run.path, teller=teller, workers=workers, processes=team
    )
    if device_name(run.request.target) is None:
        _search(run, load(), progress, None, teller, team)
        return
    from nas.profiler import bench  # only for devices: it imports what a table search has no use for

    with bench.attached(run.request.target) as device:
        bench.have_table(run.request.target, subject.space, device, teller)
        problem = load()
        verified = partial(bench.verify, table=problem.table, device=device, teller=teller)
        _search(run, problem, progress, verified, teller, team)


def _take_part(run: Run, team: Processes) -> None:
    """Train with the first process, which has decoded, measured and set up everything before, and goes on alone."""
    team.wait()
    try:
        if run.read("setup.json") is None:
            raise RunError(f"{run.path}: all processes read --out, and setup.json is not there.")
        problem = Problem.load(run.request, folder=run.path, processes=team)
        planned, _ = _set_up(run, problem)
        search = _policy_search(run.request, problem) if run.request.learns else None
    except NasError as problem_here:
        raise Alone(f"Process {team.rank}: {problem_here}") from None
    team.wait()
    if search is not None:
        search.train(planned or search.steps_in(run.request.seconds or 0), Silent())
    else:
        cast("Shared", problem.objective.accuracy).train()


def _search(
    run: Run,
    problem: Problem,
    progress: Progress,
    verified: Verified | None,
    teller: Teller,
    team: Processes | None,
) -> None:
    descent = _policy_search(run.request, problem) if run.request.learns else None
    planned, together = _set_up(run, problem)
    if together is not None and run.request.batch is None:
        teller.say(f"as many evaluations are asked for at once as there are workers: --batch {together}")
    ledger = Ledger.open(run.path / "ledger.bin", problem.space.cardinalities, problem.objective.columns)
    try:
        if team is not None:
            team.wait()  # what the others read is on the disk now
            team.wait()  # and they have read it
        before, proof, policy = len(ledger), None, None
        if run.request.controller == "exact":
            seconds, proof = _solve(problem, ledger)
        elif descent is not None:
            seconds, policy = _descend(run, problem, descent, ledger, planned, teller)
        else:
            seconds = _loop(run, problem, ledger, planned, together, progress)
        pace = {"seconds": seconds, "archs_per_second": (len(ledger) - before) / max(seconds, 1e-9)}
        result = conclude(run, problem, ledger, verified)
        if run.request.prove:
            proof = prove(problem, result["winner"])
        run.write("result.json", result | pace | {"proof": proof, "policy": policy})
    except RunError:
        check_present(run.path)  # where it is gone, that is what happened
        raise
    finally:
        ledger.close()


def _set_up(run: Run, problem: Problem) -> tuple[int | None, int | None]:
    """Record what this run rests on, or compare it when the run is resumed; returns the evaluations planned, and how
    many are asked for together where that does not follow from the plan."""
    setup: dict[str, Any] = {
        "space": problem.space.fingerprint,
        "table": problem.table.fingerprint,
        "accuracy": problem.objective.accuracy.fingerprint,
        "bounds": dict(problem.objective.bounds),
        "planned": problem.planned,
        "batch": None,
        "versions": {"nas": nas.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }
    before = run.read("setup.json")
    if before is None:
        setup["batch"] = _at_once(run.request.batch, problem)
        run.write("setup.json", setup)
        return problem.planned, setup["batch"]
    for name, what in _RESTS_ON.items():
        if before.get(name) != setup[name]:
            raise RunError(f"{run.path}: {what} has changed since this run began. Start a new one with another --out.")
    planned, together = before.get("planned"), before.get("batch")
    for name, value in {"planned": planned, "batch": together}.items():
        if value is not None and type(value) is not int:
            raise RunError(f"{run.path}/setup.json: `{name}` is a whole number or null, got {value!r}.")
    return planned, together


def _at_once(asked: int | None, problem: Problem) -> int | None:
    """As many as asked for, else as there are workers, within a quarter of the plan: what a controller is not told it
    cannot learn from. None where there is one worker."""
    accuracy = problem.objective.accuracy
    most = accuracy.at_once if isinstance(accuracy, Spread) else 1
    if asked is not None or most == 1:
        return asked
    return most if problem.planned is None else max(1, min(most, problem.planned // 4))


def _loop(
    run: Run, problem: Problem, ledger: Ledger, planned: int | None, together: int | None, progress: Progress
) -> float:
    """Tell the controller what the ledger has, then go on to the planned number; returns seconds of searching."""
    request, objective = run.request, problem.objective
    inner = CONTROLLERS[request.controller](problem.space, problem.initial, problem.planned)
    controller = Unique(inner, problem.space, ledger.index)
    standing = Standing(objective)
    asked = 0
    for population, measures in ledger.replay():
        judged = objective.judge(measures)
        controller.tell(population, *judged)
        standing.update(*judged)
        asked += len(population)
    first = 0 if isinstance(objective.accuracy, Spread) else 1  # workers would wait for one
    objective.accuracy(problem.initial[:first])  # what is prepared at the first call is not part of the pace
    with interruptible() as interrupted:
        watch, timed = Stopwatch(interrupted), 0  # what was asked for in the seconds of the watch
        while planned is None or asked < planned:
            n = _batch_size(planned, asked, len(ledger.blocks), together)
            population = controller.ask(n, np.random.default_rng([request.seed, len(ledger.blocks)]))
            before = len(ledger)
            judged = objective.judge(ledger.append(population, objective.measure))
            controller.tell(population, *judged)
            asked += n
            timed += n * watch.lap()
            if planned is None and watch.seconds > WARM_UP_SECONDS:
                planned = max(asked, int(timed * (request.seconds or 0) / watch.seconds))
                run.amend("setup.json", planned=planned)
            check_present(run.path)
            progress(asked, planned, standing.update(*judged))
            if len(ledger) == before and problem.space.size <= SMALL:
                break  # every network of the space has been evaluated
            if interrupted():
                ledger.sync()
                raise Interrupted(f"{len(ledger):,} evaluations are kept.")
    ledger.sync()
    return watch.seconds


def _batch_size(planned: int | None, asked: int, batches: int, together: int | None) -> int:
    """A two-hundredth of the plan, within 1..1,000; doubled from 1 on while a time is yet to become a plan. Or what was
    settled."""
    if together is not None:
        return together if planned is None else min(together, planned - asked)
    if planned is None:
        return min(MOST_PER_BATCH, 1 << min(batches, 10))
    return min(MOST_PER_BATCH, max(1, planned // 200), planned - asked)


def _solve(problem: Problem, ledger: Ledger) -> tuple[float, dict[str, Any]]:
    """The best architecture there is, into the ledger; returns seconds and the proof."""
    start = perf_counter()
    solution = solve(problem.space, problem.value_factors, problem.factors, problem.objective.bounds)
    if not ledger.blocks:  # else it was recorded before, and what follows was not done
        ledger.append(problem.space.canonical(solution.genotype[None]), problem.objective.measure)
        ledger.sync()
    return perf_counter() - start, proof_of(solution)


def _policy_search(request: Request, problem: Problem) -> PolicySearch:
    from nas.runs.policy_search import PolicySearch  # brings torch

    return PolicySearch(request, problem)


def _descend(
    run: Run, problem: Problem, search: PolicySearch, ledger: Ledger, planned: int | None, teller: Teller
) -> tuple[float, dict[str, Any]]:
    """Train a policy and its supernet, then take the policy's best architecture into the ledger; returns seconds and
    what became of the policy."""
    if planned is None:
        planned = search.steps_in(run.request.seconds or 0)
        run.amend("setup.json", planned=planned)
    seconds, genotype, told = search.run(planned, teller)
    write_atomic(run.path / "policy.csv", told.pop("csv"))
    if not ledger.blocks:
        ledger.append(problem.space.canonical(genotype[None]), problem.objective.measure)
        ledger.sync()
    return seconds, told

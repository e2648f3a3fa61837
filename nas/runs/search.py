"""carry_out(): a search in a run folder, from wherever it stands to its result.

load → set up → search, by one of three methods (`nas.runs.search_method`) → conclude: result.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.blocks.precision import EIGHT_BIT
from nas.controllers import find_controller
from nas.devices.names import device_name
from nas.errors import NasError, RunError
from nas.policies import check_policy
from nas.runs.clock import Clock, Clocks
from nas.runs.conclude import Quantise, conclude
from nas.runs.controller_search import ControllerSearch, Progress
from nas.runs.ledger import Ledger
from nas.runs.plan import Plan, stages
from nas.runs.problem import Problem, Subject, load_tables
from nas.runs.request import Request
from nas.runs.run import Run
from nas.runs.search_method import SearchMethod
from nas.runs.solver_search import SolverSearch
from nas.runs.together import first_before_others, together
from nas.space.space import Space
from nas.system import ranks
from nas.system.lazy import load
from nas.system.teller import Silent, Staged, Teller
from nas.tables.table import LatencyTable
from nas.workers import make_workers

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture
    from nas.formats.winner import Origin

TO_INT8 = "nas.export.int8:to_int8"
"""Brings torch and ONNX Runtime."""


def carry_out(
    run: Run,
    progress: Progress,
    teller: Teller,
    workers: str | None = None,
    then: Callable[[Run, Teller], object] = lambda run, teller: None,
) -> Run:
    """Search in a run folder to its result, do what comes `then`, and let other processes in.

    `workers` is `ray` or `ray:ADDRESS`. Of several processes the first does it all; the others train with it.
    """
    first = not ranks.rank()
    try:
        if not run.finished:
            with run.resumable(f" --workers {workers}" if workers else ""):
                try:
                    _search(run, progress, teller if first else Silent(), workers)
                except NasError:
                    if first:
                        run.discard_unless_begun()
                    raise
        if first:
            then(run, teller)
    finally:
        run.release()
    return run


def _search(run: Run, progress: Progress, teller: Teller, workers: str | None) -> None:
    """Do this process's part of the search."""
    request = run.request.before_race
    with ExitStack() as stack:
        team = stack.enter_context(together(request))
        opened = stack.enter_context(closing(make_workers(workers, teller)))
        with first_before_others(team):
            subject = Subject.load(request, teller)
            _check_method(request, subject.space)
            held: list[Clock | None] = []

            def tables() -> list[LatencyTable]:
                """Those of the targets; of devices, which are held until the end, measured where there are none yet."""
                if team is None or team.first:
                    held[:] = [stack.enter_context(_device(aim.target, subject.space, teller)) for aim in request.aims]
                return load_tables(request, subject.space)

            chosen = None
            if subject.data is not None:
                from nas.runs.choice import chosen_for  # brings scipy

                chosen = chosen_for(run, subject, team, opened, teller)
                request = request if chosen is None else chosen.applied(request)
            if isinstance(teller, Staged):
                teller.stages(stages(run.request, chosen, subject.network is not None))
            problem = Problem.load(
                request, subject=subject, folder=run.path, teller=teller, workers=opened, processes=team, tables=tables
            )
            method = _method(request, problem, progress, teller)
            plan = Plan.settled(run, problem, chosen)
        if team and not team.first:
            method.take_part(plan)
            return
        try:
            with closing(
                Ledger.open(run.path / "ledger.bin", problem.space.cardinalities, problem.objective.columns)
            ) as ledger:
                before = len(ledger)
                searched = method.search(plan, ledger)
                evaluated = len(ledger) - before
                clocks = {key: clock for key, clock in zip(problem.tables, held, strict=False) if clock is not None}
                course = None
                if run.request.raced and subject.data is not None:
                    from nas.runs.race import Course  # brings torch

                    course = Course(run.request, problem, subject.data, run.path, opened, teller, clocks)
                quantise = _quantise(run.request, subject, problem.space, clocks, teller)
                result = conclude(run, problem, ledger, searched, evaluated, teller, clocks, chosen, course, quantise)
                run.write("result.json", result.to_json())
                if course is not None:
                    course.clear()
        except RunError:
            run.check_present()  # where it is gone, that is what happened
            raise


def _check_method(request: Request, space: Space) -> None:
    """Raise `NasError` where this space cannot be searched in the way that was asked for, as far as one can know."""
    if request.learns:
        check_policy(request.controller, space)
    elif not request.solves:
        find_controller(request.controller)


def _method(request: Request, problem: Problem, progress: Progress, teller: Teller) -> SearchMethod:
    """How this problem is searched. Raises `NasError` where it cannot be."""
    if request.solves:
        return SolverSearch(request, problem, teller)
    if request.learns:
        from nas.runs.policy_search import PolicySearch  # brings torch

        return PolicySearch(request, problem, teller)
    return ControllerSearch(request, problem, progress, teller)


@contextmanager
def _device(target: str, space: Space, teller: Teller) -> Iterator[Clock | None]:
    """Where a target is a device: hold it, measure what its table lacks of the space, and give what measures who races
    and the winner on it in the end. None where it is a table."""
    if device_name(target) is None:
        yield None
        return
    from nas.profiler import bench  # only for devices: it imports what a table search has no use for

    with bench.attached(target) as device:
        bench.have_table(target, space, device, teller)
        yield Clock(
            partial(bench.verify, device=device, teller=teller),
            partial(bench.measure_networks, device=device, teller=teller),
            device,
        )


def _quantise(request: Request, subject: Subject, space: Space, clocks: Clocks, teller: Teller) -> Quantise | None:
    """What writes a winner with weights in 8 bits, where that was asked for."""
    if space.precision != EIGHT_BIT or subject.data is None:
        return None

    def quantise(network: Architecture, origin: Origin, folder: Path) -> tuple[list[Path], dict[str, Any]]:
        from nas.data import load_data

        size, skips = (network.height, network.width), request.skip_broken
        data = load_data(request.data or "", size, channels=network.channels, skip_broken=skips, teller=teller)
        timed = next(iter(clocks.values()), None)  # on the first of the targets that is a device
        names = [device_name(aim.target) for aim in request.aims]
        here = all(name is not None and name.kind == "cpu" and not name.runtime for name in names)
        device = None if timed is None else timed.device
        written: tuple[list[Path], dict[str, Any]] = load(TO_INT8)(network, origin, data, device, folder, teller, here)
        return written

    return quantise

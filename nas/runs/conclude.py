"""conclude(): what a ledger amounts to: the winner, the front, the references, and the files that say so."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.evaluator import Evaluator
from nas.blocks.architecture import Architecture
from nas.blocks.precision import FLOAT
from nas.cost.cost import COSTS, by_key
from nas.cost.front import unbeaten
from nas.cost.recount import differences
from nas.formats.winner import Origin, export
from nas.runs.clock import Clocks
from nas.runs.doubts import doubts
from nas.runs.inheriting import Inheriting
from nas.runs.ledger import Ledger
from nas.runs.part import Accuracy
from nas.runs.problem import Problem
from nas.runs.result import CLOCK, Chosen, Found, Measured, NetworksError, OnTarget, Result, Winner
from nas.runs.run import Run
from nas.runs.search_method import Searched
from nas.runs.solver_search import prove
from nas.space.space import Population
from nas.system.atomic import write_atomic
from nas.system.teller import Teller

if TYPE_CHECKING:
    from nas.runs.race import Course, Raced


Quantise = Callable[[Architecture, Origin, Path], tuple[list[Path], dict[str, Any]]]
"""Writes a network with weights in 8 bits into a folder: see `nas.export.int8.to_int8`."""


def conclude(
    run: Run,
    problem: Problem,
    ledger: Ledger,
    searched: Searched,
    evaluated: int,
    teller: Teller,
    clocks: Clocks,
    chosen: Chosen | None = None,
    course: Course | None = None,
    quantise: Quantise | None = None,
) -> Result:
    """Write front.csv and winner/ from the ledger alone; returns the content of result.json. `evaluated` are new in
    what was `searched` now; the winner is measured where there are `clocks`; `chosen` is what accuracy it was by;
    on a `course` the best are raced first, and the race has the winner; one with
    weights is written in 8 bits where `quantise` is given.

    Raises `Unattainable` where nothing evaluated meets all bounds.
    """
    space, objective = problem.space, problem.objective
    row = objective.winner(measures for _, measures in ledger.stretches())
    best, proof = ledger.genotypes(np.array([row]))[0], searched.proof
    found = _recorded(problem, ledger, np.array([row]))[0]
    if proof is None:
        best, proof = prove(problem, run.request, best, teller)
        if proof is not None and proof.improved_by is not None:
            found = _found(problem, best[None], objective.accuracy(best[None]))[0]
    raced = None
    if course is None:
        architecture, accuracy, winner = space.decode(best), _accuracy(objective.accuracy), found
        name, estimated = None, dict[str, Any]()
    else:
        raced, own = _raced(course, problem, ledger, best)
        architecture, shown = raced.architecture, own[raced.row or 0]
        estimated = {"race": raced.race, "accuracy_check": raced.check, "estimated": shown}
        accuracy = raced.race.accuracy
        winner, name = _raced_winner(raced, shown)
    fleet = [_on(problem, key, architecture, winner, clocks) for key in problem.tables]
    first = fleet[0]
    front = _recorded(problem, ledger, _front_rows(ledger, problem))
    if proof is not None and proof.improved_by is not None:  # it is in no row of the ledger
        front = sorted(
            [*(point for point in front if not found.beats(point)), found], key=lambda point: point.latency_ms
        )
    write_atomic(run.path / "front.csv", _as_csv(front))
    times = [
        {
            "ms": on.latency_ms,
            "asked_ms": on.bound_ms,
            "target": on.target,
            "table": table.fingerprint,
            "coverage": on.coverage,
            "error_pct": on.latency_error_pct,
            "measured": on.measured and on.measured.model_dump(exclude_unset=True),
        }
        for on, table in zip(fleet, problem.tables.values(), strict=True)
    ]
    metrics: dict[str, Any] = {
        "latency": times[0],
        **({"latencies": times} if len(times) > 1 else {}),
        "accuracy": {
            "value": winner.accuracy,
            "unit": accuracy.unit,
            "sigma": winner.accuracy_sigma,
            "label": accuracy.label,
            "provenance": accuracy.provenance,
        },
    }
    if raced is not None and name is not None:
        metrics["scaled"] = {"from": name, "width": raced.race.runners[0].width}
    shared = objective.accuracy if isinstance(objective.accuracy, Inheriting) else None
    if raced is not None:
        notes = ["weights are the race's: nas train goes on from them", *differences(architecture)]
        notes += [f"{on.target} does not answer for this network: it is as measured" for on in fleet if on.by_clock]
        inherited: dict[str, Any] = {"weights": raced.weights, "weights_from": "trained", "pictures": raced.pictures}
    elif shared is None:
        notes = ["model.onnx has random weights: it is untrained, for timing and for looking at"]
        inherited = {}
    else:
        notes = ["weights are the supernet's, not yet trained on their own: nas train goes on from them"]
        notes += differences(architecture)  # imports torch, which such a run has done
        inherited = {"weights": shared.weights(best), "weights_from": "supernet", "pictures": shared.pictures}
    exported = export(
        architecture,
        run.path / "winner",
        decisions=None if name is not None else winner.decisions,
        space=None if name is not None else space.name,
        metrics=metrics,
        seed=run.request.seed,
        skipped=notes.append,
        **inherited,
    )
    int8 = None
    if quantise is not None and inherited:
        origin = Origin(None, space.name, metrics, run.request.seed, **inherited)
        more, int8 = quantise(architecture, origin, run.path / "winner")
        exported += more
    if space.precision != FLOAT:
        notes.append(f"accuracies are of networks in float32: {space.precision} loses some")
    known = space.encode(list(space.references.values()))
    references = _found(problem, known, objective.accuracy(known))
    further: dict[str, Any] = {"checked_on": first.checked_on} if first.checked_on else {}
    if len(fleet) > 1:
        further["fleet"] = fleet
    if chosen is not None:
        further["chosen"] = chosen
    if int8 is not None:
        further["int8"] = int8
    return Result(
        space=space.name,
        size=space.size,
        target=first.target,
        device=first.device,
        networks_error=first.networks_error,
        **further,
        attainable=first.attainable,
        bounds=dict(objective.bounds),
        accuracy=_accuracy(objective.accuracy),
        winner=Winner.model_validate(
            {
                **winner.model_dump(exclude_unset=True),
                "coverage": first.coverage,
                "latency_error_pct": first.latency_error_pct,
                **({} if name is None else {"name": name}),
            }
        ),
        **estimated,
        doubts=doubts(problem, searched, estimated.get("estimated", winner), fleet),
        measured=first.measured,
        references=dict(zip(space.references, references, strict=True)),
        front=front,
        written=["front.csv", *(str(path.relative_to(run.path)) for path in exported)],
        notes=notes,
        evaluations=len(ledger),
        seconds=searched.seconds,
        archs_per_second=evaluated / max(searched.seconds, 1e-9),
        proof=proof,
        policy=searched.policy,
    )


def _accuracy(evaluator: Evaluator) -> Accuracy:
    return Accuracy(label=evaluator.label, unit=evaluator.unit, provenance=evaluator.provenance)


def _raced(course: Course, problem: Problem, ledger: Ledger, best: NDArray[np.uint8]) -> tuple[Raced, list[Found]]:
    """The race, and its finalists with what the search has of them."""
    from nas.runs.field import finalists

    own = finalists(problem, ledger, best, course.request.raced)
    found = _found(problem, own, problem.objective.accuracy(own))
    return course.run(own, found), found


def _on(problem: Problem, key: str, architecture: Architecture, winner: Found, clocks: Clocks) -> OnTarget:
    """A target, by the key of latency on it, and the winner there: measured where there is a clock."""
    table, space = problem.tables[key], problem.space
    error, others = table.checked_on(space), table.checked_spaces
    coverage, band, measured = {CLOCK: 1.0}, 0.0, None
    if table.answers_network(architecture):  # a published network may be of other layers
        estimate = table.estimate(architecture)
        coverage, band = estimate.coverage, estimate.error_pct
        if key in clocks:
            measured = Measured(**clocks[key].verify(architecture, table))
    return OnTarget(
        target=table.name,
        device=table.header.summary,
        networks_error=None if error is None else NetworksError(**error),
        checked_on=others if error is None else [],
        attainable=list(problem.factors[key].bounds()),
        bound_ms=problem.objective.bounds[key],
        latency_ms=winner.on(table.name),
        coverage=coverage,
        latency_error_pct=band,
        measured=measured,
    )


def _raced_winner(raced: Raced, shown: Found) -> tuple[Found, str | None]:
    """That of a race: a finalist, which is `shown`, or a published network with its name."""
    first = raced.race.runners[0]
    its: dict[str, Any] = {
        "latency_ms": first.latency_ms,
        "accuracy": first.top1,
        "accuracy_sigma": first.top1_sigma,
        **({"latencies": first.latencies} if first.latencies else {}),
    }
    if raced.row is not None:
        return Found(**shown.model_dump(exclude_unset=True) | its), None
    costs = {cost.key: cost.of(raced.architecture) for cost in COSTS.values() if cost.key in shown.costs}
    return Found.model_validate({"decisions": {}, **costs, **its}), first.name


def _found(problem: Problem, population: Population, accuracy: NDArray[np.float64]) -> list[Found]:
    """Each genotype with its accuracy (as given, `float64[N]`) and its costs."""
    columns = {key: cost(population) for key, cost in problem.factors.items() if key not in problem.tables}
    times = {table.name: problem.factors[key](population) for key, table in problem.tables.items()}
    sigmas = problem.objective.accuracy.uncertainty(population)

    def figures(row: int) -> dict[str, Any]:
        cells = ((key, column[row]) for key, column in columns.items())
        counted = {key: round(cell) if by_key(key).whole else float(cell) for key, cell in cells}
        return counted | ({"latencies": found[row]} if len(times) > 1 else {})

    found = [{name: float(ms[row]) for name, ms in times.items()} for row in range(len(population))]

    return [
        Found(
            decisions=problem.space.choices(genotype),
            latency_ms=next(iter(found[row].values())),
            accuracy=float(accuracy[row]),
            accuracy_sigma=float(sigmas[row]),
            **figures(row),
        )
        for row, genotype in enumerate(population)
    ]


def _recorded(problem: Problem, ledger: Ledger, rows: NDArray[np.int64]) -> list[Found]:
    """Rows of the ledger as architectures with their figures."""
    return _found(problem, ledger.genotypes(rows), ledger.measures(rows)["accuracy"])


def _front_rows(ledger: Ledger, problem: Problem) -> NDArray[np.int64]:
    """Rows that none beats in accuracy and every latency, fastest first."""
    rows, points = np.zeros(0, dtype=np.int64), np.zeros((0, 1 + len(problem.tables)))
    for first, measures in ledger.stretches():
        new = np.stack([*(-measures[key] for key in problem.tables), measures["accuracy"]], axis=1)
        rows = np.concatenate([rows, np.arange(first, first + len(new))])
        points = np.concatenate([points, new])
        kept = unbeaten(points)
        rows, points = rows[kept], points[kept]
    return rows


def _as_csv(front: list[Found]) -> str:
    text = io.StringIO()
    rows = [point.row for point in front]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

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
from nas.cost.cost import COSTS, by_key
from nas.cost.front import pareto_front
from nas.cost.recount import differences
from nas.formats.winner import Origin, export
from nas.runs.doubts import doubts
from nas.runs.inheriting import Inheriting
from nas.runs.ledger import Ledger
from nas.runs.problem import Problem
from nas.runs.result import CLOCK, Accuracy, Chosen, Found, Measured, NetworksError, Result, Winner
from nas.runs.run import Run
from nas.runs.search_method import Searched
from nas.runs.solver_search import prove
from nas.space.adapt import FLOAT
from nas.space.space import Population
from nas.system.atomic import write_atomic
from nas.system.teller import Teller

if TYPE_CHECKING:
    from nas.runs.race import Course, Raced


Verified = Callable[[Architecture], dict[str, Any]]
"""Measures a network on the device that was searched for: see `nas.profiler.verify.verify`."""
Quantise = Callable[[Architecture, Origin, Path], tuple[list[Path], dict[str, Any]]]
"""Writes a network with weights in 8 bits into a folder: see `nas.export.int8.to_int8`."""


def conclude(
    run: Run,
    problem: Problem,
    ledger: Ledger,
    searched: Searched,
    evaluated: int,
    teller: Teller,
    verified: Verified | None = None,
    chosen: Chosen | None = None,
    course: Course | None = None,
    quantise: Quantise | None = None,
) -> Result:
    """Write front.csv and winner/ from the ledger alone; returns the content of result.json. `evaluated` are new in
    what was `searched` now; the winner is measured where `verified` is given; `chosen` is what accuracy it was by;
    on a `course` the best are raced first, and the race has the winner; one with weights is written in 8 bits where
    `quantise` is given.

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
        architecture, accuracy = space.decode(best), _accuracy(objective.accuracy)
        estimate = problem.table.estimate(architecture)
        winner = Winner(**found.model_dump(), coverage=estimate.coverage, latency_error_pct=estimate.error_pct)
        estimated: dict[str, Any] = {}
    else:
        raced, own = _raced(course, problem, ledger, best)
        architecture, shown = raced.architecture, own[raced.row or 0]
        estimated = {"race": raced.race, "accuracy_check": raced.check, "estimated": shown}
        accuracy = raced.race.accuracy
        winner = _winner(problem, raced, shown)
    answered = problem.table.answers_network(architecture)  # a published network may be of other layers
    measured = None if verified is None or not answered else verified(architecture)
    front = _recorded(problem, ledger, _front_rows(ledger))
    if proof is not None and proof.improved_by is not None:  # it is in no row of the ledger
        unbeaten = [p for p in front if p.latency_ms < found.latency_ms or p.accuracy > found.accuracy]
        front = sorted([*unbeaten, found], key=lambda point: point.latency_ms)
    write_atomic(run.path / "front.csv", _as_csv(front))
    metrics: dict[str, Any] = {
        "latency": {
            "ms": winner.latency_ms,
            "asked_ms": objective.bounds["latency_ms"],
            "target": problem.table.name,
            "table": problem.table.fingerprint,
            "coverage": winner.coverage,
            "error_pct": winner.latency_error_pct,
            "measured": measured,
        },
        "accuracy": {
            "value": winner.accuracy,
            "unit": accuracy.unit,
            "sigma": winner.accuracy_sigma,
            "label": accuracy.label,
            "provenance": accuracy.provenance,
        },
    }
    if raced is not None and winner.name is not None:
        metrics["scaled"] = {"from": winner.name, "width": raced.race.runners[0].width}
    shared = objective.accuracy if isinstance(objective.accuracy, Inheriting) else None
    if raced is not None:
        notes = ["weights are the race's: nas train goes on from them", *differences(architecture)]
        notes += [] if answered else [f"{problem.table.name} does not answer for this network: it is as measured"]
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
        decisions=None if winner.name is not None else winner.decisions,
        space=None if winner.name is not None else space.name,
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
    error, others = problem.table.checked_on(space), problem.table.checked_spaces
    further: dict[str, Any] = {"checked_on": others} if error is None and others else {}
    if chosen is not None:
        further["chosen"] = chosen
    if int8 is not None:
        further["int8"] = int8
    beside = None if measured is None else Measured(**measured).float32_ratio
    return Result(
        space=space.name,
        size=space.size,
        target=problem.table.name,
        device=problem.table.header.summary,
        networks_error=None if error is None else NetworksError(**error),
        **further,
        attainable=list(problem.factors["latency_ms"].bounds()),
        bounds=dict(objective.bounds),
        accuracy=_accuracy(objective.accuracy),
        winner=winner,
        **estimated,
        doubts=doubts(problem, searched, estimated.get("estimated", winner), beside),
        measured=None if measured is None else Measured(**measured),
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


def _winner(problem: Problem, raced: Raced, shown: Found) -> Winner:
    """That of a race: a finalist, which is `shown`, or a published network."""
    first = raced.race.runners[0]
    coverage, error = {CLOCK: 1.0}, 0.0
    if problem.table.answers_network(raced.architecture):
        estimate = problem.table.estimate(raced.architecture)
        coverage, error = estimate.coverage, estimate.error_pct
    its: dict[str, Any] = {
        "latency_ms": first.latency_ms,
        "accuracy": first.top1,
        "accuracy_sigma": first.top1_sigma,
        "coverage": coverage,
        "latency_error_pct": error,
    }
    if raced.row is not None:
        return Winner(**shown.model_dump() | its)
    costs = {cost.key: cost.of(raced.architecture) for cost in COSTS.values() if cost.key in shown.costs}
    return Winner.model_validate({"decisions": {}, "name": first.name, **costs, **its})


def _found(problem: Problem, population: Population, accuracy: NDArray[np.float64]) -> list[Found]:
    """Each genotype with its accuracy (as given, `float64[N]`) and its costs."""
    columns = {name: cost(population) for name, cost in problem.factors.items()}
    sigmas = problem.objective.accuracy.uncertainty(population)

    def figures(row: int) -> dict[str, Any]:
        cells = ((key, column[row]) for key, column in columns.items() if key != "latency_ms")
        return {key: round(cell) if by_key(key).whole else float(cell) for key, cell in cells}

    return [
        Found(
            decisions=problem.space.choices(genotype),
            latency_ms=float(columns["latency_ms"][row]),
            accuracy=float(accuracy[row]),
            accuracy_sigma=float(sigmas[row]),
            **figures(row),
        )
        for row, genotype in enumerate(population)
    ]


def _recorded(problem: Problem, ledger: Ledger, rows: NDArray[np.int64]) -> list[Found]:
    """Rows of the ledger as architectures with their figures."""
    return _found(problem, ledger.genotypes(rows), ledger.measures(rows)["accuracy"])


def _front_rows(ledger: Ledger) -> NDArray[np.int64]:
    """Rows that none beats in both latency and accuracy, fastest first."""
    rows, latency, accuracy = np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0)
    for first, measures in ledger.stretches():
        latency = np.concatenate([latency, measures["latency_ms"]])
        accuracy = np.concatenate([accuracy, measures["accuracy"]])
        kept = pareto_front(latency, accuracy)
        rows = np.concatenate([rows, np.arange(first, first + len(latency) - len(rows))])[kept]
        latency, accuracy = latency[kept], accuracy[kept]
    return rows


def _as_csv(front: list[Found]) -> str:
    text = io.StringIO()
    rows = [point.row for point in front]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

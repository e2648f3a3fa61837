"""conclude(): what a ledger amounts to: the winner, the front, the references, and the files that say so."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.cost.cost import by_key
from nas.cost.front import pareto_front
from nas.cost.recount import differences
from nas.formats.config import Pictures
from nas.formats.winner import export
from nas.runs.doubts import doubts
from nas.runs.ledger import Ledger
from nas.runs.problem import Problem
from nas.runs.result import Accuracy, Chosen, Found, Measured, NetworksError, Result, Winner
from nas.runs.run import Run
from nas.runs.search_method import Searched
from nas.runs.solver_search import prove
from nas.space.space import Population
from nas.system.atomic import write_atomic
from nas.system.teller import Teller


@runtime_checkable
class Inheriting(Protocol):
    """An evaluator whose networks have weights to take along."""

    @property
    def pictures(self) -> Pictures:
        """What the weights were made for."""

    def weights(self, genotype: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Of a genotype `uint8[D]`, under the names of its network's state."""


Verified = Callable[[Architecture], dict[str, Any]]
"""Measures a network on the device that was searched for: see `nas.profiler.verify.verify`."""


def conclude(
    run: Run,
    problem: Problem,
    ledger: Ledger,
    searched: Searched,
    evaluated: int,
    teller: Teller,
    verified: Verified | None = None,
    chosen: Chosen | None = None,
) -> Result:
    """Write front.csv and winner/ from the ledger alone; returns the content of result.json. `evaluated` are new in
    what was `searched` now; the winner is measured where `verified` is given; `chosen` is what accuracy it was by.

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
    architecture = space.decode(best)
    estimate = problem.table.estimate(architecture)
    winner = Winner(**found.model_dump(), coverage=estimate.coverage, latency_error_pct=estimate.error_pct)
    measured = None if verified is None else verified(architecture)
    front = _recorded(problem, ledger, _front_rows(ledger))
    if proof is not None and proof.improved_by is not None:  # it is in no row of the ledger
        unbeaten = [p for p in front if p.latency_ms < found.latency_ms or p.accuracy > found.accuracy]
        front = sorted([*unbeaten, found], key=lambda point: point.latency_ms)
    write_atomic(run.path / "front.csv", _as_csv(front))
    metrics = {
        "latency": {
            "ms": winner.latency_ms,
            "asked_ms": objective.bounds["latency_ms"],
            "target": problem.table.name,
            "table": problem.table.fingerprint,
            "coverage": estimate.coverage,
            "error_pct": estimate.error_pct,
            "measured": measured,
        },
        "accuracy": {
            "value": winner.accuracy,
            "unit": objective.accuracy.unit,
            "sigma": winner.accuracy_sigma,
            "label": objective.accuracy.label,
            "provenance": objective.accuracy.provenance,
        },
    }
    shared = objective.accuracy if isinstance(objective.accuracy, Inheriting) else None
    if shared is None:
        notes = ["model.onnx has random weights: it is untrained, for timing and for looking at"]
        inherited: dict[str, Any] = {}
    else:
        notes = ["weights are the supernet's, not yet trained on their own: nas train goes on from them"]
        notes += differences(architecture)  # imports torch, which such a run has done
        inherited = {"weights": shared.weights(best), "weights_from": "supernet", "pictures": shared.pictures}
    exported = export(
        architecture,
        run.path / "winner",
        decisions=winner.decisions,
        space=space.name,
        metrics=metrics,
        seed=run.request.seed,
        skipped=notes.append,
        **inherited,
    )
    known = space.encode(list(space.references.values()))
    references = _found(problem, known, objective.accuracy(known))
    error, others = problem.table.checked_on(space), problem.table.checked_spaces
    further: dict[str, Any] = {"checked_on": others} if error is None and others else {}
    if chosen is not None:
        further["chosen"] = chosen
    return Result(
        space=space.name,
        size=space.size,
        target=problem.table.name,
        device=problem.table.header.summary,
        networks_error=None if error is None else NetworksError(**error),
        **further,
        attainable=list(problem.factors["latency_ms"].bounds()),
        bounds=dict(objective.bounds),
        accuracy=Accuracy(
            label=objective.accuracy.label, unit=objective.accuracy.unit, provenance=objective.accuracy.provenance
        ),
        winner=winner,
        doubts=doubts(problem, searched, winner),
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

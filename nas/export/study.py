"""A run as an Optuna study: a journal file that optuna-dashboard opens.

    nas export RUN --format study --out DIR && optuna-dashboard DIR/study.journal

A trial is an evaluation: its parameters are the decisions, its attributes the genotype and every measure, its
constraints by how much each hard bound is exceeded, relative to the bound.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.study import StudyDirection

from nas.controllers.controller import ranking
from nas.cost.cost import latencies_of
from nas.errors import RunError
from nas.runs.ledger_file import LedgerFile
from nas.runs.objective import Objective
from nas.runs.problem import Problem
from nas.runs.request_folder import ask_for_code, read_mapping
from nas.runs.run import Run
from nas.space.codes import format_code
from nas.system.atomic import atomic

MAX_TRIALS = 10_000
FILE = "study.journal"


def to_study(run: Path, folder: Path, most: int = MAX_TRIALS, *, data: str | None = None) -> Path:
    """Write `study.journal` into a folder from that of a run, finished or still running; returns its path.

    Of more than `most` evaluations the best half and the newest are written, in their order; the study's attribute
    `left_out` counts the others. `data` says that the code may run which a run on `python:` data names. Raises
    `RunError` where there is no run, or its space has changed.
    """
    setup_file = run / "setup.json"
    if not setup_file.is_file():
        raise RunError(f"{run}: there is no run here, or nothing was evaluated yet.")
    asked = {} if data is None else {"data": data}
    request = Run.recall(run, asked)
    request = replace(request, accuracy=None) if request.own_accuracy else request  # nothing is evaluated
    ask_for_code(run, {option: place for option, place in request.code.items() if option == "data"}, asked)
    problem = Problem.load(request)
    if read_mapping(setup_file).get("space") != problem.space.fingerprint:
        raise RunError(f"{run}: the search space has changed since this run began, so its genotypes mean others now.")
    ledger = LedgerFile.read(run / "ledger.bin", len(problem.space.decisions), problem.objective.columns)
    rows = _chosen(*problem.objective.judge(ledger.measures()), most)
    logs, targets = _Logs(), " and ".join(aim.target for aim in request.aims)
    study = _study(JournalStorage(logs), f"{request.space} on {targets}: {run.name}", problem.objective)
    attributes = {
        "run": run.name,
        "space": request.space,
        "target": targets,
        "controller": request.controller,
        "bounds": dict(problem.objective.bounds),
        "evaluations": len(ledger),
        "left_out": len(ledger) - len(rows),
    }
    for name, value in attributes.items():
        study.set_user_attr(name, value)
    study.add_trials(_trials(problem, ledger, rows))
    folder.mkdir(parents=True, exist_ok=True)
    return _written(logs, folder / FILE)


def _chosen(values: NDArray[np.float64], violations: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Rows in ascending order, of values `float64[N, m]`: best by each value in turn, then the newest."""
    total = len(violations)
    if total <= most:
        return np.arange(total)
    kept = np.zeros(total, dtype=bool)
    for column in values.T:
        kept[ranking(column, violations)[: most // 2 // values.shape[1]]] = True
    others = np.flatnonzero(~kept)
    kept[others[len(others) - (most - int(kept.sum())) :]] = True
    return np.flatnonzero(kept)


def _study(storage: JournalStorage, name: str, objective: Objective) -> optuna.Study:
    """An empty study whose first value is maximised and whose further ones, costs, are minimised."""
    names = ["accuracy" if objective.form in ("bound", "front") else objective.form]
    if objective.form == "front":
        names += [*latencies_of(objective.bounds), *objective.further]
    directions = [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * (len(names) - 1)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    finally:
        optuna.logging.set_verbosity(before)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(names)
    return study


def _trials(problem: Problem, ledger: LedgerFile, rows: NDArray[np.int64]) -> list[optuna.trial.FrozenTrial]:
    """A finished trial for each row."""
    space, objective = problem.space, problem.objective
    options: dict[str, BaseDistribution] = {d.name: CategoricalDistribution(d.options) for d in space.decisions}
    measures = ledger.measures(rows)
    values, _ = objective.judge(measures)
    values[:, 1:] *= -1  # costs, which `judge` gives to be maximised
    excess = {name: measures[name] / objective.bounds[name] - 1 for name in objective.hard}
    return [
        optuna.create_trial(
            params=space.choices(genotype),
            distributions=options,
            values=values[index].tolist(),
            user_attrs={
                "arch": format_code(genotype, space),
                "row": int(rows[index]),
                **{name: float(column[index]) for name, column in measures.items()},
            },
            constraints={name: float(column[index]) for name, column in excess.items()},
        )
        for index, genotype in enumerate(ledger.genotypes(rows))
    ]


class _Logs(BaseJournalBackend):
    """A journal in memory, so that a file is written once rather than locked for each trial."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Entries from a number on."""
        return self.entries[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep further entries."""
        self.entries += logs


def _written(logs: _Logs, path: Path) -> Path:
    """The journal as a file, replaced as a whole."""
    with atomic(path) as temporary:
        JournalFileBackend(str(temporary)).append_logs(logs.entries)
    return path

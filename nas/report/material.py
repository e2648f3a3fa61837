"""Material: all that a report says of a run, read from its folder and checked once.

Nothing is searched, trained or loaded again: result.json, setup.json, the ledger, the space's file and the table.
"""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.cost.cost import latencies, latencies_of
from nas.errors import NasError, RunError
from nas.runs.ledger_file import FORMAT, LedgerFile
from nas.runs.objective import MNASNET_EXPONENTS, first_value
from nas.runs.past import space_of, tuned_in
from nas.runs.request import Request
from nas.runs.result import OnTarget, Result
from nas.runs.run import Run
from nas.space.space import Population, Space
from nas.system.files import lines, open_plain, read_text
from nas.tables.table import LatencyTable, load_table
from nas.tables.target import target_path

Floats = NDArray[np.float64]

CURVES = ("step", "loss", "expected_ms", "entropy", "skips")
"""Columns of policy.csv that are shown."""
MAX_HEADER = 65_536
MAX_COLUMNS = 32
"""Columns of a ledger."""
MAX_CURVES = 16 << 20
"""Bytes of policy.csv."""


@dataclass(frozen=True)
class Setup:
    """What setup.json and request.json say of what a run rests on."""

    space: str
    """Its fingerprint, as is `accuracy`; `tables` are those of the targets."""
    tables: tuple[str, ...]
    accuracy: str
    planned: int | None
    batch: int | None
    """Evaluations that were asked for together; None where there was one worker and nobody said."""
    versions: Mapping[str, str]
    created: str


@dataclass(frozen=True, eq=False)
class Target:
    """One of a run's targets, and all evaluations on it."""

    result: OnTarget
    latency_ms: Floats
    """float64[N] in the order of evaluation."""
    table: LatencyTable | None
    """The table as it was searched with; None where it is gone or has changed."""
    table_missing: str
    """Why there is no table."""

    @property
    def name(self) -> str:
        """As results have it."""
        return self.result.target


@dataclass(frozen=True, eq=False)
class Material:
    """A finished run with all its evaluations."""

    path: Path
    request: Request
    setup: Setup
    result: Result
    space: Space
    ledger: LedgerFile
    targets: Sequence[Target]
    accuracy: Floats
    """float64[N] in the order of evaluation, as is `values`; `within` is bool[N]."""
    values: Floats
    """What was maximised: the accuracy, or MnasNet's product."""
    within: NDArray[np.bool_]
    """Whether all bounds that count are kept."""
    curves: Mapping[str, Floats] | None
    """Columns of policy.csv, where a policy was trained."""
    published: Architecture | None = None
    """The winner, where a published network won the race."""

    @property
    def kind(self) -> str:
        """What `--accuracy` was, settled: `predictor`, `table`, `zero-cost`, `supernet`, `train`."""
        request, chosen = self.request, self.result.chosen
        kind = (
            request.accuracy or (chosen and chosen.accuracy) or ("supernet" if request.data is not None else "")
        ).partition(":")[0]
        return kind or ("predictor" if self.result.accuracy.unit else "zero-cost")

    @property
    def architecture(self) -> Architecture:
        """The winner's network."""
        return self.space.decode(self.genotype) if self.published is None else self.published

    def genotypes(self, rows: NDArray[np.int64]) -> Population:
        """Those of some evaluations, `uint8[len(rows), D]`. Raises `SpaceError` where the space has no such option."""
        return self.space.check(self.ledger.genotypes(rows))

    @property
    def genotype(self) -> NDArray[np.uint8]:
        """The winner's genotype, `uint8[D]`; that of the best that was searched, where a published network won."""
        return np.asarray(self.space.encode([self.result.searched.decisions])[0])


def read_material(run: Run) -> Material:
    """Read a finished run. Raises `RunError` for one that is not finished, or whose space is another one now."""
    request = run.request
    if not run.finished:
        raise RunError(f"{run.path}: this run is not finished. Go on with it: {run.go_on}")
    try:
        setup = _setup(run.read("setup.json") or {}, run.read("request.json") or {})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        raise RunError(f"{run.path}: this is not the folder of a search ({problem!r}).") from None
    result = run.result
    space = _space(run, setup)
    ledger = _ledger(run.path / "ledger.bin", len(space.decisions))
    measures = ledger.measures()
    values, within = judge(measures, result.bounds, request.goal.partition(":")[0])
    keys = latencies(on.target for on in result.targets)
    if len(keys) != len(request.aims) or not measures.keys() >= set(keys):
        raise RunError(f"{run.path}: result.json is of other targets than the search.")
    targets = [
        Target(on, measures[key], *_table(aim.target, space, fingerprint))
        for on, key, aim, fingerprint in zip(result.targets, keys, request.aims, setup.tables, strict=True)
    ]
    return Material(
        path=run.path,
        request=request,
        setup=setup,
        result=result,
        space=space,
        ledger=ledger,
        targets=targets,
        accuracy=measures["accuracy"],
        values=values,
        within=within,
        curves=_curves(run.path / "policy.csv") if request.learns else None,
        published=None if result.winner.name is None else run.architecture,
    )


def judge(measures: Mapping[str, Floats], bounds: Mapping[str, float], form: str) -> tuple[Floats, NDArray[np.bool_]]:
    """What each evaluation is worth to the objective `form`, and whether it may win: see `Objective.winner`."""
    values = first_value(measures, bounds, form)
    within = np.isfinite(values)
    wished = latencies_of(bounds) if form in MNASNET_EXPONENTS else []
    for name, bound in bounds.items():
        if name not in wished:
            within &= measures[name] / bound <= 1
    return values, within


def _setup(setup: Mapping[str, Any], request: Mapping[str, Any]) -> Setup:
    planned, batch, tables = setup["planned"], setup.get("batch"), setup["table"]
    return Setup(
        space=str(setup["space"]),
        tables=(str(tables),) if isinstance(tables, str) else tuple(map(str, tables)),
        accuracy=str(setup["accuracy"]),
        planned=None if planned is None else int(planned),
        batch=None if batch is None else int(batch),
        versions={str(name): str(version) for name, version in setup["versions"].items()},
        created=str(request["created"]),
    )


def _space(run: Run, setup: Setup) -> Space:
    """The space as it was searched, without the pictures that its classes came from: the winner has as many."""
    request = run.request
    classes = None if request.data is None else run.architecture.num_classes
    space = space_of(request, tuned_in(run.path), classes)
    if space.fingerprint != setup.space:
        raise RunError(f"{run.path}: the search space has changed since this run, so its genotypes mean others now.")
    return space


def _ledger(path: Path, width: int) -> LedgerFile:
    """A ledger with whatever columns it says it has."""
    try:
        with open_plain(path) as file:
            head = json.loads(file.readline(MAX_HEADER))
        columns = tuple(map(str, head["columns"]))
        known = head["format"] == FORMAT and {"accuracy", "latency_ms"} <= set(columns) and len(columns) <= MAX_COLUMNS
    except OSError as problem:
        raise RunError(f"{path}: there is no ledger to read ({problem.strerror}).") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        known, columns = False, ()
    if not known:
        raise RunError(f"{path}: this is not the ledger of a search.")
    return LedgerFile.read(path, width, columns)


def _table(target: str, space: Space, fingerprint: str) -> tuple[LatencyTable | None, str]:
    try:
        table = load_table(target_path(target, space.name))
    except NasError as problem:
        return None, f"The latency table cannot be read any more: {problem}"
    if table.fingerprint != fingerprint:
        return None, f"The latency table {table.name} has changed since this run."
    return table, ""


def _curves(path: Path) -> dict[str, Floats] | None:
    """The columns of a policy.csv; None where there is no such file. Raises `RunError` where it is something else."""
    if not path.is_file():
        return None
    reader = csv.reader(lines(read_text(path, RunError, MAX_CURVES), path, RunError), strict=True)
    try:
        names = next(reader)
        found = [array("d", map(float, row)) for row in reader]
        if any(len(row) != len(names) for row in found):
            raise ValueError("a row has a value for each column")
        rows = np.array(found, dtype=np.float64).reshape(-1, len(names))
        rows = rows[np.isfinite(rows).all(axis=1)]
        return {name: rows[:, names.index(name)] for name in CURVES}
    except (ValueError, StopIteration, csv.Error):
        raise RunError(f"{path}: a policy's curves are columns of numbers named {', '.join(CURVES)}.") from None

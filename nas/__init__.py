"""Hardware-aware neural architecture search on measured latency tables.

space = nas.load_space("mobile")                       # or the path of a YAML file
population = space.sample(1_000, rng)                  # uint8[N, D]; space.encode, space.decode
table = nas.load_table("pixel-cpu")                    # or the path of a table folder
latency = nas.latency(space, table)                    # Factors: latency(population) -> float64[N] ms
accuracy = nas.load_predictor("mobile")                # accuracy(population) -> float64[N] proxy top-1 %
run = nas.search(space="mobile", target="pixel-cpu", latency_ms=75.0, seed=0)  # run.winner, run.front, run.path

The map of the house, lowest first; a folder imports only from those above it in this list:

errors.py    the tree of errors                           supernet/     a space's networks in one set of weights
system/      files, locks, signals, processes             controllers/  ask and tell
blocks/      operations, blocks, layers, architectures    solvers/      the best from factors, with a proof
formats/     files of a network                           policies/     option chances that learn
space/       decisions, slots, genotypes                  accuracy/     evaluators
cost/        costs, factors and fronts                    testing/      what plug-ins promise, as checks
workers/     here, or Ray                                 runs/         a search, or a training, from request to result
devices/     what can time a network                      export/       what needs data, a device or another program
tables/      latency tables and their block model         report/       a run as a page
profiler/    device to table, and verify                  cli/          a file for each group of commands
data/        pictures in three splits
training/    the training loop and its recipe
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "nas.blocks.architecture",
    "Factors": "nas.cost.factors",
    "LatencyTable": "nas.tables.table",
    "Layer": "nas.blocks.layer",
    "NasError": "nas.errors",
    "Run": "nas.runs.run",
    "Space": "nas.space.space",
    "flash": "nas.cost.counts",
    "latency": "nas.tables.table",
    "load_predictor": "nas.accuracy.predictor",
    "load_space": "nas.space.load",
    "load_table": "nas.tables.table",
    "macs": "nas.cost.counts",
    "params": "nas.cost.counts",
    "peak": "nas.cost.counts",
    "read_archdef": "nas.formats.archdef",
    "read_config": "nas.formats.config",
}
"""Public names and the modules they are imported from when first used, so that `import nas` stays quick."""

if TYPE_CHECKING:
    from pathlib import Path

    from nas.accuracy.predictor import load_predictor
    from nas.blocks.architecture import Architecture
    from nas.blocks.layer import Layer
    from nas.cost.counts import flash, macs, params, peak
    from nas.cost.factors import Factors
    from nas.errors import NasError
    from nas.formats.archdef import read_archdef
    from nas.formats.config import read_config
    from nas.runs.controller_search import Progress
    from nas.runs.run import Run
    from nas.space.load import load_space
    from nas.space.space import Space
    from nas.system.teller import Teller
    from nas.tables.table import LatencyTable, latency, load_table

__all__ = [
    "Architecture",
    "Factors",
    "LatencyTable",
    "Layer",
    "NasError",
    "Run",
    "Space",
    "flash",
    "latency",
    "load_predictor",
    "load_space",
    "load_table",
    "macs",
    "params",
    "peak",
    "read_archdef",
    "read_config",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")


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

    For one network on several devices `target` and `latency_ms` are sequences, in the same order. The run is written to
    `out`, by default `runs/SPACE-TARGET-N`, with its report. `workers` is `ray` or `ray:ADDRESS`;
    where something is evaluated is no part of the request. Raises `NasError` for a wrong request,
    `Unattainable` where no architecture meets the bounds, `Interrupted` after SIGINT, SIGTERM or SIGHUP.
    """
    from pathlib import Path

    from nas.report import have_report
    from nas.runs.aim import settled
    from nas.runs.request import Request
    from nas.runs.run import Run
    from nas.runs.search import carry_out
    from nas.system.teller import Silent
    from nas.workers import check_workers

    path = Path(out) if out is not None else None
    if workers is not None:
        check_workers(workers)
    run = Run.resume(path, settled(request)) if resume else Run.create(path, Request(**request))
    return carry_out(run, progress or (lambda done, total, note: None), teller or Silent(), workers, have_report)

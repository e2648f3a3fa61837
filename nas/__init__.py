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
cost/        factors and fronts                           testing/      what plug-ins promise, as checks
workers/     here, or Ray                                 runs/         a search, or a training, from request to result
devices/     what can time a network                      export/       what needs data, a device or another program
tables/      latency tables and their block model         report/       a run as a page
profiler/    device to table, and verify                  api.py        search(), from Python
data/        pictures in three splits                     cli/          a file for each group of commands
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
    "latency": "nas.tables.table",
    "load_predictor": "nas.accuracy.predictor",
    "load_space": "nas.space.load",
    "load_table": "nas.tables.table",
    "macs": "nas.cost.counts",
    "params": "nas.cost.counts",
    "read_archdef": "nas.formats.archdef",
    "read_config": "nas.formats.config",
    "search": "nas.api",
}
"""Public names and the modules they are imported from when first used, so that `import nas` stays quick."""

if TYPE_CHECKING:
    from nas.accuracy.predictor import load_predictor
    from nas.api import search
    from nas.blocks.architecture import Architecture
    from nas.blocks.layer import Layer
    from nas.cost.counts import macs, params
    from nas.cost.factors import Factors
    from nas.errors import NasError
    from nas.formats.archdef import read_archdef
    from nas.formats.config import read_config
    from nas.runs.run import Run
    from nas.space.load import load_space
    from nas.space.space import Space
    from nas.tables.table import LatencyTable, latency, load_table

__all__ = [
    "Architecture",
    "Factors",
    "LatencyTable",
    "Layer",
    "NasError",
    "Run",
    "Space",
    "latency",
    "load_predictor",
    "load_space",
    "load_table",
    "macs",
    "params",
    "read_archdef",
    "read_config",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")

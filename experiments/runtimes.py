"""Does the runtime change the answer? One machine, several runtimes: tables, ranks and winners, in one run.

Each runtime gets its own table of the space, with its error on 20 whole networks that it was not made with. Then the
same random networks are measured on each: Kendall's tau between runtimes, and how far each table is off on them. At the
end the winner of each runtime under its own median latency, proven by `exact`, stands beside those of the others.

    python experiments/runtimes.py [--space mobile] [--networks 60] [--targets cpu cpu:openvino cpu:ncnn cpu:litert]
    python experiments/runtimes.py --quick      minutes, on the smallest shipped space; its figures mean nothing
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import kendalltau

import nas
from nas.blocks.architecture import Architecture
from nas.profiler.bench import attached
from nas.profiler.networks import random_networks
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.verify import error_of, measure_networks
from nas.system.teller import Teller
from nas.tables.table import LatencyTable

TARGETS = ("cpu", "cpu:openvino", "cpu:ncnn", "cpu:litert")
SEED = 2026


class Stderr:
    """Tells on stderr."""

    def progress(self, done: int, total: int, note: str) -> None:
        """Nothing: files of it would be long."""

    def say(self, line: str) -> None:
        """A line."""
        print(line, file=sys.stderr, flush=True)


def compared(
    space: str | Path, targets: Sequence[str], networks: int, effort: Effort, teller: Teller, **search: Any
) -> dict[str, Any]:
    """The figures, as JSON has them; winners by `nas.search` with these keywords."""
    loaded = nas.load_space(space)
    drawn = random_networks(loaded, networks, np.random.default_rng([SEED, 7]))
    with TemporaryDirectory() as temporary:
        folders = {target: Path(temporary) / target.replace(":", "-") for target in targets}
        tables, told, ms = {}, {}, {}
        for target, folder in folders.items():
            start = perf_counter()
            teller.say(target)
            with attached(target) as device:
                tables[target] = table = profile(loaded, target, device, folder, effort, teller)
                profiled = perf_counter() - start
                measured = measure_networks(drawn, table, device, teller)
            ms[target] = measured.ms
            estimated = np.array([table.estimate(network).latency_ms for network in drawn])
            told[target] = {
                "runtime": f"{table.header.runtime.name} {table.header.runtime.version}",
                "threads": table.header.threads,
                "profile_seconds": profiled,
                "table_error": table.networks_error,
                "fresh_networks_error": error_of(estimated, measured.ms, measured.floor_pct).model_dump(),
                "ms": [float(measured.ms.min()), float(np.median(measured.ms)), float(measured.ms.max())],
                "too_busy": measured.too_busy,
            }
        medians = {target: float(np.median(times)) for target, times in ms.items()}
        return {
            "space": loaded.name,
            "networks": len(drawn),
            "runtimes": told,
            "kendall_tau": {a: {b: float(kendalltau(ms[a], ms[b]).statistic) for b in targets} for a in targets},
            "tau_of_macs": {a: float(kendalltau([n.macs for n in drawn], ms[a]).statistic) for a in targets},
            "winners": winners(space, tables, medians, Path(temporary), search),
        }


def winners(
    space: str | Path,
    tables: dict[str, LatencyTable],
    bounds: dict[str, float],
    folder: Path,
    search: dict[str, Any],
) -> dict[str, Any]:
    """Of each runtime: its best network under its bound, how much slower than the bound it is on the others, and how
    many of its layers their best has not."""
    best: dict[str, Architecture] = {}
    found: dict[str, Any] = {}
    for target, table in tables.items():
        out = folder / f"run-{len(best)}"
        run = nas.search(space=str(space), target=str(table.path), latency_ms=bounds[target], seed=0, out=out, **search)
        best[target] = run.architecture
    for target, network in best.items():
        found[target] = {
            "bound_ms": bounds[target],
            "macs": network.macs,
            "over_bound_pct": {
                other: 100 * (table.estimate(network).latency_ms / bounds[other] - 1) for other, table in tables.items()
            },
            "layers_that_differ": {
                other: (Counter(network.layers) - Counter(best[other].layers)).total() for other in best
            },
        }
    return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="Least measuring, for a look at whether it works.")
    arguments = parser.parse_args()
    networks, effort = (6, Effort(seconds=1.0)) if arguments.quick else (arguments.networks, Effort())
    start = perf_counter()
    space, search = (
        ("nas-bench-macro", {"budget": 8}) if arguments.quick else (arguments.space, {"controller": "exact"})
    )
    figures = compared(space, arguments.targets, networks, effort, Stderr(), **search)
    print(json.dumps(figures | {"seconds": perf_counter() - start}, indent=1))


if __name__ == "__main__":
    main()

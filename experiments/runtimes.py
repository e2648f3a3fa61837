"""Does the runtime change the answer? One machine, several runtimes: tables, ranks and winners, in one run.

Each runtime gets its own table of the space, with its error on 20 whole networks that it was not made with. Then the
same random networks are measured on each: Kendall's tau between runtimes, and how far each table is off on them. At the
end the winner of each runtime under its own median latency, proven by `exact`, stands beside those of the others.

    python experiments/runtimes.py --out FOLDER [--space mobile] [--networks 60] [--targets cpu cpu:openvino …]
    python experiments/runtimes.py --out FOLDER --quick     minutes, on the smallest space; its figures mean nothing

A further call goes on from the runtime at which the last one was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from pieces import Pieces
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
    space: str | Path,
    targets: Sequence[str],
    networks: int,
    effort: Effort,
    pieces: Pieces,
    teller: Teller,
    **search: Any,
) -> dict[str, Any]:
    """The figures, as JSON has them; winners by `nas.search` with these keywords."""
    loaded = nas.load_space(space)
    drawn = random_networks(loaded, networks, np.random.default_rng([SEED, 7]))
    folders = {target: pieces.folder / "tables" / target.replace(":", "-") for target in targets}

    def measured(target: str) -> dict[str, Any]:
        teller.say(target)
        start = perf_counter()
        with attached(target) as device:
            table = profile(loaded, target, device, folders[target], effort, teller)
            profiled = perf_counter() - start
            times = measure_networks(drawn, table, device, teller)
        estimated = np.array([table.estimate(network).latency_ms for network in drawn])
        return {
            "runtime": f"{table.header.runtime.name} {table.header.runtime.version}",
            "threads": table.header.threads,
            "profile_seconds": profiled,
            "table_error": table.networks_error,
            "fresh_networks_error": error_of(estimated, times.ms, times.floor_pct).model_dump(),
            "ms": times.ms.tolist(),
            "too_busy": times.too_busy,
        }

    told = {target: pieces.kept(target.replace(":", "-"), partial(measured, target)) for target in targets}
    tables = {target: nas.load_table(folder) for target, folder in folders.items()}
    ms = {target: told[target].pop("ms") for target in targets}
    medians = {target: float(np.median(times)) for target, times in ms.items()}
    with TemporaryDirectory() as temporary:
        best = winners(space, tables, medians, Path(temporary), search)
    return {
        "space": loaded.name,
        "networks": len(drawn),
        "runtimes": {
            target: told[target] | {"ms": [min(ms[target]), medians[target], max(ms[target])]} for target in ms
        },
        "kendall_tau": {a: {b: float(kendalltau(ms[a], ms[b]).statistic) for b in targets} for a in targets},
        "tau_of_macs": {a: float(kendalltau([n.macs for n in drawn], ms[a]).statistic) for a in targets},
        "winners": best,
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
    parser.add_argument("--out", type=Path, default=Path("runs/runtimes"))
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="Least measuring, for a look at whether it works.")
    arguments = parser.parse_args()
    networks, effort = (6, Effort(seconds=1.0)) if arguments.quick else (arguments.networks, Effort())
    space, search = (
        ("nas-bench-macro", {"budget": 8}) if arguments.quick else (arguments.space, {"controller": "exact"})
    )
    setting = {"space": space, "targets": arguments.targets, "networks": networks, "seconds": effort.seconds}
    pieces = Pieces(arguments.out.resolve(), setting)
    print(json.dumps(compared(space, arguments.targets, networks, effort, pieces, Stderr(), **search), indent=1))


if __name__ == "__main__":
    main()

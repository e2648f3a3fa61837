"""How true is a table of 8-bit networks beside one of the same networks in float32, made and checked in one run?

Fresh random networks of a space, none of those that the tables were made or checked with, are measured in both
precisions in turns, a part of them at a time, and held against the table of their precision. Beside the tables: a line
over MACs through the same networks, and whether 8 bits rank networks otherwise than float32 (Kendall's tau).

    python experiments/int8_table.py --out int8_table     (again: it goes on where it was stopped)

The claim: the mean error in int8 is at most 1.5 times that in float32.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pieces import Pieces
from scipy.stats import kendalltau

from nas.blocks.precision import MEASURED
from nas.profiler.bench import attached
from nas.profiler.networks import random_networks
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.verify import error_of, measure_networks
from nas.space.load import load_space
from nas.tables.table import load_table

AT_ONCE = 20
"""Networks of one precision that are measured together."""
MOST = 1.5
"""Times the error in float32 that the one in int8 may be."""


class Stderr:
    """Tells on stderr."""

    def progress(self, done: int, total: int | None, note: str) -> None:
        """Nothing: pieces tell enough."""

    def say(self, line: str) -> None:
        """A line."""
        print(line, file=sys.stderr, flush=True)


def tabled(space: str, target: str, precision: str, folder: Path, effort: Effort) -> dict[str, Any]:
    """Profile into a folder, and what the header says of it."""
    with attached(target) as device:
        table = profile(load_space(space, precision=precision), target, device, folder, effort, Stderr())
    beside = table.header.beside_float
    return {"networks_error": table.networks_error, "over_float32": beside and beside.ratio}


def timed(space: str, target: str, precision: str, folder: Path, seed: int, part: int, count: int) -> dict[str, Any]:
    """A part of the fresh networks by their table and by the clock, ms at the pace of the table's day."""
    loaded, table = load_space(space, precision=precision), load_table(folder)
    networks = random_networks(loaded, count, np.random.default_rng([seed, 2026]))[
        part * AT_ONCE : (part + 1) * AT_ONCE
    ]
    with attached(target) as device:
        found = measure_networks(networks, table, device, Stderr())
    return {
        "macs": [network.macs for network in networks],
        "table_ms": [table.estimate(network).latency_ms for network in networks],
        "measured_ms": found.ms.tolist(),
        "drift_pct": found.drift_pct,
        "floor_pct": found.floor_pct,
        "too_busy": found.too_busy,
    }


def summed_up(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors of one precision over all parts."""
    macs, table, measured = (
        np.concatenate([np.array(part[name], float) for part in parts]) for name in ("macs", "table_ms", "measured_ms")
    )
    columns = np.column_stack([macs, np.ones(len(macs))])
    scale = np.linalg.lstsq(columns / measured[:, None], np.ones(len(macs)), rcond=None)[0]
    floor = float(np.mean([part["floor_pct"] for part in parts]))
    return {
        "table": error_of(table, measured, floor).model_dump(exclude_none=True),
        "bias_pct": float(100 * (table / measured - 1).mean()),
        "a line over MACs": error_of(columns @ scale, measured, floor).model_dump(exclude_none=True),
        "too_busy": [part["too_busy"] for part in parts if part["too_busy"]],
        "ms": measured.tolist(),
    }


def run(space: str, target: str, out: Path, networks: int, seed: int, effort: Effort) -> dict[str, Any]:
    """All of it, piece by piece; returns the figures."""
    settings = {"space": space, "target": target, "networks": networks, "seed": seed, "seconds": effort.seconds}
    pieces = Pieces(out, settings)
    tables = {
        p: pieces.kept(f"table-{p}", lambda p=p: tabled(space, target, p, out / f"table-{p}", effort)) for p in MEASURED
    }
    parts: dict[str, list[dict[str, Any]]] = {precision: [] for precision in MEASURED}
    for part in range(-(-networks // AT_ONCE)):
        for p in MEASURED:
            asked = (space, target, p, out / f"table-{p}", seed, part, networks)
            parts[p].append(pieces.kept(f"networks-{p}-{part}", lambda asked=asked: timed(*asked)))
    found = {precision: summed_up(each) for precision, each in parts.items()}
    plain, small = (np.array(found[precision].pop("ms")) for precision in MEASURED)
    errors = [found[precision]["table"]["mape_pct"] for precision in MEASURED]
    return {
        **settings,
        "tables": tables,
        **found,
        "int8_over_float32": {
            "time": float(np.median(small / plain)),
            "error": errors[1] / errors[0],
            "kendall_tau": float(kendalltau(plain, small).statistic),
        },
        "holds": bool(errors[1] <= MOST * errors[0]),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="Folder of what is measured.")
    parser.add_argument("--space", default="mobile")
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="Few networks and a second of measuring, to see it run.")
    asked = parser.parse_args()
    effort = Effort(50.0, 1.0) if asked.quick else Effort()
    networks = 8 if asked.quick else asked.networks
    found = run(asked.space, asked.target, asked.out, networks, asked.seed, effort)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

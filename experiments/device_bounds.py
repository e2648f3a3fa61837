"""Is a latency bound met by the clock? Ten bounds over the attainable range of `mobile` on this machine.

Makes the table of this machine, searches under each bound by it, then measures each winner as `nas verify` does.

    python experiments/device_bounds.py [--bounds 10] [--table FOLDER]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

import nas
from nas.profiler.bench import attached
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.verify import verify
from nas.system.teller import Silent


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bounds", type=int, default=10)
    parser.add_argument("--table", type=Path, help="A table folder of this machine; by default a new one is made.")
    arguments = parser.parse_args()
    start, space, rows = perf_counter(), nas.load_space("mobile"), []
    with TemporaryDirectory() as temporary, attached("cpu") as device:
        folder = arguments.table or Path(temporary) / "table"
        table = profile(space, "cpu", device, folder, Effort(), Silent())
        least, most = nas.latency(space, table).bounds()
        for number, share in enumerate(np.linspace(0.05, 0.95, arguments.bounds)):
            bound = float(least + share * (most - least))
            run = nas.search(
                space="mobile", target=str(folder), latency_ms=bound, seed=number, out=Path(temporary) / str(number)
            )
            found = verify(run.architecture, table, device, Silent())
            rows.append(
                {
                    "asked_ms": bound,
                    "table_ms": found["latency_ms"],
                    "measured_ms": found["measured_ms"],
                    "halfwidth_ms": found["measured_halfwidth_ms"],
                    "by_the_clock_ms": found["raw_ms"],
                    "drift_pct": found["drift_pct"],
                    "over_asked_pct": 100 * (found["measured_ms"] / bound - 1),
                    "over_table_pct": found["error_pct"],
                }
            )
    print(
        json.dumps(
            {
                "device": table.header.summary,
                "table_error": table.networks_error,
                "attainable_ms": [least, most],
                "bounds": rows,
                "within_3_pct_of_asked": sum(row["over_asked_pct"] <= 3 for row in rows),
                "within_5_pct_of_table": sum(abs(row["over_table_pct"]) <= 5 for row in rows),
                "seconds": perf_counter() - start,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()

"""The same table made twice: how far are the rows apart?

python experiments/table_repeat.py
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import nas
from nas.profiler.bench import attached
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.system.teller import Silent
from nas.tables.diff import compare


def main() -> None:
    """Print the figures as JSON."""
    space, tables, seconds = nas.load_space("mobile"), [], []
    with TemporaryDirectory() as temporary:
        for name in ("first", "second"):
            start = perf_counter()
            with attached("cpu") as device:
                tables.append(profile(space, "cpu", device, Path(temporary) / name, Effort(), Silent()))
            seconds.append(perf_counter() - start)
    errors = [table.networks_error for table in tables]
    print(json.dumps({"seconds": seconds, "errors": errors, "difference": compare(*tables)}, indent=1))


if __name__ == "__main__":
    main()

"""How many injected faults cost nothing that was measured: tests/devices/test_faults.py by kind and transport.

    python experiments/faults.py [--sample]

All 200 take about five minutes, the sample of 20 half a minute. Needs sshd, adb, a C compiler and leave to mount a
small disk; what cannot be done here is counted as skipped. Prints JSON: of each kind and transport, held / of how many.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from time import perf_counter

import click
import pytest

FILE = Path(__file__).parents[1] / "tests" / "devices" / "test_faults.py"


class Tally:
    """A plugin of pytest that counts what became of each case."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The worst of setup, call and teardown counts."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome

    def cells(self) -> dict[str, dict[str, str]]:
        """Held / all, by kind and transport."""
        counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for name, outcome in self.outcomes.items():
            if case := re.search(r"\[(\w+)-\d+-(\w+)-\w+\]$", name):
                counts[case[2].replace("_", " "), case[1]][outcome] += 1
        table: dict[str, dict[str, str]] = {}
        for (kind, transport), found in sorted(counts.items()):
            skipped = f", {found['skipped']} skipped" if found["skipped"] else ""
            held, failed = found["passed"], found["failed"]
            table.setdefault(kind, {})[transport] = f"{held}/{held + failed}{skipped}"
        return table


@click.command()
@click.option("--sample", is_flag=True, help="Only the cases that the tests run by default.")
def main(sample: bool) -> None:
    """Run the cases and print the tally."""
    tally, began = Tally(), perf_counter()
    with redirect_stdout(stderr):
        pytest.main([str(FILE), *([] if sample else ["-m", ""])], plugins=[tally])
    cases = {name: outcome for name, outcome in tally.outcomes.items() if "[" in name}
    print(
        json.dumps(
            {
                "faults": len(cases),
                **{outcome: sum(o == outcome for o in cases.values()) for outcome in ("passed", "failed", "skipped")},
                "seconds": round(perf_counter() - began),
                "held": tally.cells(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()

"""What becomes of the hostile inputs of tests/hostile/: the table of docs/safety.md, and how many are refused.

    python experiments/hostile.py [--only TEXT]

Every input is made in a folder of its own and read by `python -m nas`. Memory is the peak of that process
(`wait4`), beside the peak of the same command with a harmless input; seconds are the processor's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "hostile"))

from box import Box, Outcome
from hostile import Make
from hostile_readers import READERS


def outcome(make: Make) -> Outcome:
    """Of one input, in a box of its own."""
    with TemporaryDirectory(prefix="nas-hostile-") as folder:
        box = Box(Path(folder) / "box")
        found = box.run(make(box))
        assert not box.canary.exists(), found
        return found


@click.command()
@click.option("--only", default="", help="Inputs whose reader or name has this in it.")
def main(only: str) -> None:
    """Print the table, then the figures as JSON."""
    refused, total, most, slowest = 0, 0, 0.0, 0.0
    for reader in READERS:
        chosen = [hostile for hostile in reader.inputs if only in f"{reader.name}: {hostile.name}"]
        if not chosen:
            continue
        base = outcome(reader.harmless).peak_mb
        click.echo(f"\n**{reader.name}** (harmless: {base:.0f} MB)\n")
        click.echo("| input | refused with | exit | peak MB | s |\n|---|---|---|---|---|")
        for hostile in chosen:
            found = outcome(hostile.make)
            said = found.said.strip().splitlines()
            total += 1
            refused += (
                found.code == 2 and hostile.says in found.said and not found.changed and len(said) <= hostile.lines
            )
            most, slowest = max(most, found.peak_mb - base), max(slowest, found.cpu_s)
            words = hostile.says.replace("|", "\\|")
            click.echo(f"| {hostile.name} | … {words} … | {found.code} | {found.peak_mb:.0f} | {found.cpu_s:.2f} |")
    figures = {
        "inputs": total,
        "refused": refused,
        "most_mb_beyond_harmless": round(most),
        "most_seconds": round(slowest, 2),
    }
    click.echo(f"\n{json.dumps(figures)}")


if __name__ == "__main__":
    main()

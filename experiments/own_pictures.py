"""From a network that one has to one that is fast enough: `nas` against cutting evenly, scaling and searching anew.

    python experiments/own_pictures.py --weights mobilenet_v2-imagenet.safetensors --data imagefolder:PICTURES.tar \\
        --out FOLDER [--methods NAME …] [--shares 0.25 0.4 0.6] [--seeds 0 1 2] [--list | --show]

Bounds are shares of the measured latency of the whole network on this CPU, seeds are of everything that is drawn. Every
method has about the same processor time: ours takes `--budget` for the search and `--epochs` of training, as typed; the
others train for as many epochs as fit into what ours took (the searches of `mobile`: half of it for the search). Whole
networks are timed beside the whole one in the same minutes, so that the pace of the machine falls out.

supernet, sensitivity, netadapt   the three ways of `nas search --network`, then `nas train RUN`
…-scratch                         what they found, trained from scratch by the default recipe (30 epochs)
even, even-inner                  the same network, all widths or all inner widths cut by one factor, the important
                                  channels kept (Taylor), then trained with the whole one, tuned, as the teacher
mobilenetv2-1.0, …                published networks scaled by width to the bound, from scratch
mobile                            `nas search --space mobile`, the winner from scratch
whole                             all of the network, tuned

Every step is a piece that is made once; a call goes on from where the last one was stopped. `--quick` makes all of it
so small, on a fake device, that it says nothing but that it runs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from duel import EVEN, METHODS, SCALED, SCRATCH, WAYS, Cell, Duel
from pieces import Pieces

from nas.errors import Unattainable

ABOVE = 1.03
"""Times the bound that a network may measure and still be said to keep it."""


def shown(rows: dict[Cell, dict[str, Any]], shares: Sequence[float]) -> str:
    """The tables of docs/results.md: test top-1 by method and bound, differences with their errors, and costs."""
    lines = [
        f"| | {' | '.join(f'{share:.0%}' for share in shares)} | measured, of the bound | core-minutes a cell |",
        "|---" * (len(shares) + 3) + "|",
    ]
    for method in METHODS:
        mine = {cell: row for cell, row in rows.items() if cell.method == method}
        if not mine:
            continue
        cells = [mean_of([row["top1"] for cell, row in mine.items() if cell.share == share]) for share in shares]
        if method == "whole":
            cells = [mean_of([row["top1"] for row in mine.values()])] + [""] * (len(shares) - 1)
        used = [row["share"] / (1 if method == "whole" else cell.share) for cell, row in mine.items()]
        above = sum(value > ABOVE for value in used)
        told = f"{min(used):.2f}–{max(used):.2f}" + (f" ({above} of {len(used)} above {ABOVE})" if above else "")
        known = [row["cpu_seconds"] for row in mine.values() if row["cpu_seconds"] is not None]
        cost = f"{fmean(known) / 60:.1f}" if known else "?"
        lines.append(f"| {method} | {' | '.join(cells)} | {told} | {cost} |")
    lines += [
        "",
        "| points, over the cells that both have | " + " | ".join(WAYS) + " |",
        "|---" * (len(WAYS) + 1) + "|",
    ]
    for label, rival in rivals(rows, shares).items():
        told = [mean_of(differences(rows, way, rival), sign=True) for way in WAYS]
        if any(told):
            lines.append(f"| {label} | {' | '.join(told)} |")
    return "\n".join(lines)


Rival = Callable[[Cell], list[float]]


def rivals(rows: dict[Cell, dict[str, Any]], shares: Sequence[float]) -> dict[str, Rival]:
    """What our ways are held against: for each of our cells the top-1 of rivals to subtract, [] where there is none."""

    def same(cell: Cell, method: str) -> list[float]:
        return [rows[cell.of(method)]["top1"]] if cell.of(method) in rows else []

    def best(methods: Sequence[str]) -> Rival:
        """That with the best mean at a bound, so the choice favours the rival."""
        means = {
            (method, share): fmean(found)
            for method in methods
            for share in shares
            if (found := [row["top1"] for cell, row in rows.items() if (cell.method, cell.share) == (method, share)])
        }

        def of(cell: Cell) -> list[float]:
            at = {method: mean for (method, share), mean in means.items() if share == cell.share}
            return same(cell, max(at, key=lambda method: at[method])) if at else []

        return of

    def whole(cell: Cell) -> list[float]:
        return [
            row["top1"]
            for other, row in rows.items()
            if cell.share == shares[-1] and (other.method, other.seed) == ("whole", cell.seed)
        ]

    return {
        "above the better even cut (goal 2)": best(EVEN),
        "above the best scaled network (goal 8)": best(SCALED),
        "above `mobile`": best(("mobile",)),
        "above itself from scratch": lambda cell: same(cell, cell.method + SCRATCH),
        f"above the whole network, at {shares[-1]:.0%} (goal −1.5)": whole,
    }


def differences(rows: dict[Cell, dict[str, Any]], way: str, rival: Rival) -> list[float]:
    """Ours less the rival's, a cell each."""
    return [row["top1"] - other for cell, row in rows.items() if cell.method == way for other in rival(cell)]


def mean_of(values: Sequence[float], sign: bool = False) -> str:
    """A mean with its standard error, and of how many; nothing of nothing."""
    if not values:
        return ""
    mean = f"{fmean(values):+.1f}".replace("-", "−") if sign else f"{fmean(values):.1f}"
    return f"{mean} ± {stdev(values) / len(values) ** 0.5:.1f} ({len(values)})" if len(values) > 1 else f"{mean} (1)"


def main() -> None:
    """Make what is not made yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, metavar="FILE", help="Of the whole network.")
    parser.add_argument("--network", default="mobilenetv2-1.0", help="Which it is.")
    images = Path(os.environ.get("NAS_IMAGES", "images")).resolve() / "trashnet-128x96" / "trashnet-128x96.tar"
    parser.add_argument("--data", default=f"imagefolder:{images}")
    parser.add_argument("--out", type=Path, default=Path("runs/own_pictures"))
    parser.add_argument("--budget", default="15m", help="Of our searches.")
    parser.add_argument("--epochs", type=int, default=8, help="Of training what they found.")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.4, 0.6], help="Bounds.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="Only cells of these.")
    parser.add_argument("--cells", nargs="+", help="Only these, by names as --list has them.")
    parser.add_argument("--list", action="store_true", help="What is made and what is not; make nothing.")
    parser.add_argument("--show", action="store_true", help="The tables of what is made; make nothing.")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was spent till then is written down
    setting = {
        "network": arguments.network,
        "data": arguments.data.rpartition("/")[2],
        "resolution": 40 if arguments.quick else 96,
        "budget": "20s" if arguments.quick else arguments.budget,
        "epochs": 1 if arguments.quick else arguments.epochs,
        "scratch_epochs": 1 if arguments.quick else 30,
        "most_epochs": 1 if arguments.quick else 200,
        "precision_pct": 5.0 if arguments.quick else 0.5,
        "threads": os.cpu_count(),
        "mobile": "--accuracy supernet:5" if arguments.quick else "",
        "device": "fake" if arguments.quick else "cpu",
    }
    pieces, shares = Pieces(arguments.out.resolve(), setting), tuple(sorted(arguments.shares))
    duel = Duel(pieces, str(Path(arguments.weights).resolve()), arguments.data, shares, tuple(arguments.seeds))
    for cell in duel.cells(arguments.methods):
        if arguments.cells and cell.name not in arguments.cells:
            continue
        if arguments.list:
            print("made" if pieces.known(f"{cell.name}/row") else "    ", cell.name)
        elif not arguments.show:
            try:
                print(cell.name, duel.make(cell), file=sys.stderr, flush=True)
            except Unattainable as why:
                print(cell.name, why, file=sys.stderr, flush=True)
    if not arguments.list:
        print(shown(duel.rows(), shares))


if __name__ == "__main__":
    main()

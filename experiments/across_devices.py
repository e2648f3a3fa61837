"""Does it pay to search for the device? Proven winners of `mobile` for each target, and what they are on the others.

    python experiments/across_devices.py [--write] [--quick]

Each target gets the bound that a quarter of uniformly drawn networks keeps, so that all bounds are equally tight.

1. `winners`: the best by the accuracy predictor under each bound, proven by `exact`, and by how much it is over or
   under the bound of every other target. MACs, with a bound of the same rank, stand beside the targets.
2. `lost`: whoever searches for another device, or for MACs, and takes what keeps the bound on this one. The bound there
   is lowered or raised in `STEPS` ranks until the proven winner just keeps the bound here; how many points of proxy
   top-1 the best of these is below the best that there is here.

Prints JSON; `--write` also writes `experiments/results/across_devices.json` and draws `docs/across_devices.svg`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

import nas
from nas.cost.factors import Factors
from nas.report.markup import Markup, element
from nas.solvers.exact import Solution, solve
from nas.space.space import Space

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ("pixel-cpu", "pixel3", "zcu102", "vck190", "a100", "rtx3090", "tpuv2")
MACS = "MACs"
SHARE = 0.25
"""Of uniformly drawn networks that keep the bound."""
STEPS = 40
"""Ranks that bounds of others have: from the fastest in two hundred to nine in ten."""
DRAWN = 20_000


class Across:
    """The space, what is paid on every target, and their winners."""

    def __init__(self, targets: Sequence[str], steps: int = STEPS) -> None:
        self.space: Space = nas.load_space("mobile")
        self.value = nas.load_predictor("mobile").factors
        self.costs: dict[str, Factors] = {name: nas.latency(self.space, nas.load_table(name)) for name in targets} | {
            MACS: nas.macs(self.space)
        }
        drawn = self.space.canonical(self.space.sample(DRAWN, np.random.default_rng(0)))
        self.ranked = {name: np.sort(cost(drawn)) for name, cost in self.costs.items()}
        self.steps = np.geomspace(0.005, 0.9, steps).tolist()
        self.solutions: dict[tuple[str, float], Solution] = {}

    def bound(self, name: str, share: float) -> float:
        """ms, or MACs, that this share of drawn networks keeps."""
        return float(np.quantile(self.ranked[name], share))

    def winner(self, name: str, share: float) -> Solution:
        """The best under that bound."""
        key = (name, share)
        if key not in self.solutions:
            bounds = {name: self.bound(name, share)}
            self.solutions[key] = solve(self.space, self.value, {name: self.costs[name]}, bounds)
        return self.solutions[key]

    def kept(self, there: str, here: str) -> float:
        """The largest value of winners there that keep the bound here, by bisection over the steps."""
        bound, low, high, best = self.bound(here, SHARE), -1, len(self.steps), -np.inf
        while high - low > 1:
            middle = (low + high) // 2
            found = self.winner(there, self.steps[middle])
            if self.costs[here](found.genotype[None])[0] <= bound:
                low, best = middle, max(best, found.value)
            else:
                high = middle
        return best

    def found(self) -> dict[str, Any]:
        """Both parts."""
        names = list(self.costs)
        winners = {name: self.winner(name, SHARE) for name in names}
        lost: dict[str, dict[str, float]] = {
            there: {
                here: 0.0 if here == there else round(winners[here].value - self.kept(there, here), 3)
                for here in names[:-1]
            }
            for there in names
        }
        others = [lost[there][here] for here in names[:-1] for there in names[:-1] if there != here]
        by_macs = list(lost[MACS].values())
        return {
            "share": SHARE,
            "winners": {
                name: {
                    "bound": round(self.bound(name, SHARE), 4),
                    "accuracy": round(winner.value, 3),
                    "proven": winner.proven,
                    "decisions": self.space.choices(winner.genotype),
                    "over_pct": {here: self.over(winner, here) for here in names},
                }
                for name, winner in winners.items()
            },
            "lost": lost,
            "lost_by_macs": {"mean": round(float(np.mean(by_macs)), 3), "most": max(by_macs)},
            "lost_by_another": {"mean": round(float(np.mean(others)), 3), "most": max(others)},
            "solved": len(self.solutions),
            "proven": sum(solution.proven for solution in self.solutions.values()),
        }

    def over(self, winner: Solution, here: str) -> float:
        """Percent that a network's cost is over the bound."""
        return round(100 * float(self.costs[here](winner.genotype[None])[0] / self.bound(here, SHARE) - 1), 1)


SIDE, LEFT, TOP = 92, 130, 96
"""Of a cell, and the margins, in pixels."""


def drawing(found: dict[str, Any]) -> str:
    """A square for each pair: rows are what was searched for, columns where the network runs."""
    lost, winners = found["lost"], found["winners"]
    columns = [name for name in lost if name != MACS]
    most = max(max(row.values()) for row in lost.values())
    width, height = LEFT + SIDE * len(columns) + 20, TOP + SIDE * len(lost) + 40
    title = "Points of proxy top-1 lost on a device by searching for another one"
    drawn: list[Markup] = [
        element("rect", width=width, height=height, fill="#ffffff"),
        element("text", title, x=16, y=24, font_weight="600"),
        element("text", "runs on →", x=LEFT - 10, y=TOP - 30, text_anchor="end", fill="#57606a"),
        element("text", "searched for ↓", x=LEFT - 10, y=TOP - 10, text_anchor="end", fill="#57606a"),
    ]
    for place, name in enumerate(columns):
        middle = LEFT + SIDE * (place + 0.5)
        bound = winners[name]["bound"]
        drawn.append(element("text", name, x=middle, y=TOP - 28, text_anchor="middle", font_weight="600"))
        drawn.append(element("text", f"≤ {bound:.3g} ms", x=middle, y=TOP - 10, text_anchor="middle", fill="#57606a"))
    for row, (there, mine) in enumerate(lost.items()):
        y = TOP + SIDE * row + (10 if there == MACS else 0)
        drawn.append(element("text", there, x=LEFT - 10, y=y + SIDE / 2 + 4, text_anchor="end", font_weight="600"))
        for place, here in enumerate(columns):
            x, own = LEFT + SIDE * place, there == here
            depth = mine[here] / most
            fill = "#f6f8fa" if own else f"rgba(194,65,12,{0.06 + 0.8 * depth:.2f})"
            words = f"{winners[here]['accuracy']:.2f}" if own else f"−{mine[here]:.2f}"
            over = winners[there]["over_pct"][here]
            tip = element("title", f"{there} on {here}: {words}; at equal rank {over:+.1f} % of the bound")
            drawn.append(element("rect", tip, x=x + 2, y=y + 2, width=SIDE - 4, height=SIDE - 4, rx=6, fill=fill))
            colour = "#ffffff" if not own and depth > 0.7 else "#1f2937"
            middle = x + SIDE / 2
            drawn.append(element("text", words, x=middle, y=y + SIDE / 2, text_anchor="middle", fill=colour))
            if not own:
                small = {"font_size": "10", "text_anchor": "middle", "fill": colour}
                drawn.append(
                    element("text", f"{over:+.0f} % time".replace("-", "−"), x=middle, y=y + SIDE / 2 + 17, **small)
                )
    return element(
        "svg",
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        font_family="system-ui, sans-serif",
        font_size="13",
        fill="#1f2937",
    )


@click.command()
@click.option("--write", "save", is_flag=True, help="write the results, and the picture of the docs")
@click.option("--quick", is_flag=True, help="three targets and few steps, for a try")
@click.option("--targets", default=",".join(TARGETS), show_default=True, help="those that answer for mobile")
def main(save: bool, quick: bool, targets: str) -> None:
    """Prove the winners, print both parts as JSON, and with --write keep and draw them."""
    start = perf_counter()
    across = Across(targets.split(",")[: 3 if quick else None], 6 if quick else STEPS)
    found = across.found()
    if save:
        (ROOT / "experiments/results/across_devices.json").write_text(json.dumps(found, indent=1) + "\n")
        (ROOT / "docs/across_devices.svg").write_text(drawing(found) + "\n")
    seconds = [solution.seconds for solution in across.solutions.values()]
    told = {"seconds": round(perf_counter() - start, 1), "slowest_proof_seconds": round(max(seconds), 2)}
    print(json.dumps(found | told, indent=1))


if __name__ == "__main__":
    main()

"""One network for a fleet: what a bound on each of several targets costs, and what the network of one costs the others.

    python experiments/fleet.py [--targets pixel-cpu,zcu102,tpuv2] [--shares 0.5,0.6,0.7,0.8] [--seeds 3] [--quick]

The space is `mobile`, and a share is of EfficientNet-B0's latency on each target. At each share

- `exact` answers for all targets together: accuracy, gap, seconds, and the share of each bound that is used;
- `evolution` searches without a proof: points of accuracy below the proven best, each seed;
- `exact` answers for each target alone: how far its network is over the bounds of the others, in percent.

Prints JSON. `--quick` is one share, one seed and a budget of 20,000.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

import nas
from nas.runs.result import Result


def searched(targets: tuple[str, ...], share: float, out: Path, **more: Any) -> Result:
    """A search at this share of the reference's latency on each target."""
    shares = (share,) * len(targets)
    return nas.search(space="mobile", target=targets, latency_share=shares, out=out, **more).result


def used(result: Result) -> dict[str, float]:
    """The share of each target's bound that the winner uses."""
    return {on.target: round(on.latency_ms / on.bound_ms, 4) for on in result.targets}


def compared(targets: tuple[str, ...], share: float, seeds: int, budget: int | None) -> dict[str, Any]:
    """All figures of one share."""
    with tempfile.TemporaryDirectory() as folder:
        best = searched(targets, share, Path(folder, "exact"), controller="exact")
        assert best.proof is not None
        runs = [
            searched(targets, share, Path(folder, f"evolution-{seed}"), prove=False, seed=seed, budget=budget)
            for seed in range(seeds)
        ]
        alone = {target: searched((target,), share, Path(folder, target), controller="exact") for target in targets}
    space = nas.load_space("mobile")
    latency = {target: nas.latency(space, nas.load_table(target)) for target in targets}
    bounds = {on.target: on.bound_ms for on in best.targets}

    def over(result: Result) -> dict[str, float]:
        genotype = space.encode([result.winner.decisions])
        return {name: round(100 * (float(latency[name](genotype)[0]) / bounds[name] - 1), 1) for name in targets}

    return {
        "share": share,
        "bounds_ms": bounds,
        "exact": {
            "accuracy": round(best.winner.accuracy, 3),
            "proven": best.proof.proven,
            "gap": round(best.proof.gap, 4),
            "seconds": round(best.proof.seconds, 1),
            "used": used(best),
        },
        "evolution": [
            {
                "below": round(best.winner.accuracy - run.winner.accuracy, 4),
                "seconds": round(run.seconds, 1),
                "used": used(run),
            }
            for run in runs
        ],
        "alone": {
            target: {"accuracy": round(result.winner.accuracy, 3), "over_pct": over(result)}
            for target, result in alone.items()
        },
    }


@click.command()
@click.option("--targets", default="pixel-cpu,zcu102,tpuv2")
@click.option("--shares", default="0.5,0.6,0.7,0.8")
@click.option("--seeds", default=3)
@click.option("--quick", is_flag=True)
def main(targets: str, shares: str, seeds: int, quick: bool) -> None:
    """Print the figures."""
    names = tuple(targets.split(","))
    asked = [float(share) for share in shares.split(",")]
    budget = 20_000 if quick else None
    found = [compared(names, share, 1 if quick else seeds, budget) for share in (asked[:1] if quick else asked)]
    click.echo(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

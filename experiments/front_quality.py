"""Fronts: `nsga2` against the exact front of `mobile`, and against the true front of NAS-Bench-Macro.

    python experiments/front_quality.py [--data DIR] [--seeds 20]

1. `mobile` on `pixel-cpu`: `exact` traces the front at 20 bounds spread over the attainable range, and proves each; the
   hypervolume of what `nas search --controller nsga2` finds is divided by that of the traced points, both up to the
   same reference point: the front's least accuracy and largest latency, widened by a tenth of its extent. A traced
   front has steps between its bounds, so a ratio above 1 is possible. Beside it, the winner of `evolution` for five
   seeds at 40, 60, 75 and 100 ms against the proven best.
2. NAS-Bench-Macro with MACs as cost (published accuracies of all 3,969 networks, so the true front is known):
   hypervolume after 500 evaluations, mean over seeds, with Optuna's NSGA-II beside it. Repeats cost nothing for either.

Prints JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
import optuna
from numpy.typing import NDArray

import nas
from nas.accuracy.tabular import load_tabular
from nas.controllers.nsga2 import NSGA2
from nas.controllers.unique import Unique
from nas.cost.front import hypervolume, pareto_front
from nas.solvers.exact import solve
from nas.space.index import GenotypeIndex

ROOT = Path(__file__).resolve().parent.parent
BUDGET = 500


def reference_point(cost: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[float, float]:
    """The worst corner of a front, widened by a tenth of its extent."""
    return float(cost.max() + 0.1 * np.ptp(cost)), float(value.min() - 0.1 * np.ptp(value))


def mobile(seed: int) -> dict[str, Any]:
    """Part 1."""
    space, table, predictor = nas.load_space("mobile"), nas.load_table("pixel-cpu"), nas.load_predictor("mobile")
    latency = nas.latency(space, table)
    least, largest = latency.bounds()
    bounds = np.linspace(least, largest, 21)[1:]
    traced = [solve(space, predictor.factors, {"latency_ms": latency}, {"latency_ms": float(b)}) for b in bounds]
    costs = latency(np.stack([solution.genotype for solution in traced]))
    values = np.array([solution.value for solution in traced])
    reference = reference_point(costs, values)
    with tempfile.TemporaryDirectory() as folder:
        run = nas.search(space="mobile", target="pixel-cpu", controller="nsga2", seed=seed, out=Path(folder) / "nsga2")
        pace = run.result
        found = np.array([(point.latency_ms, point.accuracy) for point in run.front])
        winners = {}
        for bound in (40.0, 60.0, 75.0, 100.0):
            best = solve(space, predictor.factors, {"latency_ms": latency}, {"latency_ms": bound})
            gaps = [
                best.value
                - nas.search(
                    space="mobile",
                    target="pixel-cpu",
                    latency_ms=bound,
                    seed=s,
                    prove=False,  # what evolution finds by itself
                    out=Path(folder) / f"{bound}-{s}",
                ).winner.accuracy
                for s in range(5)
            ]
            winners[f"{bound:.0f} ms"] = {
                "proven": best.proven,
                "best": round(best.value, 4),
                "seconds": round(best.seconds, 2),
                "evolution_gap_by_seed": [round(gap, 4) for gap in gaps],
            }
    return {
        "traced_proven": sum(solution.proven for solution in traced),
        "traced_seconds": round(sum(solution.seconds for solution in traced), 1),
        "hypervolume_ratio": hypervolume(found[:, 0], found[:, 1], reference) / hypervolume(costs, values, reference),
        "nsga2_evaluations": pace.evaluations,
        "nsga2_seconds": round(pace.seconds, 1),
        "winners": winners,
    }


def macro(data: Path, seeds: int) -> dict[str, Any]:
    """Part 2."""
    space = nas.load_space("nas-bench-macro")
    accuracy = load_tabular(space, str(data / "nas_bench_macro" / "nas_bench_macro_cifar10.csv"))
    macs = nas.macs(space)
    everything = space.enumerate()
    costs, values = macs(everything), accuracy(everything)
    true = pareto_front(costs, values)
    reference = reference_point(costs[true], values[true])
    whole = hypervolume(costs, values, reference)

    def ratio(population: NDArray[np.uint8]) -> float:
        return hypervolume(macs(population), accuracy(population), reference) / whole

    def ours(seed: int) -> tuple[float, float]:
        known = GenotypeIndex(space.cardinalities)
        controller = Unique(NSGA2.sized(space, everything[:0], BUDGET), space, known)
        start, batch = perf_counter(), 0
        while len(known) < BUDGET:
            population = controller.ask(min(10, BUDGET - len(known)), np.random.default_rng([seed, batch]))
            known.add(population)
            objectives = np.stack([accuracy(population), -macs(population)], axis=1)
            controller.tell(population, objectives, np.zeros(len(population)))
            batch += 1
        return ratio(known.genotypes()), perf_counter() - start

    def optunas(seed: int) -> tuple[float, float]:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        known = GenotypeIndex(space.cardinalities)
        study = optuna.create_study(
            directions=["maximize", "minimize"],
            sampler=optuna.samplers.NSGAIISampler(seed=seed, population_size=25),
        )
        start = perf_counter()
        while len(known) < BUDGET:
            trial = study.ask()
            indices = [trial.suggest_int(d.name, 0, len(d.options) - 1) for d in space.decisions]
            genotype = space.canonical(np.array([indices], dtype=np.uint8))
            known.add(genotype)
            study.tell(trial, [float(accuracy(genotype)[0]), float(macs(genotype)[0])])
        return ratio(known.genotypes()), perf_counter() - start

    found = {"nsga2": [ours(seed) for seed in range(seeds)], "optuna_nsga2": [optunas(seed) for seed in range(seeds)]}
    return {
        "true_front": len(true),
        "evaluations": BUDGET,
        "seeds": seeds,
        **{
            name: {
                "hypervolume_ratio": float(np.mean([r for r, _ in runs])),
                "standard_error": float(np.std([r for r, _ in runs], ddof=1) / np.sqrt(seeds)),
                "least": min(r for r, _ in runs),
                "seconds": float(np.mean([s for _, s in runs])),
            }
            for name, runs in found.items()
        },
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/measured")
@click.option("--seeds", default=20, show_default=True, help="Of part 2.")
@click.option("--seed", default=0, show_default=True, help="Of part 1.")
def main(data: Path, seeds: int, seed: int) -> None:
    """Run both parts and print JSON."""
    click.echo(json.dumps({"nas_bench_macro": macro(data, seeds), "mobile": mobile(seed)}, indent=1))


if __name__ == "__main__":
    main()

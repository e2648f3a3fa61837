"""Architectures a second: our evolution and predictor beside Optuna's NSGA-II (in memory), in one run on one core.

    python experiments/search_throughput.py [--budget 500000] [--trials 2000]

Both search `mobile` on `pixel-cpu` under 75 ms with the same predictor and table. Ours is the whole search as the
command runs it, ledger on disk included, from the first ask to the last tell; Optuna's is `study.optimize` with
the bound as its constraint. Prints JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
import optuna

import nas

BOUND_MS = 75.0


def ours(budget: int, seed: int) -> dict[str, float]:
    """Distinct architectures a second of `nas.search`, and the accuracy it reaches."""
    with tempfile.TemporaryDirectory() as folder:
        run = nas.search(
            space="mobile",
            target="pixel-cpu",
            latency_ms=BOUND_MS,
            seed=seed,
            budget=budget,
            prove=False,
            out=Path(folder) / "run",
        )
        result = run.result
    return {"archs_per_second": result.archs_per_second, "accuracy": result.winner.accuracy}


def predictor_alone(rows: int) -> float:
    """Architectures a second of the accuracy predictor."""
    space, predictor = nas.load_space("mobile"), nas.load_predictor("mobile")
    population = space.sample(rows, np.random.default_rng(0))
    start = perf_counter()
    predictor(population)
    return rows / (perf_counter() - start)


def optuna_nsga2(trials: int, seed: int) -> dict[str, float]:
    """Distinct architectures a second of Optuna's NSGA-II, and the accuracy it reaches in its trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, table, predictor = nas.load_space("mobile"), nas.load_table("pixel-cpu"), nas.load_predictor("mobile")
    latency = nas.latency(space, table)
    seen: set[bytes] = set()

    def objective(trial: optuna.Trial) -> float:
        genotype = np.array(
            [trial.suggest_int(d.name, 0, len(d.options) - 1) for d in space.decisions], dtype=np.uint8
        )[None]
        seen.add(genotype.tobytes())
        trial.set_user_attr("excess", float(latency(genotype)[0] / BOUND_MS - 1))
        return float(predictor(genotype)[0])

    sampler = optuna.samplers.NSGAIISampler(
        seed=seed, constraints_func=lambda trial: [trial.user_attrs["excess"]], population_size=50
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    start = perf_counter()
    study.optimize(objective, n_trials=trials)
    seconds = perf_counter() - start
    best = max((t.value or 0.0 for t in study.trials if t.user_attrs["excess"] <= 0), default=float("nan"))
    return {"archs_per_second": len(seen) / seconds, "accuracy": best}


@click.command()
@click.option("--budget", default=500_000, show_default=True, help="Evaluations of our search.")
@click.option("--trials", default=2_000, show_default=True, help="Trials of Optuna.")
@click.option("--seed", default=0, show_default=True)
def main(budget: int, trials: int, seed: int) -> None:
    """Time both, alternately, three times; print medians and their ratio."""
    rounds = [(ours(budget, seed + i), optuna_nsga2(trials, seed + i), predictor_alone(1_000_000)) for i in range(3)]
    mine = float(np.median([a["archs_per_second"] for a, _, _ in rounds]))
    theirs = float(np.median([b["archs_per_second"] for _, b, _ in rounds]))
    report = {
        "search_archs_per_second": mine,
        "predictor_archs_per_second": float(np.median([c for _, _, c in rounds])),
        "optuna_nsga2_archs_per_second": theirs,
        "ratio": mine / theirs,
        "proxy_top1_at_75ms": {
            "ours": [round(a["accuracy"], 3) for a, _, _ in rounds],
            f"optuna_after_{trials}_trials": [round(b["accuracy"], 3) for _, b, _ in rounds],
        },
        "optuna": optuna.__version__,
    }
    click.echo(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

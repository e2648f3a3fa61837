"""How good are searches of few evaluations? NAS-Bench-Macro: every network's accuracy is known, from three trainings.

    python experiments/search_quality.py [--data DIR] [--seeds 50] [--controllers a,b] [--out FILE]

prints its figures as JSON. DIR is the folder of measured data; by default `../shared/data/measured` beside the
repository. Finished searches are appended to FILE (JSON lines) and not repeated; two processes may share it.

Two scores, each after 20, 50, 100 and 200 evaluations, in points of accuracy, lower is better:
- `mean`: searches see the mean of three trainings, and are scored by it: the best network's less that of their best.
- `noise`: searches see one training (seed mod 3), and are scored by the mean of the other two: that of the network
  with the best seen accuracy of all, which an oracle would pick, less that of the best they saw. Below 0: the oracle
  fell for more luck than they did.
In both, a search's best is the evaluated network with the highest accuracy as that search saw it.

Duplicates are handled alike: a search that proposes a network it has seen (in canonical form: the order of skips
within a stage has no effect) is told the known value again at no cost, and asked again; after 10 such answers in a
row a random new network is evaluated in its place. Nobody gets initial networks. Proposals are made one at a time.
`optuna-NAME` are Optuna's samplers with their default settings in one study each; the rest are ours by name.
Times are those of one ask and tell in milliseconds, on one thread, beyond the first 20 evaluations.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import click
import numpy as np
import optuna
from numpy.typing import NDArray
from pieces import by_task

from nas.accuracy.tabular import load_tabular
from nas.controllers import CONTROLLERS
from nas.space.index import GenotypeIndex
from nas.space.load import load_space
from nas.space.space import Population, Space

ROOT = Path(__file__).resolve().parent.parent
AFTER = (20, 50, 100, 200)
TASKS = ("mean", "noise")
PATIENCE = 10
SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "optuna-random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "optuna-tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "optuna-nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "optuna-gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}


class Search(Protocol):
    """One search, asked for one genotype `uint8[1, D]` at a time."""

    def ask(self) -> Population: ...

    def tell(self, population: Population, value: float) -> None: ...


class Ours:
    """A controller of `nas`."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        nobody = np.zeros((0, len(space.decisions)), np.uint8)
        self._controller = CONTROLLERS[name](space, nobody, AFTER[-1])
        self._seed, self._asks = seed, 0

    def ask(self) -> Population:
        self._asks += 1
        return self._controller.ask(1, np.random.default_rng([self._seed, self._asks]))

    def tell(self, population: Population, value: float) -> None:
        self._controller.tell(population, np.array([[value]]), np.zeros(1))


class Theirs:
    """A sampler of Optuna; decisions are categorical."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        self._space = space
        self._options = {d.name: optuna.distributions.CategoricalDistribution(d.options) for d in space.decisions}
        self._study = optuna.create_study(direction="maximize", sampler=SAMPLERS[name](seed))
        self._trial: optuna.Trial | None = None

    def ask(self) -> Population:
        if self._trial is not None:  # its proposal was replaced
            self._study.tell(self._trial, state=optuna.trial.TrialState.FAIL)
        self._trial = self._study.ask(self._options)
        self._asked = self._space.canonical(self._space.encode([self._trial.params]))
        return self._asked

    def tell(self, population: Population, value: float) -> None:
        if self._trial is not None and (population == self._asked).all():
            self._study.tell(self._trial, value)
            self._trial = None
        else:
            params = self._space.choices(population[0])
            self._study.add_trial(optuna.create_trial(params=params, distributions=self._options, value=value))


def search(run: Search, space: Space, seen: NDArray[np.float64], networks: Population, seed: int) -> tuple[Any, Any]:
    """Rows of the networks that were evaluated, in order, and the milliseconds of each ask and tell."""
    rows = GenotypeIndex(space.cardinalities)
    rows.add(networks)
    chosen: list[int] = []
    times: list[float] = []
    known: set[int] = set()
    repeats = 0
    while len(chosen) < AFTER[-1]:
        start = perf_counter()
        genotype = run.ask()
        took = perf_counter() - start
        row = int(rows.find(genotype)[0])
        repeats = repeats + 1 if row in known else 0
        if repeats > PATIENCE:
            row = int(np.random.default_rng([seed, len(chosen)]).choice(sorted(set(range(len(networks))) - known)))
            repeats = 0
        start = perf_counter()
        run.tell(networks[row : row + 1], float(seen[row]))
        if len(chosen) >= AFTER[0]:
            times.append(1e3 * (took + perf_counter() - start))
        if row not in known:
            known.add(row)
            chosen.append(row)
    return np.array(chosen), times


def measure(name: str, task: str, seed: int, space: Space, networks: Population, trainings: Any) -> dict[str, Any]:
    """One search and its scores."""
    column = seed % trainings.shape[1]
    seen = trainings.mean(axis=1) if task == "mean" else trainings[:, column]
    scored = seen if task == "mean" else np.delete(trainings, column, axis=1).mean(axis=1)
    run = Theirs(name, space, seed) if name in SAMPLERS else Ours(name, space, seed)
    chosen, times = search(run, space, seen, networks, seed)
    regrets = [scored[seen.argmax()] - scored[chosen[:n][seen[chosen[:n]].argmax()]] for n in AFTER]
    return {
        "controller": name,
        "task": task,
        "seed": seed,
        "regret": [round(float(regret), 4) for regret in regrets],
        "median_ms": round(median(times), 4),
        "mean_ms": round(float(np.mean(times)), 4),
        "asks": len(times) + AFTER[0],
    }


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, standard errors and times by controller."""
    table: dict[str, Any] = {}
    for name in dict.fromkeys(result["controller"] for result in results):
        row: dict[str, Any] = {}
        for task in TASKS:
            mine = [result for result in results if (result["controller"], result["task"]) == (name, task)]
            if not mine:
                continue
            regret = np.array([result["regret"] for result in mine])
            error = [round(float(e), 4) for e in regret.std(axis=0, ddof=1) / np.sqrt(len(mine))] if mine[1:] else None
            row[task] = {
                "seeds": len(mine),
                "regret": {n: round(float(regret[:, i].mean()), 4) for i, n in enumerate(AFTER)},
                "standard_error": None
                if error is None
                else {n: round(float(error[i]), 4) for i, n in enumerate(AFTER)},
            }
        mine = [result for result in results if result["controller"] == name]
        row["median_ms"] = round(median(result["median_ms"] for result in mine), 3)
        row["mean_ms"] = round(float(np.mean([result["mean_ms"] for result in mine])), 3)
        table[name] = row
    theirs = table.get("optuna-gp", {}).get("median_ms")
    for name, row in table.items():
        if theirs and name not in SAMPLERS:
            row["time_of_optuna_gp"] = round(row["median_ms"] / theirs, 5)
    return table


def beside_gp(results: list[dict[str, Any]]) -> dict[str, Any]:
    """`surrogate` less Optuna's GP on the seeds that both have: mean and standard error of the paired differences."""
    by = {(result["controller"], result["task"], result["seed"]): np.array(result["regret"]) for result in results}
    table = {}
    for task in TASKS:
        seeds = sorted(s for name, t, s in by if (name, t) == ("optuna-gp", task) and ("surrogate", task, s) in by)
        if len(seeds) > 1:
            less = np.array([by["surrogate", task, s] - by["optuna-gp", task, s] for s in seeds])
            table[task] = {
                "seeds": seeds,
                "difference": {n: round(float(less[:, i].mean()), 4) for i, n in enumerate(AFTER)},
                "standard_error": {
                    n: round(float(less[:, i].std(ddof=1) / np.sqrt(len(seeds))), 4) for i, n in enumerate(AFTER)
                },
            }
    return table


def pace(space: Space, networks: Population, seen: NDArray[np.float64], asks: int = 120) -> dict[str, Any]:
    """Median milliseconds of one ask and tell, both asked in turn in this process so that both meet the same load."""
    runs: dict[str, Search] = {"surrogate": Ours("surrogate", space, 0), "optuna-gp": Theirs("optuna-gp", space, 0)}
    rows = GenotypeIndex(space.cardinalities)
    rows.add(networks)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(asks):
        for name, run in runs.items():
            start = perf_counter()
            genotype = run.ask()
            row = int(rows.find(genotype)[0])
            run.tell(networks[row : row + 1], float(seen[row]))
            times[name].append(1e3 * (perf_counter() - start))
    medians = {name: median(taken[AFTER[0] :]) for name, taken in times.items()}
    return {**medians, "surrogate_of_optuna_gp": medians["surrogate"] / medians["optuna-gp"]}


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared" / "data" / "measured")
@click.option("--seeds", default=50, help="Searches of each controller and task.")
@click.option("--controllers", default="", help="Names separated by commas; default: ours and four of Optuna's.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("search_quality.jsonl"))
@click.option("--pace", "pace_only", is_flag=True, help="Only time `surrogate` beside Optuna's GP.")
def main(data: Path, seeds: int, controllers: str, out: Path, pace_only: bool) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = controllers.split(",") if controllers else [*(n for n in CONTROLLERS if ":" not in n), *SAMPLERS]
    file = data / "nas_bench_macro" / "nas_bench_macro_cifar10.csv"
    space = load_space("nas-bench-macro")
    networks = space.enumerate()
    columns = [load_tabular(space, f"{file}#acc_seed{column}")(networks) for column in range(3)]
    trainings = np.stack(columns, axis=1)
    if pace_only:
        print(json.dumps(pace(space, networks, trainings.mean(axis=1)), indent=1))
        return
    done = by_task(out)
    for seed in range(seeds):
        for name in names:
            for task in TASKS:
                if (name, task, seed) not in done:
                    result = measure(name, task, seed, space, networks, trainings)
                    with out.open("a") as file_:
                        file_.write(json.dumps(result) + "\n")
                    click.echo(f"{name} {task} {seed}: {result['regret']} {result['median_ms']} ms", err=True)
    chosen = [result for key, result in by_task(out).items() if key[0] in names and key[2] < seeds]
    print(
        json.dumps(
            {
                "evaluations": AFTER,
                "versions": {"optuna": optuna.__version__},
                **summary(chosen),
                "surrogate_less_gp": beside_gp(chosen),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()

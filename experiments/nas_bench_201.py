"""Searches of few evaluations on NAS-Bench-201, where every network's accuracy and latency is known.

    python experiments/nas_bench_201.py [--seeds 50] [--bounded 50] [--controllers a,b] [--out FILE]

prints its figures as JSON. Finished searches are appended to FILE (JSON lines) and not repeated. Of each network the
accuracy is the mean of NAS-Bench-201's trainings of 200 epochs, tested, the latency what was measured on the device:
both ship with `nas`. A network is its canonical code; none is evaluated twice, and proposals are made one at a time.

Free: CIFAR-10, CIFAR-100 and ImageNet16-120 without a bound. The regret is the best network's accuracy less that of the
best evaluated, in points. Nobody gets initial networks.
Bounded: CIFAR-100 on six devices, each with three bounds, the latencies that 10, 30 and 50 % of the networks keep. The
regret is that to the best network within the bound; `over` is by how much the search's answer breaks the bound, in
percent. Searches get the largest network and that of the least latency, and no other.

`optuna:NAME` are Optuna's samplers with their default settings; Optuna's GP is left out, as it thinks for minutes.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
import optuna
from numpy.typing import NDArray
from pieces import by_task

from nas.accuracy.tabular import load_tabular
from nas.controllers import CONTROLLERS, make_controller
from nas.controllers.controller import Ending
from nas.controllers.unique import Unique
from nas.cost.factors import Factors
from nas.space.index import GenotypeIndex
from nas.space.load import load_space
from nas.space.space import Population, Space
from nas.tables.table import latency, load_table

AFTER = (50, 100, 200)
DATA = ("cifar10", "cifar100", "imagenet16-120")
DEVICES = ("pixel2", "raspi4", "titan-rtx-256", "gold-6226", "fpga", "eyeriss")
SHARES = (0.1, 0.3, 0.5)
"""Of the networks, that keep a bound."""
BOUNDED = "cifar100"
OURS = ("evolution", "nsga2", "netadapt", "random", "surrogate")
NAMES = (*OURS, "optuna:tpe", "optuna:nsga2")


@dataclass(frozen=True)
class Task:
    """What is searched for."""

    name: str
    accuracy: NDArray[np.float64]
    """By row of the networks."""
    ms: NDArray[np.float64] | None = None
    cost: Factors | None = None
    bound_ms: float = np.inf

    @property
    def worth(self) -> NDArray[np.float64]:
        """Accuracy by row, minus infinity beyond the bound."""
        return self.accuracy if self.ms is None else np.where(self.ms <= self.bound_ms, self.accuracy, -np.inf)


def tasks(space: Space, networks: Population, bounded: bool) -> Iterator[Task]:
    """All of one kind."""
    accuracy = {name: load_tabular(space, f"nas-bench-201#{name}")(networks) for name in DATA}
    if not bounded:
        yield from (Task(name, accuracy[name]) for name in DATA)
        return
    for device in DEVICES:
        cost = latency(space, load_table(f"nb201-{device}"))
        ms = cost(networks)
        for share in SHARES:
            bound = float(np.quantile(ms, share))
            yield Task(f"{device} {share:.0%}", accuracy[BOUNDED], ms, cost, bound)


def search(name: str, task: Task, space: Space, networks: Population, seed: int) -> dict[str, Any]:
    """One search, with its regrets and what it takes to ask and tell."""
    rows = GenotypeIndex(space.cardinalities)
    rows.add(networks)
    cost = task.cost
    largest = space.encode([space.references["largest"]])
    initial = networks[:0] if cost is None else np.concatenate([largest, space.canonical(cost.cheapest()[None])])

    def excess(population: Population) -> NDArray[np.float64]:
        assert cost is not None
        return cost(population) / task.bound_ms - 1

    inner = make_controller(name, space, initial, AFTER[-1], excess)
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(inner, space, known)
    chosen: list[int] = []
    start = perf_counter()
    while len(chosen) < AFTER[-1] and not (isinstance(inner, Ending) and inner.ended):
        population = controller.ask(1, np.random.default_rng([seed, len(chosen)]))
        row = int(rows.find(population)[0])
        over = 0.0 if task.ms is None else max(float(task.ms[row]) / task.bound_ms - 1, 0.0)
        known.add(population)
        chosen.append(row)
        controller.tell(population, task.accuracy[[row]][:, None], np.array([over]))
    took = 1e3 * (perf_counter() - start) / len(chosen)
    best, answer = task.worth.max(), chosen[int(task.worth[chosen].argmax())]
    found = {
        "controller": name,
        "task": task.name,
        "seed": seed,
        "regret": [round(float(best - task.worth[chosen[:n]].max()), 4) for n in AFTER],
        "evaluations": len(chosen),
        "mean_ms": round(took, 3),
    }
    if task.ms is not None:
        found["over"] = round(100 * max(float(task.ms[answer]) / task.bound_ms - 1, 0.0), 4)
    return found


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """By kind, controller and task: mean regrets and their standard errors."""
    table: dict[str, Any] = {}
    for name in NAMES:
        for task in dict.fromkeys(result["task"] for result in results):
            mine = [result for result in results if (result["controller"], result["task"]) == (name, task)]
            if not mine:
                continue
            regret = np.array([result["regret"] for result in mine])
            error = regret.std(axis=0, ddof=1) / np.sqrt(len(mine)) if mine[1:] else np.full(len(AFTER), np.nan)
            table.setdefault(name, {})[task] = {
                "seeds": len(mine),
                "regret": [round(float(value), 3) for value in regret.mean(axis=0)],
                "standard_error": [round(float(value), 3) for value in error],
                "mean_ms": round(float(np.mean([result["mean_ms"] for result in mine])), 2),
                **({"worst_over_pct": max(r["over"] for r in mine)} if "over" in mine[0] else {}),
            }
    return table


@click.command()
@click.option("--seeds", default=50, help="Searches of each controller and data set.")
@click.option("--bounded", default=50, help="Searches of each controller, device and bound.")
@click.option("--controllers", default=",".join(NAMES), show_default=True, help="Names separated by commas.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("nas_bench_201.jsonl"))
def main(seeds: int, bounded: int, controllers: str, out: Path) -> None:
    """Search, and print a summary."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = controllers.split(",")
    space = load_space("nas-bench-201")
    networks = space.enumerate()
    of_kinds = {False: list(tasks(space, networks, False)), True: list(tasks(space, networks, True))}
    done = by_task(out)
    for seed in range(max(seeds, bounded)):
        for kind, most in ((False, seeds), (True, bounded)):
            for task in of_kinds[kind] if seed < most else []:
                for name in names:
                    if (name, task.name, seed) in done or (CONTROLLERS[name].towards and not kind):
                        continue
                    with out.open("a") as file:
                        file.write(json.dumps(search(name, task, space, networks, seed)) + "\n")
        click.echo(f"seed {seed} is done", err=True)
    free = {task.name: {"best": float(task.worth.max())} for task in of_kinds[False]}
    best = {task.name: {"bound_ms": task.bound_ms, "best": float(task.worth.max())} for task in of_kinds[True]}
    told = {"after": AFTER, "optuna": optuna.__version__, "tasks": free | best}
    print(json.dumps(told | summary(list(by_task(out).values())), indent=1))


if __name__ == "__main__":
    main()

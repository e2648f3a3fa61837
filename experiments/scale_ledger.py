"""What the ledger costs: throughput beside the same search without it, and runs of up to 10,000,000 evaluations.

    python experiments/scale_ledger.py throughput [--evaluations 500000] [--rounds 5]
    python experiments/scale_ledger.py length [--evaluations N ...]

`throughput` alternates three loops over one problem (`mobile` on `pixel-cpu` under 75 ms, evolution) in one process:

    bare     ask, measure, judge, tell: nothing is recorded, and repeats are evaluated again
    unique   the same proposals as a run, nothing twice, kept in memory by an index; nothing is written
    ledger   as a run has it: the index and the file

`length` runs `nas search`, `nas search --resume` and `nas report` as processes of their own and gives their processor
seconds, wall seconds and largest resident memory, and the parts of resuming in one process. A run is resumed with
everything in its ledger and nothing yet concluded from it. Prints a line of JSON a measurement.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np

from nas.controllers import CONTROLLERS
from nas.controllers.controller import Controller
from nas.controllers.unique import Unique
from nas.runs.ledger import Ledger
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.standing import Standing
from nas.space.index import GenotypeIndex
from nas.space.space import Population

BATCH = 1_000
REQUEST = {"space": "mobile", "target": "pixel-cpu", "latency_ms": 75.0}


def evolution(problem: Problem, evaluations: int) -> Controller:
    """As a run of so many evaluations has it."""
    return CONTROLLERS["evolution"](problem.space, problem.initial, evaluations)


def bare(problem: Problem, evaluations: int) -> list[Population]:
    """Nothing recorded; returns what was asked, for counting afterwards."""
    controller, standing, objective = evolution(problem, evaluations), Standing(problem.objective), problem.objective
    asked = []
    for number in range(evaluations // BATCH):
        population = controller.ask(BATCH, np.random.default_rng([0, number]))
        judged = objective.judge(objective.measure(population))
        controller.tell(population, *judged)
        standing.update(*judged)
        asked.append(population)
    return asked


def unique(problem: Problem, evaluations: int) -> GenotypeIndex:
    """No repeats, nothing written."""
    index, standing, objective = (
        GenotypeIndex(problem.space.cardinalities),
        Standing(problem.objective),
        problem.objective,
    )
    controller = Unique(evolution(problem, evaluations), problem.space, index)
    for number in range(evaluations // BATCH):
        population = controller.ask(BATCH, np.random.default_rng([0, number]))
        index.add(population)
        judged = objective.judge(objective.measure(population))
        controller.tell(population, *judged)
        standing.update(*judged)
    return index


def with_ledger(problem: Problem, evaluations: int) -> GenotypeIndex:
    """The loop of a run, without its progress line."""
    standing, objective = Standing(problem.objective), problem.objective
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(Path(folder) / "ledger.bin", problem.space.cardinalities, objective.columns)
        controller = Unique(evolution(problem, evaluations), problem.space, ledger.index)
        for number in range(evaluations // BATCH):
            population = controller.ask(BATCH, np.random.default_rng([0, number]))
            judged = objective.judge(ledger.append(population, objective.measure))
            controller.tell(population, *judged)
            standing.update(*judged)
        ledger.sync()
        ledger.close()
    return ledger.index


@click.group()
def main() -> None:
    """What the ledger costs."""


@main.command()
@click.option("--evaluations", default=500_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def throughput(evaluations: int, rounds: int) -> None:
    """The three loops in turn; medians over the rounds of processor seconds."""
    problem = Problem.load(Request(**REQUEST, budget=evaluations))
    problem.objective.measure(problem.space.sample(10, np.random.default_rng(0)))
    loops: dict[str, Callable[[Problem, int], Any]] = {"bare": bare, "unique": unique, "ledger": with_ledger}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            start = process_time()
            done = loop(problem, evaluations)
            seconds[name].append(process_time() - start)
            if name == "bare":
                index = GenotypeIndex(problem.space.cardinalities)
                for population in done:
                    index.add(population)
                distinct = len(index) / evaluations
    ratio = {
        name: float(np.median([a / b for a, b in zip(seconds[name], seconds["ledger"], strict=True)]))
        for name in ("unique", "bare")
    }
    tell(
        {
            "measured": "throughput",
            "evaluations": evaluations,
            "rounds": rounds,
            "microseconds_per_evaluation": {n: 1e6 * float(np.median(s)) / evaluations for n, s in seconds.items()},
            "with_ledger_over_unique": ratio["unique"],
            "with_ledger_over_bare": ratio["bare"],
            "distinct_share_of_bare": distinct,
            "with_ledger_over_bare_by_distinct": ratio["bare"] / distinct,
        }
    )


@main.command()
@click.option("--evaluations", "lengths", multiple=True, type=int, default=(100_000, 1_000_000, 10_000_000))
def length(lengths: tuple[int, ...]) -> None:
    """Runs of these lengths, one after another."""
    for evaluations in lengths:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            asked = ["--space", "mobile", "--target", "pixel-cpu", "--latency", "75ms", "--no-prove"]
            found = {"search": command("search", *asked, "--budget", str(evaluations), "--json", "--out", str(run))}
            result = json.loads((run / "result.json").read_text())
            for name in ("result.json", "front.csv", "report.html"):
                (run / name).unlink()
            shutil.rmtree(run / "winner")
            found["resume"] = command("search", "--resume", "--json", "--out", str(run))
            assert json.loads((run / "result.json").read_text())["winner"] == result["winner"]
            found["report"] = command("report", str(run))
            parts = subprocess.run(
                [sys.executable, __file__, "parts", str(run)], capture_output=True, check=True, text=True
            )
            tell(
                {
                    "measured": "length",
                    "evaluations": evaluations,
                    "ledger_bytes": (run / "ledger.bin").stat().st_size,
                    **found,
                    "resume_in_parts": json.loads(parts.stdout),
                }
            )


@main.command(hidden=True)
@click.argument("run", type=Path)
def parts(run: Path) -> None:
    """What a process does before a resumed run asks for something new."""
    problem = Problem.load(Request.from_json(json.loads((run / "request.json").read_text())["request"]))
    anonymous = resident("RssAnon")
    steps: dict[str, float] = {}

    def step(name: str, since: float) -> None:
        steps[f"{name}_seconds"] = process_time() - since

    start = process_time()
    ledger = Ledger.open(run / "ledger.bin", problem.space.cardinalities, problem.objective.columns)
    step("open", start)
    start = process_time()
    controller = Unique(evolution(problem, len(ledger)), problem.space, ledger.index)
    standing = Standing(problem.objective)
    for population, measures in ledger.replay():
        judged = problem.objective.judge(measures)
        controller.tell(population, *judged)
        standing.update(*judged)
    step("tell", start)
    start = process_time()
    controller.ask(BATCH, np.random.default_rng(0))
    step("ask", start)
    steps["bytes_per_evaluation"] = (resident("RssAnon") - anonymous) / len(ledger)
    ledger.close()
    tell(steps)


def command(*arguments: str) -> dict[str, float]:
    """One `nas` command as a process: its processor and wall seconds, and its largest resident memory in MiB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    with subprocess.Popen([sys.executable, "-m", "nas", *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"nas {' '.join(arguments)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"cpu_seconds": used, "wall_seconds": perf_counter() - start, "peak_mib": usage.ru_maxrss / 1024}


def resident(kind: str) -> int:
    """Bytes of this process's memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) * 1024


def tell(found: dict[str, Any]) -> None:
    """One line of JSON."""
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()

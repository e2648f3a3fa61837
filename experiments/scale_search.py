"""Cost of an evaluation against decisions, options, batch and population.

    python experiments/scale_search.py [--evaluations 30000]

Spaces are chains of MBConv layers, each with one decision on its expansion; accuracy and cost are sums over layers, as
in a search by predictor and table. What is timed is the loop of a run with its ledger on disk. Around one centre (30
decisions of 4 options, batches of 1,000, population 2,000 for evolution and 400 for NSGA-II) one size is changed at a
time. Prints a line of JSON a point: processor microseconds an evaluation in all and by part, and processor seconds of
loading the space, compiling a cost and finding its exact bounds.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
import yaml

from nas.controllers import Controller
from nas.controllers.evolution import Evolution, EvolutionConfig
from nas.controllers.nsga2 import NSGA2
from nas.controllers.unique import Unique
from nas.cost import counts
from nas.cost.factors import Factor, Factors
from nas.runs.ledger import Ledger
from nas.runs.objective import Objective
from nas.space.load import load_space
from nas.space.space import Population, Space

CENTRE = {"decisions": 30, "options": 4, "batch": 1_000}
SWEEPS = {
    "decisions": (10, 30, 100, 300, 998),
    "options": (2, 4, 16, 64),
    "batch": (1, 10, 100, 1_000, 10_000),
    "population": (10, 100, 1_000, 10_000),
}
POPULATION = {"evolution": 2_000, "nsga2": 400}


@dataclass(frozen=True)
class Summed:
    """An accuracy that is a sum of arrays, made up."""

    factors: Factors
    label: str = "made up"
    unit: str = ""
    provenance: str = "made up"
    fingerprint: str = ""

    def __call__(self, population: Population) -> np.ndarray:
        return self.factors(population)

    def uncertainty(self, population: Population) -> np.ndarray:
        """None."""
        return np.zeros(len(population))


def space_file(folder: Path, decisions: int, options: int) -> Path:
    """A chain of layers with a decision each."""
    expansions = {"choice": [1 + 0.25 * number for number in range(options)], "per": "layer"}
    body = {"name": "body", "block": "mbconv", "width": 16, "depth": decisions, "expansion": expansions}
    stem = {"name": "stem", "block": "conv", "width": 16, "kernel": 3}
    document = {
        "format": "nas-space/1",
        "name": "chain",
        "source": "experiments/scale_search.py",
        "input": {"resolution": 32},
        "activation": "relu",
        "stages": [stem, body],
        "head": {"width": 64},
        "references": {},
    }
    (folder / "chain.yaml").write_text(yaml.safe_dump(document))
    return folder / "chain.yaml"


def controller_of(name: str, space: Space, population: int) -> Controller:
    """With a population of a fixed size."""
    start = space.sample(1, np.random.default_rng(0))
    if name == "nsga2":
        return NSGA2(space, start, population)
    return Evolution(space, start, EvolutionConfig(population=population))


def measure(controller: str, evaluations: int, sizes: dict[str, int]) -> dict[str, Any]:
    """One point."""
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        file = space_file(folder, sizes["decisions"], sizes["options"])
        space = clock("load_seconds", lambda: load_space(file))
        macs = clock("compile_seconds", lambda: counts.macs(space))
        low, high = clock("bounds_seconds", macs.bounds)
        rng = np.random.default_rng(0)
        terms = [Factor(term.axes, rng.random(term.array.shape)) for term in macs.terms]
        accuracy = Summed(Factors.of(macs.cardinalities, 0.0, terms))
        form = "front" if controller == "nsga2" else "bound"
        objective = Objective(accuracy, {"latency_ms": macs}, {"latency_ms": (low + high) / 2}, ("latency_ms",), form)
        ledger = Ledger.open(folder / "ledger.bin", space.cardinalities, objective.columns)
        asker = Unique(controller_of(controller, space, sizes["population"]), space, ledger.index)
        loop = Clock()
        while len(ledger) < evaluations:
            seed = np.random.default_rng([0, len(ledger.blocks)])
            population = loop("ask", lambda seed=seed: asker.ask(sizes["batch"], seed))
            measures = loop("append", lambda asked=population: ledger.append(asked, objective.measure))
            judged = loop("judge", lambda measured=measures: objective.judge(measured))
            loop("tell", lambda asked=population, judged=judged: asker.tell(asked, *judged))
        ledger.close()
        each = {part: 1e6 * seconds / len(ledger) for part, seconds in loop.seconds.items()}
    return {
        "controller": controller,
        **sizes,
        "evaluations": len(ledger),
        "microseconds": sum(each.values()),
        "by_part": each,
        **clock.seconds,
    }


class Clock:
    """Processor seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, part: str, work: Any) -> Any:
        """Do the work and count its time."""
        start = process_time()
        result = work()
        self.seconds[part] = self.seconds.get(part, 0.0) + process_time() - start
        return result


@click.command()
@click.option("--evaluations", default=30_000, show_default=True, help="A point; fewer where a batch is small.")
def main(evaluations: int) -> None:
    """All sweeps, both controllers."""
    for controller, population in POPULATION.items():
        for changed, sizes in SWEEPS.items():
            for size in sizes:
                point = CENTRE | {"population": population} | {changed: size}
                few = min(evaluations, max(1_000, 300 * point["batch"]))
                click.echo(json.dumps({"changed": changed} | measure(controller, few, point)))


if __name__ == "__main__":
    main()

"""Which recipe goes on best from inherited weights: trials of `nas train`'s loop, one finished trial a line of a file.

Networks are folders with weights (`nas import … --out DIR`), pictures are any `--data`. Every trial trains one network
on one data set from its weights, and is scored on held-out and on test pictures; the recipe is chosen by the held-out
ones. Trials that the file has are not made again, so the script goes on where it was stopped.

    python experiments/inherited_recipe.py --networks mobilenetv2 proxyless --data imagefolder:a imagefolder:b \\
        --resolution 64 --epochs 4 --grid rates --out trials.jsonl
"""

from __future__ import annotations

import argparse
import json
import resource
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import torch

from nas.data import load_data
from nas.runs.network import find_network
from nas.training.fit import fit
from nas.training.network import network_of, start
from nas.training.recipe import Recipe
from nas.training.score import evaluate

RATES = {64: (0.01, 0.02, 0.05, 0.1), 32: (0.005, 0.01, 0.02, 0.05), 16: (0.005, 0.01, 0.02)}
BASE = {"batch": 32, "learning_rate": 0.01}
GRIDS: dict[str, tuple[dict[str, Any], ...]] = {
    "rates": tuple({"batch": batch, "learning_rate": rate} for batch, rates in RATES.items() for rate in rates),
    "norm": tuple(BASE | {"norm": "tune", "learning_rate": rate} for rate in (0.005, 0.01, 0.02)),
    "only": tuple(
        BASE | {"norm": norm, "only": only, "learning_rate": 0.05}
        for norm in ("batch", "tune")
        for only in (["last"], ["last", "norm"])
    ),
    "rest": tuple(
        BASE | change
        for change in ({"average": 0.0}, {"weight_decay": 0.0}, {"weight_decay": 1e-3}, {"label_smoothing": 0.0})
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", type=Path, required=True, help="Folders of networks with weights.")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--grid", choices=GRIDS, default="rates")
    parser.add_argument("--out", type=Path, required=True, help="The file of trials, a JSON object a line.")
    arguments = parser.parse_args()
    done = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    for asked in trials(arguments):
        if not any(all(trial[name] == value for name, value in asked.items()) for trial in done):
            done.append(asked | made(**asked))
            with arguments.out.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            print(json.dumps(done[-1]), flush=True)
    print(table(done))


def trials(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What each trial is asked for."""
    for seed in range(arguments.seeds):
        for data in arguments.data:
            for network in arguments.networks:
                for changes in GRIDS[arguments.grid]:
                    yield {
                        "network": str(network),
                        "data": data,
                        "resolution": arguments.resolution,
                        "epochs": arguments.epochs,
                        "seed": seed,
                        "changes": changes,
                    }


def made(
    *, network: str, data: str, resolution: int, epochs: int, seed: int, changes: dict[str, Any]
) -> dict[str, Any]:
    """One trial: percent right of held-out and of test pictures, steps, seconds, and this process's peak memory."""
    source = find_network(network, resolution)
    pictures = load_data(data, resolution, seed=0)
    if source.config.pictures:
        pictures = replace(pictures, mean=source.config.pictures.mean, std=source.config.pictures.std)
    begin = start(source.config.architecture, source.weights, pictures.classes, seed)
    began = perf_counter()
    recipe = Recipe(epochs=epochs, **changes | {"only": tuple(changes.get("only", ()))})
    fitted = fit(network_of(begin.architecture, begin.weights), pictures, recipe, seed=seed)
    return {
        "held_out": fitted.history[-1].validation_top1,
        "test": evaluate(fitted.network, pictures, pictures.test).top1,
        "steps": fitted.history[-1].step,
        "seconds": round(perf_counter() - began, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def table(done: list[dict[str, Any]]) -> str:
    """Means over seeds, a recipe a line, a network on a data set a column."""
    cells: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for trial in done:
        recipe = " ".join(f"{name} {value}" for name, value in (trial["changes"] | {"epochs": trial["epochs"]}).items())
        place = f"{Path(trial['network']).name} {Path(trial['data']).stem.split(':')[-1]} {trial['resolution']}"
        cells[recipe, place].append((trial["held_out"], trial["test"]))
    places = sorted({place for _, place in cells})
    lines = [" | ".join(["recipe: held-out, test top-1 %", *places])]
    for recipe in sorted({recipe for recipe, _ in cells}):
        found = [cells.get((recipe, place)) for place in places]
        shown = [
            f"{fmean(h for h, _ in cell):.1f} {fmean(t for _, t in cell):.1f} ({len(cell)})" if cell else ""
            for cell in found
        ]
        lines.append(" | ".join([recipe, *shown]))
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

"""Does it find better networks? The whole loop on real pictures and real timings, against networks made by hand.

    python experiments/cifar_front.py --pictures CIFAR10.tar.gz [--out FOLDER] [--full]

Profiles this CPU (ONNX Runtime, 1 thread) for `mobile` at 32 px; searches under a bound on latency with evolution over
a supernet and with a policy; then trains winners, random networks at the same bound, and published networks scaled by
width to the same measured latency, all from scratch with one recipe. Prints test accuracy against measured latency as
JSON. The folder holds every piece; a further call goes on from there. `--full`: three bounds, all methods, four
references, three seeds, all pictures and more epochs, which is work for a GPU. `--plot FILE` draws what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from figure import Series, figure

import nas
from nas.blocks.architecture import Architecture
from nas.cost.factors import Factors
from nas.data import load_data
from nas.data.data import Split
from nas.formats.archdef import parse_archdef
from nas.formats.blockstring import make_divisible
from nas.formats.config import read_config
from nas.formats.weights import random_weights
from nas.profiler.bench import attached
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.verify import NetworkTimes, measure_networks
from nas.report.axis import linear
from nas.space.adapt import LEAST_SIDE
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.atomic import write_atomic
from nas.system.teller import Silent
from nas.tables.table import LatencyTable, load_table
from nas.training.fit import fit
from nas.training.network import network_of
from nas.training.recipe import Recipe
from nas.training.score import evaluate

PIXELS, CLASSES = 32, 10
PUBLISHED = Path(__file__).parent.parent / "search_spaces" / "networks"
QUANTILES = (0.05, 0.02, 0.3)
"""A bound is this quantile of the latencies of random networks by the table; the first is the default one."""
METHODS = ("evolution", "single-path", "reinforce", "proxyless", "fbnet")
REFERENCES = ("mobilenetv2-1.0", "mobilenetv3-small-1.0", "mnasnet-a1-1.0", "efficientnet-b0")
COARSE = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5)
"""Widths that are measured first; then finer ones about the width at which a reference meets the bound."""


@dataclass(frozen=True)
class Setting:
    """How much is done."""

    bounds: int = 1
    methods: int = 2
    references: int = 3
    random: int = 8
    seeds: int = 1
    pictures: int = 15_000
    epochs: int = 3
    proxy_pixels: int = 16
    """Of the pictures that supernets are trained on."""
    supernet_steps: int = 4_000
    evaluations: int = 300
    policy_steps: int = 1_500


FULL = Setting(3, 5, 4, 8, 3, 40_000, 60, PIXELS, 40_000, 2_000, 40_000)


@dataclass(frozen=True)
class Place:
    """The folder of an experiment and what it needs."""

    folder: Path
    pictures: str
    setting: Setting

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """A piece: made once, then read."""
        file = self.folder / f"{name}.json"
        if not file.exists():
            start, used = perf_counter(), process_time()
            piece = {"piece": make(), "seconds": perf_counter() - start, "cpu_seconds": process_time() - used}
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, json.dumps(piece, indent=1) + "\n")
        return json.loads(file.read_text())["piece"]


def main() -> None:
    """Do what is not done yet, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="CIFAR-10 as an archive with a folder a class.")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar_front"))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seeds", type=int, help="Trainings of each winner and reference.")
    parser.add_argument("--random", type=int, help="Random networks for each bound.")
    parser.add_argument("--workers", type=int, default=1 if torch.cuda.is_available() else os.cpu_count() or 1)
    parser.add_argument("--plot", type=Path, metavar="SVG")
    arguments = parser.parse_args()
    setting = FULL if arguments.full else Setting()
    setting = replace(setting, seeds=arguments.seeds or setting.seeds, random=arguments.random or setting.random)
    place = Place(arguments.out, f"imagefolder:{arguments.pictures}", setting)
    space = load_space("mobile", resolution=PIXELS, strides="drop", classes=CLASSES)
    table = have_table(place, space)
    latency = nas.latency(space, table)
    spread = latency(space.sample(100_000, np.random.default_rng(0)))
    bounds = [round(float(np.quantile(spread, q)), 2) for q in QUANTILES[: setting.bounds]]
    for pixels in {PIXELS, setting.proxy_pixels}:
        load_data(place.pictures, pixels)  # decoded once, before several processes want it
    groups = [
        place.kept(f"networks-{bound}", lambda b=bound: others(place, space, table, latency, b)) for bound in bounds
    ]
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes below: one network a core
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        carry_out(place, bounds, groups, pool)
    found = summary(place, space, table, bounds, groups)
    print(json.dumps(found, indent=1))
    if arguments.plot:
        write_atomic(arguments.plot, plotted(found))


def have_table(place: Place, space: Space) -> LatencyTable:
    """The latency table of this CPU, measured if there is none."""
    folder = place.folder / "table"
    if not (folder / "table.yaml").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with attached("cpu") as device:
            place.kept("profile", lambda: profile(space, "cpu", device, folder, Effort(), Silent()).fingerprint)
    return load_table(folder)


def others(place: Place, space: Space, table: LatencyTable, latency: Factors, bound: float) -> dict[str, Any]:
    """What winners are compared with: references scaled to the bound by the clock, and random networks at it."""
    names = REFERENCES[: place.setting.references]
    coarse = {(name, width): scaled(name, width) for name in names for width in COARSE}
    found = measured(list(coarse.values()), table)
    fine = {}
    for index, name in enumerate(names):
        ms = found.ms[index * len(COARSE) : (index + 1) * len(COARSE)]
        width = float(np.interp(np.log(bound), np.log(ms), COARSE))
        fine |= {(name, w): scaled(name, w) for w in (round(width * (1 + d), 3) for d in (-0.1, -0.05, 0.0, 0.05, 0.1))}
    found = measured(list(fine.values()), table)
    chosen = {}
    for name in names:
        near = [(abs(np.log(ms / bound)), w) for (n, w), ms in zip(fine, found.ms, strict=True) if n == name]
        chosen[name] = min(near)[1]
    sample = space.canonical(space.sample(200_000, np.random.default_rng(1)))
    ms = latency(sample)
    drawn = sample[(ms <= bound) & (ms >= 0.95 * bound)][: place.setting.random]
    return {"references": chosen, "random": drawn.tolist()}


def scaled(name: str, width: float) -> Architecture:
    """A published network, its widths times a factor, at 32 px.

    The head is widened but not narrowed (MobileNetV2, arXiv:1801.04381, section 4); strides become 1 from the first
    on until the last map is as wide as in the space, the same for all.
    """
    document = json.loads((PUBLISHED / f"{name}.json").read_text())
    document["stem"] = make_divisible(document["stem"] * width)
    document["head"] = max(document["head"], make_divisible(document["head"] * width))
    document["num_classes"] = CLASSES
    document["blocks"] = [
        [re.sub(r"_c(\d+)", lambda found: f"_c{make_divisible(int(found[1]) * width)}", text) for text in stage]
        for stage in document["blocks"]
    ]
    network = parse_archdef(document)
    total = int(np.prod([layer.stride for layer in network.layers]))
    layers, side = [], PIXELS
    for layer in network.layers:
        stride = layer.stride
        if stride > 1 and total * LEAST_SIDE > PIXELS:
            total, stride = total // stride, 1
        layers.append(layer.changed(stride=stride, height=side, width=side))
        side = layers[-1].output[1]
    return Architecture(3, PIXELS, PIXELS, tuple(layers))


def measured(networks: Sequence[Architecture], table: LatencyTable) -> NetworkTimes:
    """Side by side on this CPU, at the pace of the table."""
    with attached("cpu") as device:
        return measure_networks(networks, table, device, Silent(), precision_pct=0.5)


def carry_out(place: Place, bounds: Sequence[float], groups: Sequence[dict[str, Any]], pool: Executor) -> None:
    """Searches and trainings, side by side; a search's winner is trained once it is known."""
    searches: dict[Future[Any], tuple[str, float, int]] = {}
    trainings = []
    for seed in range(place.setting.seeds):
        for bound in bounds:
            for method in METHODS[: place.setting.methods]:
                name = f"{method}-{bound}-{seed}"
                searches[pool.submit(search, place, method, bound, seed)] = (name, bound, seed)
    for seed in range(place.setting.seeds):
        for bound, group in zip(bounds, groups, strict=True):
            for name, width in group["references"].items():
                trainings.append(pool.submit(train, place, f"{name}-{bound}", scaled(name, width), seed))
    for done in as_completed(searches):
        name, bound, seed = searches[done]
        trainings.append(pool.submit(train, place, name, winner(place, done.result()), seed))
    space = load_space("mobile", resolution=PIXELS, strides="drop", classes=CLASSES)
    for bound, group in zip(bounds, groups, strict=True):
        for index, genotype in enumerate(group["random"][: place.setting.random]):
            network = space.decode(np.array(genotype, np.uint8))
            trainings.append(pool.submit(train, place, f"random{index}-{bound}", network, 0))
    for training in as_completed(trainings):
        training.result()


def search(place: Place, method: str, bound: float, seed: int) -> str:
    """One search, or what is left of it; returns the run folder's name."""
    torch.set_num_threads(1)
    setting, name = place.setting, f"search-{method}-{bound}-{seed}"
    folder = place.folder / name
    request: dict[str, Any] = {
        "space": "mobile",
        "target": str(place.folder / "table"),
        "latency_ms": bound,
        "data": place.pictures,
        "resolution": PIXELS,
        "strides": "drop",
        "proxy_resolution": setting.proxy_pixels,
        "controller": method,
        "seed": seed,
    }
    if method == "evolution":
        request |= {"accuracy": f"supernet:progressive,{setting.supernet_steps}", "budget": setting.evaluations}
    else:
        request |= {"budget": setting.policy_steps}

    def run() -> dict[str, Any]:
        found = nas.search(out=folder, resume=(folder / "request.json").exists(), **request)
        return {name: found.to_json()[name] for name in ("winner", "policy")}

    place.kept(name, run)
    return name


def winner(place: Place, name: str) -> Architecture:
    """What a search found."""
    return read_config(place.folder / name / "winner" / "config.json").architecture


def train(place: Place, name: str, network: Architecture, seed: int) -> dict[str, Any]:
    """One network, from scratch, and its score on the test pictures."""
    torch.set_num_threads(1)
    setting, piece = place.setting, f"train/{name}-{seed}"
    folder = place.folder / piece

    def score() -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        data = load_data(place.pictures, PIXELS)
        test, empty = data.test, Split(data.test.pictures[:0], data.test.labels[:0])
        data = replace(data.subset(setting.pictures), validation=empty, test=empty)  # nothing is chosen by them
        module = network_of(network, random_weights(network, seed))
        fitted = fit(module, data, Recipe(epochs=setting.epochs), seed=seed, folder=folder)
        found = evaluate(fitted.network, data, test)
        return {"top1": found.top1, "standard_error": found.standard_error, "steps_seconds": fitted.seconds}

    return dict(place.kept(piece, score))


def summary(
    place: Place, space: Space, table: LatencyTable, bounds: Sequence[float], groups: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Every network by the clock and on the test pictures; winners against references and random ones."""
    setting, seeds = place.setting, range(place.setting.seeds)
    result: dict[str, Any] = {
        "pictures": f"CIFAR-10 (JPEG copy), {setting.pictures:,} of 40,000 for training, 10,000 for the test",
        "device": table.header.summary,
        "table_error": table.networks_error,
        "setting": setting.__dict__,
        "bounds": {},
    }
    for bound, group in zip(bounds, groups, strict=True):
        networks: dict[str, tuple[str, Architecture, range]] = {}
        for method in METHODS[: setting.methods]:
            for seed in seeds:
                found = winner(place, f"search-{method}-{bound}-{seed}")
                networks[f"{method}-{bound}-{seed}"] = ("winner", found, range(seed, seed + 1))
        for name, width in group["references"].items():
            networks[f"{name}-{bound}"] = (f"reference, width {width:g}", scaled(name, width), seeds)
        for index, genotype in enumerate(group["random"][: setting.random]):
            networks[f"random{index}-{bound}"] = ("random", space.decode(np.array(genotype, np.uint8)), range(1))
        architectures = [network for _, network, _ in networks.values()]
        clock = place.kept(f"measured-{bound}", lambda a=architectures: by_clock(a, table))
        rows = {}
        for index, (name, (kind, network, trained)) in enumerate(networks.items()):
            scores = [train(place, name, network, seed)["top1"] for seed in trained]
            rows[name] = {
                "kind": kind,
                "ms": clock["ms"][index],
                "halfwidth_ms": clock["halfwidth_ms"][index],
                "top1": float(np.mean(scores)),
                "trainings": scores,
                "macs": network.macs,
                "params": network.params,
            }
        result["bounds"][str(bound)] = {"networks": rows} | verdict(rows)
    return result


def by_clock(networks: Sequence[Architecture], table: LatencyTable) -> dict[str, Any]:
    """Measured latencies, as JSON."""
    found = measured(networks, table)
    return {"ms": found.ms.tolist(), "halfwidth_ms": found.halfwidth_ms.tolist(), "drift_pct": found.drift_pct}


def verdict(rows: dict[str, Any]) -> dict[str, Any]:
    """Points by which winners are above the best reference, and above the mean of random networks."""
    of = {kind: [row for row in rows.values() if row["kind"].startswith(kind)] for kind in ("winner", "ref", "random")}
    chance = np.array([row["top1"] for row in of["random"]])
    error = float(chance.std(ddof=1) / np.sqrt(len(chance)))
    best = max(row["top1"] for row in of["ref"])
    return {
        "random": {"mean": float(chance.mean()), "deviation": float(chance.std(ddof=1)), "standard_error": error},
        "best_reference": best,
        "winners": {
            name: {
                "over_best_reference": row["top1"] - best,
                "over_random": row["top1"] - float(chance.mean()),
                "in_standard_errors": (row["top1"] - float(chance.mean())) / error,
            }
            for name, row in rows.items()
            if row["kind"] == "winner"
        },
    }


def plotted(found: dict[str, Any]) -> str:
    """Accuracy on the test pictures against measured latency, as SVG."""
    rows = [(name, row) for group in found["bounds"].values() for name, row in group["networks"].items()]
    series = []
    for label, shape, belongs in (
        *((f"found by {m}", "star", f"{m}-") for m in METHODS),
        *((r, "triangle", f"{r}-") for r in REFERENCES),
        ("random", "dot", "random"),
    ):
        points = [(row["ms"], row["top1"], error_of(row)) for name, row in rows if name.startswith(belongs)]
        if points:
            series.append(Series(label, points, shape))
    ms = [point[0] for one in series for point in one.points]
    top1 = [point[1] + sign * point[2] for one in series for point in one.points for sign in (-1, 1)]
    return figure(
        "Networks trained by one recipe, on the device that they were made for",
        linear(min(ms), max(ms), "measured latency, ms"),
        linear(min(top1), max(top1), "test accuracy, %"),
        series,
    )


def error_of(row: dict[str, Any]) -> float:
    """Standard error of a mean of trainings; of a single one, by the number of test pictures."""
    tops = np.array(row["trainings"])
    share = row["top1"] / 100
    return (
        float(tops.std(ddof=1) / np.sqrt(len(tops)))
        if len(tops) > 1
        else 100 * float(np.sqrt(share * (1 - share) / 1e4))
    )


if __name__ == "__main__":
    main()

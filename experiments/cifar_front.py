"""Does it find better networks? The whole loop on real pictures and real timings, against networks made by hand.

    python experiments/cifar_front.py --pictures CIFAR10.tar.gz [--out FOLDER] [--full | --quick] [--plot SVG]

Profiles this CPU (ONNX Runtime, 1 thread) for `mobilenetv3` at 32 px; searches as `nas search` does by default,
under the latency of MobileNetV3-Small; then trains winners, random networks at the same bound, and published
networks scaled by width to the same measured latency, all from scratch with one recipe. Then asks six estimators for
twenty random networks, and says Kendall's tau with what training them came to. Prints test accuracy against measured
latency as JSON. The folder holds every piece; a further call goes on from there. `--full`: three bounds, four ways to
search, three seeds, all pictures and more epochs, which is work for a GPU. `--quick`: so small, on a fake device, that
it says nothing but that it runs. `--plot FILE` draws what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar_figures import REFERENCES, WAYS, plotted, ranked, verdict
from numpy.typing import NDArray
from pieces import Pieces, typed

import nas
from nas.blocks.architecture import Architecture
from nas.data import load_data
from nas.data.data import Split
from nas.formats.config import parse_config, to_config
from nas.formats.weights import random_weights
from nas.profiler.bench import attached
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.verify import measure_networks
from nas.runs.network import find_network
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.scaling import scaled_to
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

SPACE, PIXELS, CLASSES = "mobilenetv3", 32, 10
BOUNDS = (1.0, 0.7, 1.4)
"""Times the latency of the space's first reference, MobileNetV3-Small."""
ESTIMATORS = ("zero-cost:macs", "zero-cost:params", "zero-cost", "supernet:progressive", "supernet:uniform", "train:1")
"""As `--accuracy` has them; supernets get the setting's steps."""


@dataclass(frozen=True)
class Setting:
    """How much is done: by default about ten core-hours."""

    bounds: int = 1
    ways: int = 1
    references: int = 4
    random: int = 8
    """Networks at the bound, which winners are compared with."""
    ranked: int = 20
    """Random networks that estimators rank, those among them."""
    seeds: int = 2
    pictures: int = 20_000
    epochs: int = 8
    proxy_pixels: int = 16
    """Of the pictures that the supernets of estimators are trained on."""
    supernet_steps: int = 4_000
    search: str = "--budget 45m"
    """Of a search on one core."""
    device: str = "cpu"
    precision_pct: float = 0.5
    estimators: int = 6


FULL = Setting(3, 4, 4, 8, 20, 3, 40_000, 60, PIXELS, 40_000, "--budget 8h")
QUICK = Setting(1, 1, 1, 2, 3, 1, 400, 1, 16, 5, "--budget 4 --accuracy supernet:progressive,5", "fake", 10.0, 4)


@dataclass(frozen=True)
class Place:
    """The folder of an experiment and what it needs."""

    pieces: Pieces
    pictures: str
    setting: Setting

    @property
    def folder(self) -> Path:
        """Of all pieces."""
        return self.pieces.folder

    def space(self) -> Space:
        """The space of all searches."""
        return load_space(SPACE, resolution=PIXELS, strides="drop", classes=CLASSES)

    def reference(self) -> Architecture:
        """MobileNetV3-Small as it is in the space."""
        space = self.space()
        return space.decode(space.encode([next(iter(space.references.values()))])[0])


def main() -> None:
    """Do what is not done yet, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, required=True, help="CIFAR-10 as an archive with a folder a class.")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar_front"))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--workers", type=int, default=1 if torch.cuda.is_available() else os.cpu_count() or 1)
    parser.add_argument("--plot", type=Path, metavar="SVG")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was spent till then is written down
    setting = FULL if arguments.full else QUICK if arguments.quick else Setting()
    pieces = Pieces(arguments.out.resolve(), asdict(setting))
    place = Place(pieces, f"imagefolder:{arguments.pictures.resolve()}", setting)
    table = have_table(place)
    small = table.estimate(place.reference()).latency_ms
    bounds = [round(share * small, 3) for share in BOUNDS[: setting.bounds]]
    for pixels in {PIXELS, setting.proxy_pixels}:
        load_data(place.pictures, pixels)  # decoded once, before several processes want it
    groups = [
        pieces.kept(f"networks-{bound}", partial(others, place, table, bound, bound == bounds[0])) for bound in bounds
    ]
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes below: one network a core
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        carry_out(place, bounds, groups, pool)
    found = summary(place, table, bounds, groups)
    print(json.dumps(found, indent=1))
    if arguments.plot:
        write_atomic(arguments.plot, plotted(found))


def have_table(place: Place) -> LatencyTable:
    """The latency table of this CPU, measured if there is none."""
    folder = place.folder / "table"

    def make() -> str:
        with attached(place.setting.device) as device:
            return profile(place.space(), place.setting.device, device, folder, Effort(), Silent()).fingerprint

    place.pieces.kept("profile", make)
    return load_table(folder)


def others(place: Place, table: LatencyTable, bound: float, ranked: bool) -> dict[str, Any]:
    """What winners are compared with: references scaled to the bound by the clock, and random networks at it.

    The random ones take 95 to 100 % of it; behind them stand, where they are to be `ranked` with others, further ones
    that take 50 to 100 %.
    """
    setting, space = place.setting, place.space()
    references = {}
    for name in REFERENCES[: setting.references]:
        network = with_strides_dropped(find_network(name, PIXELS).config.architecture.classified(CLASSES))
        references[name] = to_config(scaled_to(network, bound, partial(measured, place, table)))
    sample = space.canonical(space.sample(200_000, np.random.default_rng(1)))
    ms = nas.latency(space, table)(sample)
    near = np.flatnonzero((ms <= bound) & (ms >= 0.95 * bound))[: setting.random]
    rest = np.setdiff1d(np.flatnonzero((ms <= bound) & (ms >= 0.5 * bound)), near)
    rest = rest[: (setting.ranked - len(near)) * ranked]
    if len(near) < setting.random:
        raise SystemExit(f"Only {len(near)} of 200,000 random networks take 95 to 100 % of {bound} ms.")
    return {"references": references, "random": sample[np.concatenate([near, rest])].tolist()}


def with_strides_dropped(network: Architecture) -> Architecture:
    """With strides of 1 from the first on until the last map is as wide as in the space."""
    total, side = int(np.prod([layer.stride for layer in network.layers])), network.height
    layers = []
    for layer in network.layers:
        stride = layer.stride
        if stride > 1 and total * LEAST_SIDE > network.height:
            total, stride = total // stride, 1
        same = layer.kind in {"mbconv", "sepconv"} and stride == 1 and layer.in_channels == layer.out_channels
        residual = layer.residual or (same and layer.stride > 1)  # as in the space, where shapes now agree
        layers.append(layer.changed(stride=stride, residual=residual, height=side, width=side))
        side = side // stride if stride > 1 else side
    return replace(network, layers=tuple(layers))


def measured(place: Place, table: LatencyTable, networks: Sequence[Architecture]) -> NDArray[np.float64]:
    """float64[N]: milliseconds at the pace of the table, by MobileNetV3-Small beside them, which the table knows."""
    small = place.reference()
    with attached(place.setting.device) as device:
        ms = measure_networks([small, *networks], None, device, Silent(), place.setting.precision_pct).ms
    return np.asarray(ms[1:] / ms[0] * table.estimate(small).latency_ms)


def carry_out(place: Place, bounds: Sequence[float], groups: Sequence[dict[str, Any]], pool: Executor) -> None:
    """Searches, trainings and estimates, side by side; a search's winner is trained once it is known."""
    searches: dict[Future[Path], tuple[str, int]] = {}
    work: list[Future[Any]] = []
    for name, way, bound, seed in plan(place, bounds):
        searches[pool.submit(search, place, way, bound, seed)] = (name, seed)
    for bound, group in zip(bounds, groups, strict=True):
        for name, network, seed in rivals(place, bound, group):
            work.append(pool.submit(train, place, name, network, seed))
    for accuracy in ESTIMATORS[: place.setting.estimators]:
        work.append(pool.submit(estimated, place, accuracy, bounds[0], groups[0]["random"]))
    for done in as_completed(searches):
        name, seed = searches[done]
        work.append(pool.submit(train, place, name, winner(done.result()), seed))
    for piece in as_completed(work):
        piece.result()


def plan(place: Place, bounds: Sequence[float]) -> Iterator[tuple[str, str, float, int]]:
    """Searches: name, way, bound, seed."""
    for seed in range(place.setting.seeds):
        for bound in bounds:
            for way in list(WAYS)[: place.setting.ways]:
                yield f"{way}-{bound}-{seed}", way, bound, seed


def rivals(place: Place, bound: float, group: dict[str, Any]) -> Iterator[tuple[str, Architecture, int]]:
    """Trainings of what winners are compared with: name, network, seed."""
    for name, document in group["references"].items():
        for seed in range(place.setting.seeds):
            yield f"{name}-{bound}", parse_config(document, Path(name)).architecture, seed
    space = place.space()
    for index, genotype in enumerate(group["random"]):
        yield f"random{index}-{bound}", space.decode(np.array(genotype, np.uint8)), 0


def search(place: Place, way: str, bound: float, seed: int) -> Path:
    """One search, or what is left of it; returns the run folder."""
    name = f"search-{way}-{bound}-{seed}"
    out = place.folder / name
    words = (
        *("search", "--space", SPACE, "--resolution", PIXELS, "--strides", "drop", "--target", place.folder / "table"),
        *("--latency", f"{bound}ms", "--data", place.pictures, *place.setting.search.split()),
        *("--seed", seed, *WAYS[way], "--out", out),
    )

    def run() -> dict[str, Any]:
        answer = typed(*words, again=("search", "--resume", "--out", out))
        return {key: value for key, value in answer.items() if key != "front"}

    place.pieces.kept(name, run)
    return out


def winner(run: Path) -> Architecture:
    """What a search found."""
    return find_network(run).config.architecture


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

    return dict(place.pieces.kept(piece, score))


def estimated(place: Place, accuracy: str, bound: float, genotypes: list[list[int]]) -> list[float]:
    """What an estimator says of networks."""
    torch.set_num_threads(1)
    steps = f",{place.setting.supernet_steps}" if accuracy.startswith("supernet") else ""
    folder = place.folder / f"estimates/{accuracy.replace(':', '-')}"

    def ask() -> list[float]:
        folder.mkdir(parents=True, exist_ok=True)
        request = Request(
            space=SPACE,
            target=str(place.folder / "table"),
            latency_ms=bound,
            data=place.pictures,
            resolution=PIXELS,
            strides="drop",
            proxy_resolution=place.setting.proxy_pixels if steps else None,
            accuracy=accuracy + steps,
        )
        problem = Problem.load(request, folder=folder)
        return problem.objective.accuracy(np.array(genotypes, np.uint8)).tolist()

    return list(place.pieces.kept(f"estimates/{accuracy.replace(':', '-')}", ask))


def summary(
    place: Place, table: LatencyTable, bounds: Sequence[float], groups: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Every network by the clock and on the test pictures; winners against references and random ones; the ranks."""
    setting = place.setting
    result: dict[str, Any] = {
        "pictures": f"CIFAR-10 (JPEG copy), {setting.pictures:,} of 40,000 for training, 10,000 for the test",
        "device": table.header.summary,
        "table_error": table.networks_error,
        "setting": asdict(setting),
        "bounds": {},
    }
    for bound, group in zip(bounds, groups, strict=True):
        trained: dict[str, tuple[str, Architecture, list[int]]] = {}
        for name, way, at, seed in plan(place, bounds):
            if at == bound:
                trained[name] = ("winner", winner(search(place, way, bound, seed)), [seed])
        for name, network, seed in rivals(place, bound, group):
            kind = "random" if name.startswith("random") else "reference"
            trained.setdefault(name, (kind, network, []))[2].append(seed)
        networks = [network for _, network, _ in trained.values()]
        ms = place.pieces.kept(f"measured-{bound}", lambda n=networks: measured(place, table, n).tolist())
        rows = {}
        for (name, (kind, network, seeds)), own in zip(trained.items(), ms, strict=True):
            scores = [train(place, name, network, seed)["top1"] for seed in seeds]
            sizes = {"macs": network.macs, "params": network.params}
            rows[name] = {"kind": kind, "ms": own, "top1": float(np.mean(scores)), "trainings": scores} | sizes
        result["bounds"][str(bound)] = {"networks": rows} | verdict(rows, setting.random)
    truth = [
        train(place, name, network, seed)["top1"]
        for name, network, seed in rivals(place, bounds[0], groups[0])
        if name.startswith("random")
    ]
    result["tau"] = {
        a: ranked(estimated(place, a, bounds[0], groups[0]["random"]), truth) for a in ESTIMATORS[: setting.estimators]
    }
    known = [
        place.pieces.known(str(file.relative_to(place.folder).with_suffix(""))) for file in place.folder.rglob("*.json")
    ]
    result["core_hours"] = sum(piece.get("cpu_seconds", 0) for piece in known if isinstance(piece, dict)) / 3600
    return result


if __name__ == "__main__":
    main()

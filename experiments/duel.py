"""The cells of `own_pictures.py`: a method at a bound with a seed, and the commands and cuts that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pieces import Pieces, typed

from nas.blocks.architecture import Architecture
from nas.blocks.build import build
from nas.data import load_data
from nas.errors import Unattainable
from nas.formats.weights_file import Array
from nas.formats.winner import export
from nas.profiler.bench import attached
from nas.profiler.verify import measure_networks
from nas.runs.importing import import_network
from nas.runs.network import find_network
from nas.runs.proportions import scaled
from nas.runs.scaling import scaled_to
from nas.space.load import load_space
from nas.supernet.past import Past
from nas.system.teller import Silent
from nas.tables.table import load_table
from nas.training.processes import alone

WAYS: dict[str, tuple[str, ...]] = {
    "supernet": ("--accuracy", "supernet", "--controller", "evolution"),
    "sensitivity": ("--accuracy", "sensitivity", "--controller", "exact"),
    "netadapt": ("--controller", "netadapt"),
}
SCRATCH = "-scratch"
EVEN = ("even", "even-inner")
SCALED = ("mobilenetv2-1.0", "mobilenetv3-small-1.0", "efficientnet-b0")
METHODS = (*WAYS, *(way + SCRATCH for way in WAYS), *EVEN, *SCALED, "mobile", "whole")
FRACTIONS = tuple(round(0.025 * step, 3) for step in range(4, 41))
"""Of the widths, that an even cut may leave."""
TEACHER_SHARE = 0.25
"""Of the time of an even cut for tuning the whole network first, as `nas search --network` does."""


@dataclass(frozen=True)
class Cell:
    """A method at a bound with a seed."""

    method: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.method}-{self.share:g}-{self.seed}"

    def of(self, method: str) -> Cell:
        """The same for another method."""
        return replace(self, method=method)


@dataclass(frozen=True)
class Duel:
    """What is compared, and where its pieces lie."""

    pieces: Pieces
    weights: str
    data: str
    shares: tuple[float, ...]
    """Bounds, in latencies of the whole network."""
    seeds: tuple[int, ...]

    @property
    def setting(self) -> dict[str, Any]:
        """What all of it depends on."""
        return self.pieces.setting

    @property
    def resized(self) -> tuple[object, ...]:
        """The option for the size of the pictures."""
        return ("--resolution", self.setting["resolution"])

    def folder(self, name: str) -> Path:
        """One of the experiment's."""
        return self.pieces.folder / name

    def whole(self) -> Architecture:
        """The network that one has, for these pictures and their classes."""
        return self.published(self.setting["network"])

    def published(self, name: str) -> Architecture:
        """A shipped network, likewise."""
        return find_network(name, self.setting["resolution"]).config.architecture.classified(self.classes())

    def classes(self) -> int:
        """Of the pictures."""
        return int(self.pieces.kept("classes", lambda: len(load_data(self.data, self.setting["resolution"]).classes)))

    def clock(self, networks: Sequence[Architecture]) -> NDArray[np.float64]:
        """Measured latencies, float64[N], in those of the whole network, side by side on this CPU."""
        with attached(self.setting["device"]) as device:
            ms = measure_networks([self.whole(), *networks], None, device, Silent(), self.setting["precision_pct"]).ms
        return np.asarray(ms[1:] / ms[0])

    # The steps

    def train(self, name: str, network: Path, epochs: int, seed: int, *more: object) -> dict[str, Any]:
        """`nas train`, as a piece."""
        out = self.folder(f"{name}/training")
        words = ("train", network, "--data", self.data, "--epochs", epochs, "--seed", seed, *more, "--out", out)
        return dict(self.pieces.kept(f"{name}/train", lambda: typed(*words, again=("train", "--resume", "--out", out))))

    def found(self, cell: Cell) -> Path:
        """The run folder of one of our searches."""
        way = cell.method.removesuffix(SCRATCH)
        name, out = cell.of(way).name, self.folder(f"{cell.of(way).name}/run")
        words = (
            *("search", "--network", self.setting["network"], "--weights", self.weights),
            *(*self.resized, "--target", self.setting["device"]),
            *("--latency", f"{100 * cell.share:g}%", "--data", self.data, "--budget", self.setting["budget"]),
            *("--seed", cell.seed, *WAYS[way], "--out", out),
        )
        self.pieces.kept(f"{name}/search", lambda: searched(words, out))
        return out

    def searched_anew(self, cell: Cell) -> Path:
        """The run folder of a search of `mobile`."""
        table, out = self.folder("mobile-table"), self.folder(f"{cell.name}/run")
        space = ("--space", "mobile", *self.resized)
        profiled = ("profile", *space, "--classes", self.classes(), "--target", self.setting["device"], "--out", table)
        self.pieces.kept("mobile-table-made", lambda: typed(*profiled))
        bound = self.pieces.kept("mobile-ms", lambda: self.mobile_ms(table)) * cell.share
        words = (
            *("search", *space, "--target", table, "--latency", f"{bound:.4f}ms", "--data", self.data),
            *("--budget", f"{self.time() / self.setting['threads'] / 2:.0f}s", *self.setting["mobile"].split()),
            *("--seed", cell.seed, "--out", out),
        )
        self.pieces.kept(f"{cell.name}/search", lambda: searched(words, out))
        return out

    def mobile_ms(self, folder: Path) -> float:
        """Of the whole network, at the pace of the table of `mobile`: by a network of the space beside it."""
        table = load_table(folder)
        space = load_space("mobile", resolution=self.setting["resolution"], classes=self.classes())
        network = space.decode(space.encode([space.references["plain-k3-e4"]])[0])
        return table.estimate(network).latency_ms / float(self.clock([network])[0])

    def cut(self, cell: Cell) -> tuple[Path, Path]:
        """The folder of an evenly cut network with what it has inherited, and that of its teacher."""
        inner = cell.method == "even-inner"
        networks = {fraction: evenly(self.whole(), fraction, inner) for fraction in FRACTIONS}
        known = self.pieces.kept(f"{cell.method}-shares", lambda: list(self.clock(list(networks.values()))))
        within = [fraction for fraction, share in zip(FRACTIONS, known, strict=True) if share <= cell.share]
        if not within:
            raise Unattainable(f"{cell.method}: the narrowest takes {min(known):.0%} of the whole network's time.")
        home, out = self.folder(f"teacher-{cell.seed}"), self.folder(f"{cell.name}/cut")

        def make() -> dict[str, Any]:
            source = import_network(
                self.weights, network=self.setting["network"], resolution=self.setting["resolution"]
            )
            data = load_data(self.data, self.setting["resolution"], seed=0)
            data = replace(data, mean=source.mean, std=source.std)
            home.mkdir(parents=True, exist_ok=True)
            past = Past(
                source.architecture,
                source.fitted.weights,
                source.mean,
                source.std,
                (),
                self.epochs("whole", TEACHER_SHARE),
                cell.share,
            )
            past.tuned(data, cell.seed, home, Silent(), alone())
            return {"epochs": past.epochs}

        self.pieces.kept(f"teacher-{cell.seed}/tuned", make)
        teacher = find_network(home / "teacher")
        weights, network = teacher.weights, networks[max(within)]
        assert weights is not None
        if not (out / "config.json").exists():
            out.mkdir(parents=True, exist_ok=True)
            kept = sliced(weights, network)
            shown = teacher.config.pictures
            export(network, out, ["config"], weights=kept, weights_from="supernet", pictures=shown)
        return out, home / "teacher"

    def scaled(self, cell: Cell) -> Path:
        """The folder of a published network, as wide as the bound allows."""
        out = self.folder(f"{cell.method}-{cell.share:g}")
        network = self.published(cell.method)

        def make() -> dict[str, Any]:
            found = scaled_to(network, cell.share, self.clock)
            out.mkdir(parents=True, exist_ok=True)
            export(found, out, ["config"])
            return {"macs": found.macs, "params": found.params}

        self.pieces.kept(f"{cell.method}-{cell.share:g}/scaled", make)
        return out

    def imported(self) -> Path:
        """The folder of the whole network with its weights."""
        out = self.folder("imported")
        words = ("import", self.weights, "--network", self.setting["network"], "--out", out)
        self.pieces.kept("import", lambda: typed(*words))
        return out

    # Equal time

    def time(self) -> float:
        """Processor time of a cell, in seconds: the mean of ours that were there when it was first asked for."""

        def make() -> float:
            spent = [
                cost
                for cell in self.cells(list(WAYS))
                if all(self.pieces.known(f"{cell.name}/{step}") for step in ("search", "train"))
                and (cost := self.spent(cell))
            ]
            if not spent:
                raise SystemExit(
                    f"A cell of {', '.join(WAYS)}, made without a kill, says how long others train. Make one."
                )
            return fmean(spent)

        return float(self.pieces.kept("time", make))

    def spent(self, cell: Cell) -> float | None:
        """Processor time of a cell, in seconds; None where it was stopped on the way, and nobody knows."""
        steps = [self.pieces.known(f"{cell.name}/{step}") for step in ("search", "train")]
        if cell.method.endswith(SCRATCH):
            steps.append(self.pieces.known(f"{cell.of(cell.method.removesuffix(SCRATCH)).name}/search"))
        if cell.method in EVEN:
            steps.append(self.pieces.known(f"teacher-{cell.seed}/tuned"))
        made = [step for step in steps if step is not None]
        return sum(step["cpu_seconds"] for step in made) if all(step["whole"] for step in made) else None

    def epochs(
        self, name: str, share: float = 1.0, less: float = 0.0, network: Path | None = None, more: Sequence[object] = ()
    ) -> int:
        """As many as fit into this share of the time, `less` seconds of processor time that are gone already. `name` is
        of the pace: two short trainings of a network, by default the whole one, with `more` options say what an epoch
        takes."""
        costs = []
        for epochs in (1, 2):
            piece = f"pace/{name}-{epochs}"
            self.train(piece, network or self.imported(), epochs, 0, *(self.resized if network is None else ()), *more)
            known = self.pieces.known(f"{piece}/train")
            assert known is not None
            costs.append(known["cpu_seconds"])
        beside, epoch = 2 * costs[0] - costs[1], max(costs[1] - costs[0], 0.1)
        left = share * self.time() - less - max(0.0, beside)
        return min(int(self.setting["most_epochs"]), max(1, round(left / epoch)))

    # Cells

    def cells(self, methods: Sequence[str] = METHODS) -> list[Cell]:
        """Seed by seed, so that a part of the plan is a small experiment. The whole network has one bound."""
        return [
            Cell(method, share, seed)
            for seed in self.seeds
            for share in self.shares
            for method in methods
            if method != "whole" or share == self.shares[0]
        ]

    def make(self, cell: Cell) -> dict[str, Any]:
        """A cell's row, with whatever is missing made."""
        method = cell.method
        if method in WAYS:
            network: Path = self.found(cell)
            answer = self.train(cell.name, network, self.setting["epochs"], cell.seed)
        elif method.endswith(SCRATCH):
            network = self.found(cell)
            answer = self.train(cell.name, network, self.setting["scratch_epochs"], cell.seed, "--from-scratch")
        elif method in EVEN:
            network, teacher = self.cut(cell)
            taught = ("--teacher", teacher)
            epochs = self.epochs(f"{method}-{cell.share:g}", 1 - TEACHER_SHARE, network=network, more=taught)
            answer = self.train(cell.name, network, epochs, cell.seed, *taught)
        elif method in SCALED:
            network = self.scaled(cell)
            epochs = self.epochs(f"{method}-{cell.share:g}", network=network)
            answer = self.train(cell.name, network, epochs, cell.seed)
        elif method == "mobile":
            network = self.searched_anew(cell)
            search = self.pieces.known(f"{cell.name}/search")
            assert search is not None
            epochs = self.epochs(f"{method}-{cell.share:g}-{cell.seed}", less=search["cpu_seconds"], network=network)
            answer = self.train(cell.name, network, epochs, cell.seed, "--from-scratch")
        else:
            network = self.imported()
            answer = self.train(cell.name, network, self.epochs("whole"), cell.seed, *self.resized)
        trained = find_network(self.folder(f"{cell.name}/training")).config.architecture
        share = self.pieces.kept(f"{cell.name}/clock", lambda: float(self.clock([trained])[0]))
        row = {"top1": answer["test"]["top1"], "share": share, "macs": trained.macs, "params": trained.params}
        return dict(self.pieces.kept(f"{cell.name}/row", lambda: row | {"cpu_seconds": self.spent(cell)}))

    def rows(self) -> dict[Cell, dict[str, Any]]:
        """Of the cells that are made."""
        found = {cell: self.pieces.known(f"{cell.name}/row") for cell in self.cells()}
        return {cell: row["piece"] for cell, row in found.items() if row is not None}


def searched(words: Sequence[object], out: Path) -> dict[str, Any]:
    """`nas search`, without its front."""
    answer = typed(*words, again=("search", "--resume", "--out", out))
    return {name: value for name, value in answer.items() if name != "front"}


def evenly(network: Architecture, fraction: float, inner: bool) -> Architecture:
    """All widths times a fraction, that of the head too, or only those inside blocks."""
    narrower = network if inner else scaled(network, fraction)
    cut = "mbconv" if inner else "head"
    layers = [
        layer.changed(mid_channels=max(8, round(fraction * layer.mid_channels / 8) * 8)) if layer.kind == cut else layer
        for layer in narrower.layers
    ]
    return replace(narrower, layers=tuple(layers))


def sliced(weights: Mapping[str, Array], network: Architecture) -> dict[str, Array]:
    """What a narrower network has of these weights: the first channels, everywhere."""
    shapes = {name: tuple(tensor.shape) for name, tensor in build(network).state_dict().items()}
    return {
        name: np.ascontiguousarray(weights[name][tuple(slice(0, size) for size in shape)])
        for name, shape in shapes.items()
        if name in weights
    }

"""Make what ships of FBNet at 32 px: tables of its layers, from whole networks that HELP measured in 23 settings.

    python experiments/fbnet_tables.py [--data DIR] [--write]

prints errors as JSON, beside those of MACs alone, of a block model, and of what does not ship; `--write` also writes
`latency_tables/fbnet-*/`, the same bytes every time. DIR is the folder of measured data; by default
`../shared/data/measured` beside the repository.

A network's time is the sum of its layers' here; single layers are not known from whole networks: of two that always
come together only the sum is. So layers are fitted by non-negative least squares of the relative error, drawn a little
to a block model that is fitted to the same networks and divides what the networks leave open. Networks have one head,
of 1504 features and 100 classes: it is the model's, so that other heads fit beside it, and the stem has what remains.
Errors are told in five folds, each network by tables that were fitted without it.

HW-NAS-Bench's figures of FBNet (Pixel 3, Raspberry Pi 4, Eyeriss, FPGA) are no whole networks but sums of a table of
blocks. What can be asked is whether a block model fitted to them answers for NAS-Bench-201's networks, which were
measured whole on the same four: printed as `sums`.
"""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
import pixel3_table
from nas_bench_201_tables import CARDS, OTHERS
from numpy.typing import NDArray
from scipy.optimize import nnls

from nas.blocks.block import is_head
from nas.cost.cost import COSTS
from nas.profiler.verify import error_of
from nas.space.load import load_space
from nas.space.space import Population, Space
from nas.tables.header import NetworksError, TableHeader
from nas.tables.model import FEATURES, BlockModel, Range, features, fit_coefficients
from nas.tables.rows import PROVENANCES
from nas.tables.table import Row
from nas.tables.write import write_table

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("help_fbnet_cifar/fbnet_cifar100_5000_latency_ms.csv.gz")
SUMS = ("pixel3", "raspi4", "eyeriss", "fpga")
NAMES = (*FEATURES, "grouped")
FOLDS = 5
DRAWN = 0.1
"""Weight of the model's figure for a layer, in networks."""
MOST_PCT = 5.0
"""Mean error above which no table ships."""
HEAD_DOUBT_PCT = 50.0
"""Judged: no head but one was in the networks."""
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Networks:
    """FBNet's networks for CIFAR-100, as HELP drew them."""

    space: Space
    population: Population
    ms: dict[str, Float]
    """By setting."""

    @classmethod
    def load(cls, data: Path) -> Networks:
        """From the measured data; op indices of the source are those of the space."""
        space = load_space("fbnet", resolution=32, classes=100, strides="drop")
        with gzip.open(data / FILE, "rt", newline="") as text:
            rows = list(csv.DictReader(text))
        ops = np.array([[int(op) for op in row["ops"]] for row in rows], np.uint8)
        assert [decision.name for decision in space.decisions][-1] == "head.width"
        population = np.hstack([ops, np.zeros((len(ops), 1), np.uint8)])
        settings = [name for name in rows[0] if name not in ("arch_id", "ops")]
        return cls(space, population, {name: np.array([float(row[name]) for row in rows]) for name in settings})

    @cached_property
    def layers(self) -> list[Any]:
        """Those that do something, each once."""
        return [layer for layer in self.space.layers() if layer.graph.nodes]

    @cached_property
    def counts(self) -> Float:
        """How often each network has each layer."""
        place = {layer: index for index, layer in enumerate(self.layers)}
        found = np.zeros((len(self.population), len(self.layers)))
        for row, genotype in enumerate(self.population):
            for layer in self.space.decode(genotype).layers:
                if layer in place:
                    found[row, place[layer]] += 1
        return found

    @cached_property
    def asked(self) -> Float:
        """Features of each layer; what a fully connected layer multiplies it also reads."""
        return features(self.layers, NAMES)

    @cached_property
    def heads(self) -> NDArray[np.bool_]:
        return np.array([is_head(layer.kind) for layer in self.layers])

    def model(self, some: NDArray[np.bool_], ms: Float) -> dict[str, float]:
        """Coefficients of a block model. Heads do not vary, so a weight of a fully connected layer costs what one of a
        convolution does."""
        work = self.counts[some] @ self.asked
        linear = work[:, [NAMES.index("linear")]]
        work = work + linear * [name in ("dense", "weights") for name in NAMES]
        found = fit_coefficients(work, ms[some], {"linear": 0.0}, NAMES)
        return found | {"linear": found["dense"] + found["weights"]}

    def rows(self, some: NDArray[np.bool_], ms: Float) -> tuple[Float, dict[str, float]]:
        """ms of each layer, and the model's coefficients, fitted to some networks."""
        coefficients = {name: round(value, 6) for name, value in self.model(some, ms).items()}
        found = self.asked @ list(coefficients.values())
        free = ~self.heads
        relative = self.counts[some] / ms[some][:, None]
        drawn = np.diag(DRAWN / np.maximum(found[free], 1e-3))
        target = np.concatenate([1 - relative[:, ~free] @ found[~free], np.full(free.sum(), DRAWN)])
        found[free], _ = nnls(np.vstack([relative[:, free], drawn]), target)
        return found, coefficients


def left_out(networks: Networks, ms: Float) -> dict[str, Float]:
    """ms of each network by what was fitted without its fold: rows, the block model, MACs alone."""
    fold = np.random.default_rng(0).permutation(len(ms)) % FOLDS
    macs = COSTS["macs"].factors(networks.space)(networks.population)
    found = {name: np.zeros(len(ms)) for name in ("rows", "block_model", "macs")}
    for out in (fold == number for number in range(FOLDS)):
        by_layer, coefficients = networks.rows(~out, ms)
        found["rows"][out] = networks.counts[out] @ by_layer
        found["block_model"][out] = networks.counts[out] @ networks.asked @ list(coefficients.values())
        found["macs"][out] = np.polyval(np.polyfit(macs[~out], ms[~out], 1), macs[out])
    return found


def header(networks: Networks, setting: str, coefficients: dict[str, float], error: NetworksError) -> TableHeader:
    """What is known of a setting."""
    card = next((card for card in CARDS if setting.startswith(f"{card}_")), None)
    limits = Range(
        kinds=("head",),
        resolutions=(32,),
        depthwise_kernels=(3, 5),
        dense_kernels=(1,),
        strides=(1,),
        groups=(1,),
        activations=("relu",),
        channels=(352, 352),
        mid_channels=(1504, 1984),
        classes=(2, 1000),
        fitted_channels=(352, 352),
        fitted_mid_channels=(1504, 1504),
    )
    parts = dict.fromkeys(("expansion1", "kernel7", "gate", "width", "plain"), 0.0)
    off = error.mape_pct
    entries: dict[str, Any] = {
        "format": "nas-latency-table/1",
        "name": name_of(setting),
        "device": {"model": CARDS[card] if card else OTHERS[setting]},
        "runtime": {"name": "not stated", "version": "not stated"},
        "threads": 1,
        "precision": "float32",
        "batch": int(setting.rpartition("_")[2]) if card else 1,
        "date": "2021, as published; the day of measuring is not stated",
        "resolution": 32,
        "estimator": f"layers fitted to {len(networks.population):,} whole networks: only their sums mean something. "
        f"The error is that of {FOLDS} folds; no network had a head of 1984 features or other than 100 classes. "
        "Repeats, runtime and threads are not stated",
        "source": "HELP, HayeonLee/HELP data/fbnet/latency @45f70eb (MIT), arXiv:2106.08630: whole networks of FBNet, "
        "CIFAR-100",
        "licence": "MIT",
        "key_columns": ["kind"],
        "calibration": "none",
        "model": BlockModel(
            coefficients=coefficients, range=limits, band_pct=parts | {"block": HEAD_DOUBT_PCT}
        ).to_header(),
        "error": {
            "band_pct": dict.fromkeys(PROVENANCES, round(off, 3)) | {"interpolated": HEAD_DOUBT_PCT},
            "networks": error.model_dump(),
        },
    }
    return TableHeader.model_validate(entries)


def name_of(setting: str) -> str:
    """What its table is called."""
    return f"fbnet-{setting.replace('_', '-')}"


def error(networks: Networks, by_table: Float, ms: Float) -> NetworksError:
    """How far the table is off on networks left out."""
    found = error_of(by_table, ms, float("nan"))
    rounded = {name: round(value, 3) for name, value in found.model_dump().items() if isinstance(value, float)}
    return found.model_copy(
        update={**rounded, "space": networks.space.name, "space_sha256": networks.space.fingerprint}
    )


def sums(data: Path, device: str) -> dict[str, float]:
    """How far a block model of HW-NAS-Bench's blocks is off on the whole networks of NAS-Bench-201 that have neither
    poolings nor empty edges, as `pixel3_table` has it for that phone."""
    rows = pixel3_table.places(data, device)
    constants = pixel3_table.read_csv(data / "hwnasbench_fbnet_cifar_lut" / "constants.csv")
    frame_ms = next(float(row["all_skip_network_ms"]) for row in constants if row["device"] == device)
    bands = dict.fromkeys(("block", "expansion1", "kernel7", "gate", "width", "plain"), 0.0)
    model = BlockModel(coefficients=pixel3_table.fit(rows, frame_ms), range=pixel3_table.RANGE, band_pct=bands)
    off = pixel3_table.bench_201(data, model, device)
    return {"networks": len(off), "mean_error_pct": round(float(off.mean()), 1), **pixel3_table.summary(off)}


def write(networks: Networks, setting: str, found: NetworksError) -> None:
    """Write a table of all networks."""
    everything = np.ones(len(networks.population), bool)
    ms, coefficients = networks.rows(everything, networks.ms[setting])
    measured = networks.counts.sum(axis=0) > 0
    rows = [
        Row(layer, round(float(value), 6), round(float(value) * found.mape_pct / 100, 6), 0, "derived")
        for layer, value, known in zip(networks.layers, ms, measured, strict=True)
        if known
    ]
    write_table(ROOT / "latency_tables" / name_of(setting), header(networks, setting, coefficients, found), rows)


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/measured", help="measured data"
)
@click.option("--write", "save", is_flag=True, help="write latency_tables/fbnet-*")
def main(data: Path, save: bool) -> None:
    """Fit, print figures as JSON, and with --write make the tables."""
    networks = Networks.load(data)
    told: dict[str, Any] = {"sums": {device: sums(data, device) for device in SUMS}}
    for setting, ms in networks.ms.items():
        if setting in SUMS:
            continue
        found = {name: error(networks, by, ms) for name, by in left_out(networks, ms).items()}
        by_layer, _ = networks.rows(np.ones(len(ms), bool), ms)
        free = int((by_layer[~networks.heads] == 0).sum())
        ships = found["rows"].mape_pct <= MOST_PCT and not free
        figures = ("mape_pct", "worst_pct", "kendall_tau")
        told[setting] = {"ships": ships, "layers_at_nothing": free} | {
            name: {figure: round(getattr(each, figure), 3) for figure in figures} for name, each in found.items()
        }
        if save and ships:
            write(networks, setting, found["rows"])
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

"""The shipped tables of five accelerators for `mobile`: rows found from whole networks of Accel-NASBench.

    python experiments/accelerator_tables.py [--data DIR] [--write]

prints, for each accelerator and fold, how far off networks are that nothing was fitted to, beside MACs alone and a
plain block model, as JSON; `--write` also writes `latency_tables/zcu102`, `vck190`, `a100`, `rtx3090` and `tpuv2`, and
the results, the same bytes every time. DIR is the folder of measured data; by default `../shared/data/measured` beside
the repository.

A network's latency is a constant, a row for each of its layers, and joints: what a block without expansion takes more
or less because of the layer in front of it. Rows are not negative. They are found by least squares of the relative
error, networks further off than `CLIP` counting by their distance alone. Every network has a stem, a head and a first
block a stage, so sums leave some of this open (rank 162 of 171 without joints): there, rows are as near as they can be
to a plain block model with a constant, fitted to the same networks.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import kendalltau

from nas.blocks.layer import KEY_COLUMNS, Layer
from nas.formats.archdef import format_archdef, to_archdef
from nas.space.load import load_space
from nas.space.space import Population, Space
from nas.tables.header import TableHeader
from nas.tables.model import features
from nas.tables.sums import Sums
from nas.tables.table import Row, load_table
from nas.tables.write import write_table

ROOT = Path(__file__).resolve().parent.parent
FILE = "accel_nasbench/accel_nasbench_train.csv.gz"
RESULTS = ROOT / "experiments/results/accelerator_tables.json"
FOLDS = 5
CLIP = 0.01
"""Relative error from which on a network counts by its distance, and not by the square of it."""
DOUBT = 0.5
"""How far off the block model may be of a row, as a share of it, where sums leave it open."""
CHECKED = 6
"""Networks that ship with the tables, and that nothing was fitted to."""
DIGITS = 8
"""After the point, of milliseconds: an image takes a graphics card a tenth of one."""
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Accelerator:
    """One target, and the column that it is made of."""

    name: str
    model: str
    column: str
    ships: bool = True

    def ms(self, figure: float) -> float:
        """Of an image."""
        return 1000 / figure if self.column.startswith("throughput") else figure


ACCELERATORS = (
    Accelerator("zcu102", "Xilinx Zynq UltraScale+ ZCU102", "latency_zcu102"),
    Accelerator("vck190", "Xilinx Versal AI Core VCK190", "latency_vck190"),
    Accelerator("a100", "NVIDIA A100", "throughput_a100"),
    Accelerator("rtx3090", "NVIDIA GeForce RTX 3090", "throughput_3090"),
    Accelerator("tpuv2", "Google Cloud TPU v2", "throughput_tpuv2"),
    Accelerator("tpuv3", "Google Cloud TPU v3", "throughput_tpuv3", ships=False),
)
Joint = tuple[str, bool, str, int, int, int]
"""After which kind, with or without a residual, before which kind, its channels in and out, and its height."""


@dataclass(frozen=True, eq=False)
class Networks:
    """What networks consist of, by number: `uint8[N, D]` genotypes, counts of layers and of joints."""

    genotypes: Population
    layers: tuple[Layer, ...]
    joints: tuple[Joint, ...]
    counts: Float
    """[N, layers]"""
    joined: Float
    """[N, joints]"""
    owners: NDArray[np.int64]
    """The same for networks that are the same: those that were trained twice."""

    @classmethod
    def of(cls, space: Space, genotypes: Population) -> Networks:
        layers = {layer: place for place, layer in enumerate(space.layers())}
        counts = np.zeros((len(genotypes), len(layers)))
        pairs: list[tuple[int, Joint]] = []
        for row, genotype in enumerate(genotypes):
            network = space.decode(genotype).layers
            np.add.at(counts[row], [layers[layer] for layer in network], 1)
            pairs += [(row, joint(a, b)) for a, b in pairwise(network) if b.kind == "sepconv"]
        order = sorted({found for _, found in pairs}, key=lambda key: (-key[5], key[3:5], key))
        joints = {found: place for place, found in enumerate(order)}
        joined = np.zeros((len(genotypes), len(joints)))
        np.add.at(joined, ([row for row, _ in pairs], [joints[found] for _, found in pairs]), 1)
        owners = np.unique(genotypes, axis=0, return_inverse=True)[1]
        return cls(genotypes, tuple(layers), tuple(joints), counts, joined, owners)

    def only(self, some: NDArray[Any]) -> Networks:
        """These of them."""
        mine = {name: getattr(self, name)[some] for name in ("genotypes", "counts", "joined", "owners")}
        return replace(self, **mine)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Milliseconds of what networks consist of."""

    constant: float
    rows: Float
    joints: Float

    def __call__(self, networks: Networks) -> Float:
        ms: Float = self.constant + networks.counts @ self.rows + networks.joined @ self.joints
        return ms


Fit = Callable[[Networks, Float], Callable[[Networks], Float]]


def joint(a: Layer, b: Layer) -> Joint:
    return a.kind, bool(a.residual), b.kind, b.in_channels, b.out_channels, b.height


def not_negative(wanted: Float, target: Float) -> Float:
    """Least squares by numbers of at least 0, on the small system that has the same solution."""
    q, r = np.linalg.qr(wanted)
    found: Float = nnls(r, q.T @ target, maxiter=100 * wanted.shape[1])[0]
    return found


def by_macs(networks: Networks, ms: Float) -> Callable[[Networks], Float]:
    """A constant and so much for a MAC."""
    macs = np.array([layer.macs for layer in networks.layers]) * 1e-6
    columns = np.stack([np.ones(len(ms)), networks.counts @ macs], axis=1)
    constant, each = not_negative(columns / ms[:, None], np.ones(len(ms)))
    return lambda asked: constant + each * (asked.counts @ macs)


def by_model(networks: Networks, ms: Float) -> Fitted:
    """A constant, and the features of the block model."""
    work = features(networks.layers)
    columns = np.hstack([np.ones((len(ms), 1)), networks.counts @ work])
    constant, *coefficients = not_negative(columns / ms[:, None], np.ones(len(ms)))
    return Fitted(constant, work @ coefficients, np.zeros(len(networks.joints)))


def by_rows(networks: Networks, ms: Float) -> Fitted:
    """A constant, rows and joints."""
    model = by_model(networks, ms)
    guess = np.array([model.constant, *model.rows])
    usual = model.rows.mean()
    near = CLIP / (DOUBT * np.array([*np.maximum(guess, usual / 20), *[usual] * (2 * len(networks.joints))]))
    wanted = np.zeros(len(near))
    wanted[: len(guess)] = near[: len(guess)] * guess
    columns = np.hstack([np.ones((len(ms), 1)), networks.counts, networks.joined, -networks.joined]) / ms[:, None]
    weights = np.ones(len(ms))
    for _ in range(10):  # iteratively reweighted: Huber's loss
        root = np.sqrt(weights)
        found = not_negative(np.vstack([columns * root[:, None], np.diag(near)]), np.concatenate([root, wanted]))
        weights = np.minimum(1, CLIP / np.maximum(np.abs(columns @ found - 1), 1e-12))
    more, less = np.split(found[len(guess) :], 2)
    return Fitted(found[0], found[1 : len(guess)], more - less)


def without_joints(networks: Networks, ms: Float) -> Callable[[Networks], Float]:
    """A constant and rows alone."""

    def bare(some: Networks) -> Networks:
        return replace(some, joints=(), joined=some.joined[:, :0])

    fitted = by_rows(bare(networks), ms)
    return lambda asked: fitted(bare(asked))


FITS: dict[str, Fit] = {"macs": by_macs, "block_model": by_model, "rows": without_joints, "rows_and_joints": by_rows}


def left_out(networks: Networks, ms: Float, fit: Fit) -> tuple[Float, NDArray[np.int64]]:
    """ms of each network by a fit to the other folds, and the fold of each. Networks that are the same share one."""
    folds = np.random.default_rng(0).permutation(networks.owners.max() + 1)[networks.owners] % FOLDS
    found = np.zeros(len(ms))
    for fold in range(FOLDS):
        mine = folds == fold
        found[mine] = fit(networks.only(~mine), ms[~mine])(networks.only(mine))
    return found, folds


def error(found: Float, ms: Float) -> dict[str, float]:
    off = 100 * np.abs(found / ms - 1)
    return {
        "mape_pct": round(float(off.mean()), 3),
        "p90_pct": round(float(np.quantile(off, 0.9)), 3),
        "worst_pct": round(float(off.max()), 2),
        "within_5_pct": round(100 * float((off <= 5).mean()), 2),
        "within_10_pct": round(100 * float((off <= 10).mean()), 2),
        "kendall_tau": round(float(kendalltau(found, ms)[0]), 4),
    }


def repeats(networks: Networks, ms: Float) -> float:
    """Percent that two measurements of one network are apart, in the mean."""
    apart = []
    for owner in np.flatnonzero(np.bincount(networks.owners) > 1):
        a, b = ms[networks.owners == owner][:2]
        apart.append(200 * abs(a - b) / (a + b))
    return round(float(np.mean(apart)), 2)


def read(data: Path, space: Space) -> tuple[Networks, list[dict[str, str]]]:
    """The networks, and their rows in the file."""
    with gzip.open(data / FILE, "rt", newline="") as text:
        rows = list(csv.DictReader(text))
    choices = []
    for row in rows:
        stages = [(f"stage{stage + 1}", f"block{stage}") for stage in range(7)]
        numbers = {"depth": "l", "kernel": "k", "expansion": "e"}
        choice: dict[str, Any] = {
            f"{s}.{name}": int(row[f"{b}_{ours}"]) for s, b in stages for name, ours in numbers.items()
        }
        choices.append(choice | {f"{s}.se": 0.25 * int(row[f"{b}_se"]) for s, b in stages})
    return Networks.of(space, space.encode(choices)), rows


def header(
    accelerator: Accelerator, space: Space, fitted: Fitted, networks: Networks, told: dict[str, Any]
) -> TableHeader:
    """What is known of an accelerator's figures."""
    known = told["rows_and_joints"]
    unit = (
        "an image's milliseconds are 1000 / (images a second)"
        if accelerator.column.startswith("throughput")
        else "latency"
    )
    band = dict.fromkeys(("measured", "derived", "simulated", "interpolated"), known["p90_pct"])
    off = {name: value for name, value in known.items() if name not in ("folds", "p90_pct")}
    joints = [
        dict(zip(("after", "residual", "before", "in_channels", "out_channels", "height"), key, strict=True))
        | {"ms": ms}
        for key, ms in zip(networks.joints, np.round(fitted.joints, DIGITS).tolist(), strict=True)
    ]
    entries: dict[str, Any] = {
        "format": "nas-latency-table/1",
        "name": accelerator.name,
        "device": {"model": accelerator.model},
        "runtime": {"name": "not stated", "version": "not stated"},
        "threads": "not stated",
        "precision": "not stated",
        "batch": "not stated",
        "date": "as published in 2023; the day of measuring is not stated",
        "resolution": space.resolution,
        "estimator": (
            f"{unit}, the mean of repeats; batch, precision, runtime and threads are not stated. The band is that of "
            f"nine in ten networks left out, in {FOLDS} folds"
        ),
        "source": (
            "Accel-NASBench, afzalxo/Accel-NASBench anb_dataset_jsons.tar.gz @4260357, whole networks, column "
            f"{accelerator.column}"
        ),
        "licence": "Apache-2.0",
        "key_columns": list(KEY_COLUMNS),
        "calibration": (
            f"rows are derived from {told['networks']:,} whole networks: only sums of them, with constant and joints, "
            "mean something. What sums leave open is as in a block model fitted to the same networks"
        ),
        "sums": {
            "space": space.name,
            "space_sha256": space.fingerprint,
            "constant_ms": round(float(fitted.constant), DIGITS),
            "joints": joints,
        },
        "error": {
            "band_pct": band,
            "networks": {"count": told["networks"], **off, "space": space.name, "space_sha256": space.fingerprint},
        },
    }
    return TableHeader.model_validate(entries)


def checked(networks: Networks, ms: Float) -> NDArray[np.int64]:
    """Networks that were measured once, evenly spread over the range."""
    single = np.flatnonzero((np.bincount(networks.owners)[networks.owners] == 1) & np.isfinite(ms))
    ranked = single[np.argsort(ms[single], kind="stable")]
    return ranked[(np.linspace(0.02, 0.98, CHECKED) * len(ranked)).astype(int)]


def write(
    accelerator: Accelerator, space: Space, networks: Networks, ids: Sequence[str], ms: Float, told: dict[str, Any]
) -> None:
    """Fit to all networks but those that are checked, and write the folder."""
    held = checked(networks, ms)
    rest = np.setdiff1d(np.flatnonzero(np.isfinite(ms)), held)
    fitted = by_rows(networks.only(rest), ms[rest])
    band = told["rows_and_joints"]["p90_pct"] / 100
    seen = (networks.only(rest).counts > 0).sum(axis=0)
    rounded = np.round(fitted.rows, DIGITS).tolist()
    rows = [
        Row(layer, row, round(row * band, DIGITS), int(count), "derived")
        for layer, row, count in zip(networks.layers, rounded, seen, strict=True)
    ]
    folder = ROOT / "latency_tables" / accelerator.name
    told_header = header(accelerator, space, fitted, networks, told)
    (folder / "networks").mkdir(parents=True, exist_ok=True)
    assert told_header.sums is not None
    sums, ms_of = Sums(told_header.sums), dict(zip(networks.layers, rounded, strict=True))
    entries = []
    for number in held.tolist():
        architecture = space.decode(networks.genotypes[number])
        table_ms = sum(ms_of[layer] for layer in architecture.layers) + sums.added(architecture.layers)
        (folder / "networks" / f"anb-{ids[number]}.json").write_text(format_archdef(to_archdef(architecture)))
        entries.append(
            {
                "name": f"Accel-NASBench {ids[number]}",
                "network": f"anb-{ids[number]}",
                "published_ms": round(float(ms[number]), 6),
                "table_ms": round(table_ms, 6),
                "error_pct": round(100 * (table_ms / float(ms[number]) - 1), 2),
                "source": "Accel-NASBench",
            }
        )
    document = told_header.model_dump()
    document["error"]["whole_networks"] = entries
    write_table(folder, TableHeader.model_validate(document), rows)
    load_table(folder)


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/measured", help="measured data"
)
@click.option("--write", "save", is_flag=True, help="write the tables and the results")
@click.option("--quick", is_flag=True, help="every eighth network alone, for a try")
@click.option("--only", multiple=True, type=click.Choice([each.name for each in ACCELERATORS]), help="these alone")
def main(data: Path, save: bool, quick: bool, only: Sequence[str]) -> None:
    """Fit in folds, print the errors as JSON, and with --write make the tables."""
    space = load_space("mobile")
    networks, rows = read(data, space)
    told: dict[str, Any] = {}
    for accelerator in ACCELERATORS:
        if only and accelerator.name not in only:
            continue
        ms = np.array([accelerator.ms(float(row[accelerator.column] or "nan")) for row in rows])
        some = np.flatnonzero(np.isfinite(ms))[:: 8 if quick else 1]
        mine, known = networks.only(some), ms[some]
        mine = replace(mine, owners=np.unique(mine.owners, return_inverse=True)[1])
        entry: dict[str, Any] = {"networks": len(some), "least_ms": round(float(known.min()), 4)}
        entry |= {"most_ms": round(float(known.max()), 4)}
        entry |= {"repeats_differ_pct": repeats(mine, known)} if not quick else {}
        for name, fit in FITS.items():
            found, folds = left_out(mine, known, fit)
            by_fold = [error(found[folds == fold], known[folds == fold])["mape_pct"] for fold in range(FOLDS)]
            entry[name] = {**error(found, known), "folds": by_fold}
        told[accelerator.name] = entry
        if save and accelerator.ships:
            write(accelerator, space, networks, [row["id"] for row in rows], ms, entry)
    if save and not only:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

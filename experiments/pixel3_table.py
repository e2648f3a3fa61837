"""The shipped latency table `pixel3`: FBNet's blocks as HW-NAS-Bench measured them, and a block model fitted to them.

    python experiments/pixel3_table.py [--data DIR] [--write]

prints its figures as JSON; `--write` also writes `latency_tables/pixel3/`, the same bytes every time.
DIR is the folder of measured data; by default `../shared/data/measured` beside the repository.

What goes in (figures only; each folder's README has commit and licence):
- `hwnasbench_fbnet_cifar_lut` (GATECH-EIC/HW-NAS-Bench, MIT; recovered from sums in HayeonLee/HELP, MIT): blocks of
  FBNet at 32 px, less the skip of their place, and the network of skips alone. The model is fitted to them alone.
- its `notebook_points.csv`: two networks at 224 px, as sums of blocks that were measured there. A check.
- `nas_bench_201` (HELP's copy of HW-NAS-Bench's figures, MIT): whole networks of plain convolutions, 3×3 and 1×1.
  They were measured as a whole on the same phone; nothing is fitted to them. A check, and the band of plain layers.
- the shipped table `pixel-cpu`: what squeeze-and-excitation costs there, times the ratio of the two phones.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import yaml
from numpy.typing import NDArray

from nas.blocks import KEY_COLUMNS, Layer
from nas.formats.archdef import format_archdef, parse_archdef, read_archdef
from nas.space.load import load_space
from nas.tables.model import FEATURES, BlockModel, Range, features, fit_coefficients
from nas.tables.table import load_table

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "latency_tables" / "pixel3"
NAMES = (*FEATURES, "grouped")
NOT_FITTED = {"depthwise7": 0.0, "gated": 0.0, "gates": 0.0}
GATE_DOUBT = 0.5  # judged: what squeeze-and-excitation adds was measured on another phone
SPACES = ("fbnet", "mnasnet", "mobile", "nas-bench-macro", "single-path")
Float = NDArray[np.float64]

RANGE = Range(
    kinds=("conv", "sepconv", "mbconv", "identity", "head", "pooled_head"),
    resolutions=(32, 64, 96, 112, 128, 160, 192, 224),
    depthwise_kernels=(3, 5),
    dense_kernels=(1, 3, 5),
    strides=(1, 2),
    groups=(1, 2),
    activations=("relu", "relu6", "none"),
    channels=(8, 1024),
    mid_channels=(8, 2400),
    classes=(1, 4096),
    fitted_channels=(16, 352),
    fitted_mid_channels=(16, 1104),
)


@dataclass(frozen=True)
class Place:
    """A block of HW-NAS-Bench, and its time less that of the skip in its place."""

    block: Layer
    skip: Layer
    """A 1×1 convolution; the authors' has a ReLU."""
    identity: bool
    """Whether the skip there is nothing, so that `ms` is the block's own time."""
    ms: float

    @property
    def stage(self) -> tuple[int, int]:
        """Widths: blocks that share them are left out together."""
        return self.block.in_channels, self.block.out_channels

    @property
    def asks(self) -> Float:
        """Features of what `ms` is the time of."""
        asked: Float = features([self.block], NAMES)[0]
        return asked if self.identity else asked - features([self.skip], NAMES)[0]


def read_csv(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return list(csv.DictReader(text.splitlines()))


def conv(into: int, out: int, kernel: int, stride: int, size: int) -> Layer:
    return Layer(kind="conv", in_channels=into, out_channels=out, kernel=kernel, stride=stride, height=size, width=size)


def places(data: Path, device: str = "pixel3") -> list[Place]:
    """One for each block; repeats of a stage share a figure in the source."""
    found: dict[Layer, Place] = {}
    for row in read_csv(data / "hwnasbench_fbnet_cifar_lut" / "fbnet_cifar100_block_latency_rel_skip.csv"):
        if row["device"] == device:
            into, out, stride, size = (int(row[name]) for name in ("c_in", "c_out", "stride", "hw_in"))
            block = Layer(
                kind="mbconv",
                in_channels=into,
                out_channels=out,
                mid_channels=into * int(row["expansion"]),
                kernel=int(row["kernel"]),
                stride=stride,
                groups=int(row["groups"]),
                residual=stride == 1 and into == out,
                height=size,
                width=size,
            )
            skip = conv(into, out, 1, stride, size)
            ms = float(row["latency_minus_skip_ms"])
            found.setdefault(block, Place(block, skip, row["skip_is_identity"] == "1", ms))
    return list(found.values())


def frame(rows: Sequence[Place]) -> list[Layer]:
    """What the network of skips alone consists of: stem, the skips that are convolutions, head."""
    skips = list(dict.fromkeys(row.skip for row in rows if not row.identity))
    head = Layer(kind="head", in_channels=352, out_channels=100, mid_channels=1504, height=4, width=4)
    return [conv(3, 16, 3, 1, 32), *skips, head]


def fit(rows: Sequence[Place], frame_ms: float) -> dict[str, float]:
    """Coefficients from blocks; stem, skips and head enter as one row."""
    asked = np.vstack([*(row.asks for row in rows), features(frame(rows), NAMES).sum(axis=0)])
    return fit_coefficients(asked, np.array([*(row.ms for row in rows), frame_ms]), NOT_FITTED, NAMES)


def errors(rows: Sequence[Place], coefficients: dict[str, float]) -> Float:
    """Percent: how far off these rows are."""
    asked = np.array([row.asks for row in rows])
    return 100 * (asked @ [coefficients[name] for name in NAMES] / [row.ms for row in rows] - 1)


def left_out(rows: Sequence[Place], frame_ms: float) -> Float:
    """Percent, by models that were fitted without the row's stage."""
    found = np.zeros(len(rows))
    for stage in dict.fromkeys(row.stage for row in rows):
        out = np.array([row.stage == stage for row in rows])
        found[out] = errors([r for r in rows if r.stage == stage], fit([r for r in rows if r.stage != stage], frame_ms))
    return found


def without(rows: Sequence[Place], frame_ms: float, held: Sequence[Place]) -> float:
    """90 of 100 of these rows lie within this, %, by a model that was fitted without them."""
    return p90(errors(held, fit([row for row in rows if row not in held], frame_ms)))


def squeeze_excite(coefficients: dict[str, float]) -> tuple[dict[str, float], float]:
    """Coefficients of `pixel-cpu` in this phone's milliseconds, and their ratio: over the published networks that ship
    with that table, the median time of this model over that one's, both without squeeze-and-excitation."""
    other = load_table("pixel-cpu")
    assert other.model is not None
    ratios = []
    for file in sorted((other.path / "networks").glob("*.json")):
        layers = [layer.changed(se_channels=0) for layer in read_archdef(file).layers]
        if all(layer.kernel < 7 for layer in layers):
            mine = features(layers, NAMES).sum(axis=0) @ [coefficients[name] for name in NAMES]
            ratios.append(float(mine / other.model.predict(layers).sum()))
    ratio = median(ratios)
    return {name: other.model.coefficients[name] * ratio for name in ("gated", "gates")}, ratio


def bench_201(data: Path, model: BlockModel, device: str = "pixel3") -> Float:
    """Percent: the model against the whole networks of NAS-Bench-201 that have neither poolings nor empty edges.

    Three stages of five cells, of 16, 32 and 64 channels; an edge is a skip, a 1×1 or a 3×3 convolution. Between them
    a residual block of two 3×3 convolutions and a 1×1 one (arXiv:2001.00326, figure 1).
    """
    stages = ((16, 32), (32, 16), (64, 8))
    edge = {k: 5 * sum(float(model.predict([conv(c, c, k, 1, size)])[0]) for c, size in stages) for k in (1, 3)}
    fixed = [conv(3, 16, 3, 1, 32)]
    for channels, size in stages[1:]:
        half = channels // 2
        fixed += [conv(half, channels, 3, 2, 2 * size), conv(channels, channels, 3, 1, size)]
        fixed.append(conv(half, channels, 1, 1, size))
    fixed.append(Layer(kind="head", in_channels=64, out_channels=10, height=8, width=8))
    rest = float(model.predict(fixed).sum())
    found = []
    for row in read_csv(data / "nas_bench_201" / "nb201_latency_27_devices.csv.gz"):
        ops = row["ops"]
        if set(ops) <= set("123"):
            ms = rest + ops.count("2") * edge[1] + ops.count("3") * edge[3]
            found.append(100 * (ms / float(row[f"{device}_ms"]) - 1))
    return np.array(found)


def networks_at_224(data: Path, model: BlockModel) -> list[dict[str, Any]]:
    """FBNet with one op everywhere, its blocks measured at 224 px and added by the source."""
    found = []
    for row in read_csv(data / "hwnasbench_fbnet_cifar_lut" / "notebook_points.csv"):
        if row["dataset"] != "ImageNet":
            continue
        last = "_g2" if row["ops"].endswith("1") else ""
        name = f"fbnet-k3-e1{last.replace('_', '-')}"
        stages = ((16, 1, 1), (24, 2, 4), (32, 2, 4), (64, 2, 4), (112, 1, 4), (184, 2, 4), (352, 1, 1))
        blocks = [[f"ir_r{n}_k3_s{s}_e1_c{c}"] for c, s, n in stages]
        blocks[-1] = [f"ir_r1_k3_s1_e1_c352{last}"]
        shape = {"resolution": 224, "stem": 16, "head": 1504, "activation": "relu", "num_classes": 1000}
        archdef = {**shape, "blocks": blocks}
        ms, published = float(model.predict(parse_archdef(archdef).layers).sum()), float(row["pixel3_ms"])
        found.append(
            {
                "name": f"FBNet, all kernel 3 and expansion 1{', the last in two groups' if last else ''}",
                "network": name,
                "published_ms": round(published, 4),
                "table_ms": round(ms, 2),
                "error_pct": round(100 * (ms / published - 1), 1),
                "source": "HW-NAS-Bench example.ipynb @393bb8a (ImageNet): a sum of blocks measured at 224 px",
                "archdef": archdef,
            }
        )
    return found


def gate_band(model: BlockModel) -> float:
    """% of a layer of `mnasnet`, for nine in ten that have squeeze-and-excitation: GATE_DOUBT of what it adds."""
    gated = [layer for layer in load_space("mnasnet").layers() if layer.se_channels]
    plain = model.predict([layer.changed(se_channels=0) for layer in gated])
    return p90(100 * GATE_DOUBT * (1 - plain / model.predict(gated)))


def of_networks(model: BlockModel) -> dict[str, float]:
    """% by space: the model's bands over the layers of 200 random networks, weighted by time."""
    found = {}
    for name in SPACES:
        space = load_space(name)
        bands = []
        for genotype in space.sample(200, np.random.default_rng(0)):
            layers = space.decode(genotype).layers
            ms = model.predict(layers)
            bands.append(float(ms @ model.band(layers) / ms.sum()))
        found[name] = round(float(np.mean(bands)), 1)
    return found


def p90(errors_pct: Float) -> float:
    return round(float(np.percentile(np.abs(errors_pct), 90)), 1)


def summary(errors_pct: Float) -> dict[str, float]:
    mean, most = float(abs(errors_pct).mean()), float(abs(errors_pct).max())
    return {
        "mean_abs_error_pct": round(mean, 1),
        "p90_abs_error_pct": p90(errors_pct),
        "max_abs_error_pct": round(most, 1),
    }


def fit_model(data: Path, rows: Sequence[Place], frame_ms: float) -> tuple[BlockModel, dict[str, Any]]:
    """The model, and how well it does on what it was fitted to and on what it was not."""
    coefficients = fit(rows, frame_ms)
    out = left_out(rows, frame_ms)
    gates, ratio = squeeze_excite(coefficients)
    coefficients = {name: round(value, 5) for name, value in (coefficients | gates).items()}
    ones = [row for row in rows if row.block.mid_channels == row.block.in_channels and row.block.groups == 1]
    wide = [row for row in rows if row.block.in_channels >= 184 and row.block.groups == 1]
    parts = {
        "block": p90(out),
        "expansion1": without(rows, frame_ms, ones),
        "kernel7": 0.0,
        "gate": 0.0,
        "width": without(rows, frame_ms, wide),
        "plain": 0.0,
    }
    model = BlockModel(coefficients=coefficients, range=RANGE, band_pct=parts)
    plain = bench_201(data, model)
    worst = summary(plain)["max_abs_error_pct"]  # not p90: 5×5 ones, which mnasnet has, were not measured
    model = replace(model, band_pct=parts | {"plain": worst, "gate": gate_band(model)})
    figures = {
        "in_sample": summary(errors(rows, coefficients)),
        "leave_one_stage_out": summary(out),
        "grouped_left_out": summary(out[[row.block.groups > 1 for row in rows]]),
        "nas_bench_201": {"networks": len(plain), "mean_error_pct": round(float(plain.mean()), 1), **summary(plain)},
        "ratio_to_pixel_cpu": round(ratio, 3),
        "bands_of_networks_pct": of_networks(model),
    }
    return model, figures


def table(rows: Sequence[Place], model: BlockModel, frame_ms: float, measured_pct: float) -> list[str]:
    """Lines of table.csv. Stem, skips and head share their known sum as the model has them; a block at the place of a
    skip that is a convolution is its difference to that."""
    around = frame(rows)
    shares = model.predict(around)
    shares *= frame_ms / shares.sum()
    of_frame = dict(zip(around, shares.tolist(), strict=True))
    lines = [",".join((*KEY_COLUMNS, "latency_ms", "spread_ms", "samples", "provenance"))]

    def add(layer: Layer, ms: float, band_pct: float, provenance: str) -> None:
        key = (str(int(value) if isinstance(value, bool) else value) for value in layer.row.values())
        lines.append(",".join((*key, f"{ms:.5f}", f"{ms * band_pct / 100:.5f}", "1", provenance)))

    for layer, ms, band in zip(around, shares, model.band(around), strict=True):
        if layer.kernel == 1 and layer.kind == "conv":  # ours has no ReLU
            layer = Layer(
                kind="identity",
                in_channels=layer.in_channels,
                out_channels=layer.out_channels,
                stride=layer.stride,
                height=layer.height,
                width=layer.width,
            )
        add(layer, float(ms), float(band), "derived")
    for row in rows:
        if row.identity:
            add(row.block, row.ms, measured_pct, "measured")
        else:
            add(row.block, row.ms + of_frame[row.skip], model.band_pct["block"], "derived")
    return lines


def header(model: BlockModel, figures: dict[str, Any], networks: list[dict[str, Any]]) -> dict[str, Any]:
    known, out = figures["in_sample"]["p90_abs_error_pct"], figures["leave_one_stage_out"]
    bench = {f"nas_bench_201_{name}": value for name, value in figures["nas_bench_201"].items()}
    doubt = max(figures["bands_of_networks_pct"].values())
    return {
        "format": "nas-latency-table/1",
        "name": "pixel3",
        "device": {"model": "Google Pixel 3", "soc": "Qualcomm Snapdragon 845", "governor": "not stated"},
        "runtime": {"name": "TFLite", "version": "unknown, a build of 2020"},
        "threads": 1,
        "precision": "float32",
        "batch": 1,
        "date": "2020-21, as published; the day of measuring is not stated",
        "estimator": (
            "repeats, statistic and threads are not stated; one thread is our reading, by the pace of this phone and "
            "that of pixel-cpu"
        ),
        "source": (
            "HW-NAS-Bench, GATECH-EIC/HW-NAS-Bench @393bb8a (arXiv:2103.10584), FBNet's blocks at 32 px, recovered "
            "from sums in HayeonLee/HELP data/fbnet @45f70eb (MIT). Squeeze-and-excitation: as in the table pixel-cpu."
        ),
        "licence": "MIT",
        "key_columns": list(KEY_COLUMNS),
        "calibration": "none",
        "model": model.to_header(),
        "error": {
            "leave_one_stage_out": out,
            "leave_one_out": bench,
            "whole_networks": [{k: v for k, v in entry.items() if k != "archdef"} for entry in networks],
            "band_pct": {
                "measured": known,
                "derived": model.band_pct["block"],
                "simulated": doubt,
                "interpolated": doubt,
            },
        },
    }


def write(lines: list[str], entries: dict[str, Any], networks: list[dict[str, Any]], folder: Path) -> None:
    note = (
        "# Written by experiments/pixel3_table.py; change it there. No row's spread is known: that of measured rows\n"
        "# is what the block model leaves unexplained, that of others the half-width of the error band. The band of\n"
        "# interpolated layers is that of random networks, in the shipped space where it is widest.\n"
    )
    text = note + yaml.safe_dump(entries, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    (folder / "networks").mkdir(parents=True, exist_ok=True)
    (folder / "table.csv").write_bytes("\n".join((*lines, "")).encode())
    (folder / "table.yaml").write_bytes(text.encode())
    for entry in networks:
        (folder / "networks" / f"{entry['network']}.json").write_text(format_archdef(entry["archdef"]))


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/measured", help="measured data"
)
@click.option("--write", "save", is_flag=True, help="write latency_tables/pixel3")
def main(data: Path, save: bool) -> None:
    """Fit, print figures as JSON, and with --write make the table."""
    rows = places(data)
    constants = read_csv(data / "hwnasbench_fbnet_cifar_lut" / "constants.csv")
    frame_ms = next(float(row["all_skip_network_ms"]) for row in constants if row["device"] == "pixel3")
    model, figures = fit_model(data, rows, frame_ms)
    networks = networks_at_224(data, model)
    figures["networks_at_224"] = {entry["network"]: entry["error_pct"] for entry in networks}
    lines = table(rows, model, frame_ms, figures["in_sample"]["p90_abs_error_pct"])
    if save:
        write(lines, header(model, figures, networks), networks, TARGET)
    print(json.dumps({"rows": len(lines) - 1, "model": model.to_header(), **figures}, indent=1))


if __name__ == "__main__":
    main()

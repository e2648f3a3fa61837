"""The shipped latency table `pixel-cpu`: measured Single-Path NAS blocks, the rest from a fitted block model.

    python experiments/pixel_cpu_table.py [--data DIR] [--write]

prints its figures as JSON; `--write` also writes `latency_tables/pixel-cpu/`, the same bytes every time.
DIR is the folder of measured data; by default `../shared/data/measured` beside the repository.

What goes in (figures only; each folder's README has commit and licence):
- `single_path_nas_pixel1` (dstamoulis/single-path-nas, Apache-2.0): every row kept; the model is fitted to them alone.
- `tunas_pixel1_simulated` (google-research/tunas, Apache-2.0): how much more kernel 7 costs than 5, and what SE adds.
  Only ratios are taken: k7 against k5 against k3 of one block, and SE after division by the scale of that source.
- `tf_nas_xeon` (AberHu/TF-NAS, MIT): on a second CPU, is SE's cost a constant and two slopes? Only a check.
- `published`: whole networks, for checking. No coefficient is fitted to them and no scale is applied.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import hypot
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.optimize import nnls

from nas.blocks import KEY_COLUMNS, Layer
from nas.formats.archdef import parse_archdef
from nas.space.load import load_space
from nas.tables.model import FEATURES, BlockModel, Range, features, fit_coefficients

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "latency_tables" / "pixel-cpu"
REMAINDER_MS = 9.18075  # stem + head + classifier: what Single-Path's code adds, less its blocks 0 and 21
STAGES = ((0,), (1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20), (21,))
PLAIN_BAND_PCT = 20.0  # judged: stem and head are known as a sum; their shares move by this much between feature sets

RANGE = Range(
    kinds=("conv", "sepconv", "mbconv", "identity", "head", "pooled_head"),
    resolutions=(224,),
    depthwise_kernels=(3, 5, 7),
    dense_kernels=(1, 3),
    strides=(1, 2),
    groups=(1,),
    activations=("relu", "relu6", "none"),
    channels=(8, 1024),
    mid_channels=(8, 2048),
    classes=(1, 4096),
    fitted_channels=(16, 320),
    fitted_mid_channels=(48, 1152),
)


# Whole networks -------------------------------------------------------------------------------------------------
# Stages as (kernel, expansion, channels, repeats, stride[, SE]); layer lists as in `published/architectures.json`
# (its sources: TuNAS mobile_model_archive.py and timm efficientnet.py).
Stages = Sequence[tuple[float, ...]]
MOBILENET_V2 = (
    (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (3, 6, 32, 3, 2), (3, 6, 64, 4, 2), (3, 6, 96, 3, 1), (3, 6, 160, 3, 2),
    (3, 6, 320, 1, 1),
)  # fmt: skip
MNASNET_A1 = (
    (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 3, 40, 3, 2, 0.25), (3, 6, 80, 4, 2), (3, 6, 112, 2, 1, 0.25),
    (5, 6, 160, 3, 2, 0.25), (3, 6, 320, 1, 1),
)  # fmt: skip
MNASNET_B1 = (
    (3, 1, 16, 1, 1), (3, 3, 24, 3, 2), (5, 3, 40, 3, 2), (5, 6, 80, 3, 2), (3, 6, 96, 2, 1), (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)  # fmt: skip
SINGLE_PATH = (
    (3, 1, 16, 1, 1), (3, 3, 24, 3, 2), (5, 6, 40, 1, 2), (3, 3, 40, 3, 1), (5, 6, 80, 1, 2), (3, 3, 80, 3, 1),
    (5, 6, 96, 1, 1), (5, 3, 96, 3, 1), (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
)  # fmt: skip
PROXYLESS_MOBILE = (
    (3, 1, 16, 1, 1), (5, 3, 32, 1, 2), (3, 3, 32, 1, 1), (7, 3, 40, 1, 2), (3, 3, 40, 1, 1), (5, 3, 40, 2, 1),
    (7, 6, 80, 1, 2), (5, 3, 80, 3, 1), (5, 6, 96, 1, 1), (5, 3, 96, 3, 1), (7, 6, 192, 2, 2), (7, 3, 192, 2, 1),
    (7, 6, 320, 1, 1),
)  # fmt: skip
TPU_README = "tensorflow/tpu models/official/mnasnet/README.md @009812f"
PROXYLESS_README = "ProxylessNAS README (KeyKy/ProxylessNAS, a mirror of mit-han-lab/ProxylessNAS)"


@dataclass(frozen=True)
class Network:
    """A published network at 224 px. `published_ms` None: the figure is in `published_models.csv`."""

    name: str
    stages: Stages
    width: float = 1.0
    head: int = 1280
    published_ms: float | None = None
    source: str = ""
    """Where a figure that the data lacks was read."""

    @property
    def file(self) -> str:
        """Name of its arch-def file."""
        return self.name.lower().replace(" ", "-")

    @property
    def archdef(self) -> dict[str, Any]:
        """The network as timm block strings, with its channels after the width multiplier."""
        blocks = []
        for kernel, expansion, width, repeats, stride, *se in self.stages:
            kind = "ds" if expansion == 1 else "ir"
            ratio = f"_se{se[0]}" if se else ""
            out = round_to_8(width * self.width)
            blocks.append([f"{kind}_r{repeats}_k{kernel}_s{stride}_e{expansion}_c{out}{ratio}"])
        stem = round_to_8(32 * self.width)
        return {
            "resolution": 224,
            "stem": stem,
            "head": self.head,
            "activation": "relu",
            "num_classes": 1000,
            "blocks": blocks,
        }


NETWORKS = (
    Network("MobileNetV2-1.4", MOBILENET_V2, 1.4, 1792),
    Network("MobileNetV2-1.3", MOBILENET_V2, 1.3, 1664),
    Network("MobileNetV2-1.0", MOBILENET_V2),
    Network("MobileNetV2-0.75", MOBILENET_V2, 0.75),
    Network("MobileNetV2-0.5", MOBILENET_V2, 0.5),
    Network("MobileNetV2-0.35", MOBILENET_V2, 0.35),
    Network("MnasNet-A1-1.4", MNASNET_A1, 1.4),
    Network("MnasNet-A1-0.5", MNASNET_A1, 0.5),
    Network("Single-Path NAS", SINGLE_PATH),
    Network("MnasNet-A1-1.0", MNASNET_A1, 1.0, 1280, 78.0, TPU_README),
    Network("MnasNet-A1-0.75", MNASNET_A1, 0.75, 1280, 61.0, TPU_README),
    Network("MnasNet-A1-0.35", MNASNET_A1, 0.35, 1280, 22.0, TPU_README),
    Network("MnasNet-B1", MNASNET_B1, 1.0, 1280, 79.0, PROXYLESS_README),
    Network("ProxylessNAS-mobile", PROXYLESS_MOBILE, 1.0, 1280, 78.0, PROXYLESS_README),
)


def round_to_8(channels: float) -> int:
    """Width multipliers round to a multiple of 8, by less than 10 % down (MobileNetV2's make_divisible)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def block(c_in: int, c_out: int, kernel: int, stride: int, expansion: int, size: int, se: float = 0) -> Layer:
    """MBConv; without an expansion convolution where the expansion is 1."""
    return Layer(
        kind="sepconv" if expansion == 1 else "mbconv",
        in_channels=c_in,
        out_channels=c_out,
        mid_channels=c_in * expansion,
        kernel=kernel,
        stride=stride,
        se_channels=int(se * c_in),
        residual=stride == 1 and c_in == c_out,
        height=size,
        width=size,
    )


def head(c_in: int, width: int, size: int) -> Layer:
    return Layer(kind="head", in_channels=c_in, out_channels=1000, mid_channels=width, height=size, width=size)


# Sources --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Measured:
    """One block of Single-Path's network, with its repeats together."""

    layer: Layer
    stage: int
    repeats_ms: tuple[float, ...]

    @property
    def ms(self) -> float:
        """Mean of the repeats."""
        return float(np.mean(self.repeats_ms))


def read_csv(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return list(csv.DictReader(text.splitlines()))


def single_path(data: Path) -> list[Measured]:
    repeats: dict[Layer, list[float]] = {}
    stages: dict[Layer, int] = {}
    for row in read_csv(data / "single_path_nas_pixel1" / "pixel1_block_latency.csv"):
        shape = (int(row[name]) for name in ("c_in", "c_out", "kernel", "stride", "expansion", "hw_in"))
        layer = block(*shape)
        repeats.setdefault(layer, []).append(float(row["latency_ms"]))
        stages[layer] = next(i for i, blocks in enumerate(STAGES) if int(row["block_index"]) in blocks)
    return [Measured(layer, stages[layer], tuple(times)) for layer, times in repeats.items()]


def tunas(data: Path) -> dict[Layer, float]:
    """Simulated ms of stride-1 residual blocks; the mean where a block is printed more than once."""
    times: dict[Layer, list[float]] = {}
    for name in ("enlarged_residual_blocks", "v3like_residual_blocks_se"):
        for row in read_csv(data / "tunas_pixel1_simulated" / f"{name}.csv"):
            channels, kernel, expansion, size = (int(row[key]) for key in ("channels", "kernel", "expansion", "hw"))
            # tunas/rematlib/mobile_model_v3.py: expansion 1 has its expansion convolution; SE takes a quarter of mid
            mid = channels * expansion
            layer = block(channels, channels, kernel, 1, 2, size).changed(
                mid_channels=mid,
                se_channels=round_to_8(mid / 4) if row["se"] == "1" else 0,
            )
            times.setdefault(layer, []).append(float(row["latency_minus_skip_ms"]))
    return {layer: float(np.mean(values)) for layer, values in times.items()}


# Fitting --------------------------------------------------------------------------------------------------------
def fit_blocks(rows: Sequence[Measured], stem: Layer, top: Layer) -> dict[str, float]:
    """Coefficients from measured blocks; stem and head enter as one row, which settles the classifier's weights."""
    work = np.vstack([features([row.layer for row in rows]), features([stem, top]).sum(axis=0)])
    times = np.array([*(row.ms for row in rows), REMAINDER_MS])
    return fit_coefficients(work, times, given={"depthwise7": 0, "gated": 0, "gates": 0})


def predict(layers: Iterable[Layer], coefficients: dict[str, float]) -> NDArray[np.float64]:
    latency: NDArray[np.float64] = features(layers) @ np.array([coefficients[name] for name in FEATURES])
    return latency


def kernel7(coefficients: dict[str, float], simulated: dict[Layer, float]) -> float:
    """ms per million MACs with which k7 lies as far beyond k5 as in TuNAS: (t7 - t3) / (t5 - t3), scale-free."""
    found = []
    for seven, t7 in simulated.items():
        if seven.kernel == 7 and not seven.se_channels:
            five, three = (seven.changed(kernel=kernel) for kernel in (5, 3))
            times_further = (t7 - simulated[three]) / (simulated[five] - simulated[three])
            at7, at5, at3 = predict([seven, five, three], {**coefficients, "depthwise7": 0})
            work = features([seven])[0, FEATURES.index("depthwise7")]
            found.append((at3 + times_further * (at5 - at3) - at7) / work)
    return float(median(found))


def squeeze_excite(coefficients: dict[str, float], simulated: dict[Layer, float], scale: float) -> tuple[float, float]:
    """ms per million gated values, and ms a gate: TuNAS's difference with and without SE in Single-Path's ms."""
    with_se = [layer for layer in simulated if layer.se_channels]
    added = np.array([simulated[layer] - simulated[layer.changed(se_channels=0)] for layer in with_se]) / scale
    work = features(with_se) - features([layer.changed(se_channels=0) for layer in with_se])
    layers_ms = work[:, FEATURES.index("linear")] * coefficients["linear"]
    shape = work[:, [FEATURES.index("gated"), FEATURES.index("gates")]]
    (gated, gate), _ = nnls(shape / added[:, None], (added - layers_ms) / added)
    return float(gated), float(gate)


def fit_model(data: Path, stem: Layer, top: Layer) -> tuple[BlockModel, dict[str, Any]]:
    """The model, and how well it does on what it was fitted to and on what was left out."""
    rows, simulated = single_path(data), tunas(data)
    times = np.array([row.ms for row in rows])
    layers = [row.layer for row in rows]
    coefficients = fit_blocks(rows, stem, top)
    shared = np.array([simulated[row.layer] / row.ms for row in rows if row.layer in simulated])
    scale = float(np.median(shared))
    coefficients["depthwise7"] = kernel7(coefficients, simulated)
    coefficients["gated"], coefficients["gates"] = squeeze_excite(coefficients, simulated, scale)
    coefficients = {name: round(value, 5) for name, value in coefficients.items()}

    left_out = np.zeros(len(rows))
    for stage in range(len(STAGES)):
        out = np.array([row.stage == stage for row in rows])
        others = fit_blocks([row for row in rows if row.stage != stage], stem, top)
        left_out[out] = predict([layer for layer, is_out in zip(layers, out, strict=True) if is_out], others)
    left_out = 100 * (left_out / times - 1)
    in_sample = 100 * (predict(layers, coefficients) / times - 1)
    parts = bands(coefficients, simulated, scale)
    model = BlockModel(
        coefficients=coefficients,
        range=RANGE,
        band_pct={"block": round(percentile90(left_out), 1), **parts, "plain": PLAIN_BAND_PCT},
    )
    stages = [left_out[[row.stage == stage for row in rows]] for stage in range(len(STAGES))]
    figures = {
        "in_sample": summary(in_sample),
        "leave_one_stage_out": {
            **summary(left_out),
            **{
                f"blocks_{blocks[0]}_to_{blocks[-1]}_mean_error_pct": round(float(stage.mean()), 1)
                for blocks, stage in zip(STAGES, stages, strict=True)
            },
        },
        "tunas_scale": {
            "scale": round(scale, 3),
            "blocks": len(shared),
            "band_pct": round(percentile90(100 * (shared / scale - 1)), 1),
            "applied": False,
        },
        "se_on_xeon": xeon_shape(data),
    }
    return model, figures


def bands(coefficients: dict[str, float], simulated: dict[Layer, float], scale: float) -> dict[str, float]:
    """%: 90 of 100 TuNAS blocks lie within this of the model, in what the model says beyond the measured blocks."""

    def relative(layers: list[Layer], bases: list[Layer]) -> list[float]:
        ours = predict(layers, coefficients) / predict(bases, coefficients)
        theirs = np.array([simulated[a] / simulated[b] for a, b in zip(layers, bases, strict=True)])
        return list(100 * (ours / theirs - 1))

    def absolute(layers: list[Layer]) -> list[float]:
        return list(100 * (predict(layers, coefficients) * scale / [simulated[layer] for layer in layers] - 1))

    plain = [layer for layer in simulated if not layer.se_channels]
    sevens = [layer for layer in plain if layer.kernel == 7 and RANGE.fitted(layer)]
    ones = [layer for layer in plain if layer.mid_channels == layer.in_channels >= 16 and layer.kernel < 7]
    gated = [layer for layer in simulated if layer.se_channels and RANGE.fitted(layer) and layer.kernel < 7]
    wide = [layer for layer in plain if not RANGE.fitted(layer) and layer.kernel < 7 and not RANGE.refusal(layer)]
    return {
        "expansion1": round(percentile90(absolute(ones)), 1),
        "kernel7": round(percentile90(relative(sevens, [layer.changed(kernel=5) for layer in sevens])), 1),
        "gate": round(percentile90(relative(gated, [layer.changed(se_channels=0) for layer in gated])), 1),
        "width": round(percentile90(absolute(wide)), 1),
    }


def xeon_shape(data: Path) -> dict[str, float]:
    """SE's cost on a Xeon as a constant and two slopes, by iteratively reweighted (least absolute) non-negative fit."""
    times: dict[tuple[str, ...], dict[int, float]] = {}
    for row in read_csv(data / "tf_nas_xeon" / "tf_nas_block_latency.csv.gz"):
        if row["device"].startswith("xeon") and int(row["mid_channels"]) % 8 == 0:
            key = tuple(row[name] for name in ("hw_in", "c_in", "c_out", "stride", "kernel", "mid_channels"))
            times.setdefault(key, {})[int(row["se_channels"])] = float(row["latency_ms"])
    work, added = [], []
    for (size, c_in, _, stride, _, mid), by_se in times.items():
        if int(mid) >= 2 * int(c_in):  # narrower ones are extrapolated in the source
            for se in by_se.keys() - {0}:
                after = -(-int(size) // int(stride))
                work.append((1e-6 * int(mid) * after**2, 2e-6 * int(mid) * se, 1.0))
                added.append(by_se[se] - by_se[0])
    shape, target = np.array(work), np.array(added)
    weight = np.ones(len(target))
    for _ in range(50):
        solution, _ = nnls(shape * weight[:, None], target * weight)
        weight = 1 / np.sqrt(np.maximum(abs(shape @ solution - target), 1e-3))
    return {
        "blocks": len(target),
        "gated_ms_per_million": round(float(solution[0]), 3),
        "linear_ms_per_million": round(float(solution[1]), 3),
        "gate_ms": round(float(solution[2]), 3),
        "median_abs_error_pct": round(float(np.median(abs(shape @ solution / target - 1))) * 100, 1),
    }


def percentile90(errors_pct: Sequence[float] | NDArray[np.float64]) -> float:
    return float(np.percentile(np.abs(errors_pct), 90))


def summary(errors_pct: NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean_abs_error_pct": round(float(abs(errors_pct).mean()), 1),
        "p90_abs_error_pct": round(percentile90(errors_pct), 1),
        "max_abs_error_pct": round(float(abs(errors_pct).max()), 1),
    }


# Table ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    layer: Layer
    latency_ms: float
    spread_ms: float
    samples: int
    provenance: str


def table(measured: Sequence[Measured], model: BlockModel, stem: Layer, top: Layer) -> list[Row]:
    """Rows in order: derived, measured, then every other block of `mobile` from the model."""
    spreads = [(max(row.repeats_ms) - min(row.repeats_ms)) / 2 for row in measured]
    usual = median(s / row.ms for s, row in zip(spreads, measured, strict=True) if len(row.repeats_ms) > 1)
    shares = model.predict([stem, top])
    shares *= REMAINDER_MS / shares.sum()
    rows = [
        Row(layer, float(ms), float(ms * band / 100), 1, "derived")
        for layer, ms, band in zip((stem, top), shares, model.band((stem, top)), strict=True)
    ]
    for row, spread in zip(measured, spreads, strict=True):
        count = len(row.repeats_ms)
        rows.append(Row(row.layer, row.ms, spread if count > 1 else usual * row.ms, count, "measured"))
    known = {row.layer for row in rows}
    rest = [layer for layer in load_space("mobile").layers() if layer not in known]
    for layer, ms, band in zip(rest, model.predict(rest), model.band(rest), strict=True):
        if refusal := model.covers(layer):
            raise ValueError(f"The model does not cover a block of `mobile`: {refusal}")
        rows.append(Row(layer, float(ms), float(ms * band / 100), 0, "interpolated"))
    return rows


def whole_networks(data: Path, rows: Sequence[Row], model: BlockModel) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Published against table, network by network; and the scale of each source, which is not applied."""
    published = {
        row["name"]: row
        for row in read_csv(data / "published" / "published_models.csv")
        if row["device"] == "Pixel 1" and row["input_resolution"] == "224"
    }
    by_layer = {row.layer: row for row in rows}
    found: list[dict[str, Any]] = []
    for network in NETWORKS:
        layers = parse_archdef(network.archdef).layers
        if refusal := next(filter(None, map(model.covers, layers)), None):
            raise ValueError(f"{network.name}: {refusal}")
        answers = [
            (row.latency_ms, row.provenance) if (row := by_layer.get(layer)) else (float(ms), "interpolated")
            for layer, ms in zip(layers, model.predict(layers), strict=True)
        ]
        total = float(sum(ms for ms, _ in answers))
        ms = float(published[network.name]["latency_ms"]) if network.published_ms is None else network.published_ms
        found.append(
            {
                "name": network.name,
                "network": network.file,
                "published_ms": ms,
                "table_ms": round(total, 2),
                "error_pct": round(100 * (total / ms - 1), 1) + 0.0,  # no -0.0
                "interpolated_pct": round(float(100 * sum(t for t, p in answers if p == "interpolated") / total), 1),
                "macs_m": round(parse_archdef(network.archdef).macs / 1e6, 1),
                "source": network.source or published[network.name]["source"],
                "in_data": network.published_ms is None,
            }
        )
    scales = {}
    for source in dict.fromkeys(entry["source"] for entry in found):
        ratios = [entry["published_ms"] / entry["table_ms"] for entry in found if entry["source"] == source]
        scales[source] = {"scale": round(median(ratios), 3), "networks": len(ratios), "applied": False}
    return found, scales


PRINTED = ("name", "network", "published_ms", "table_ms", "error_pct", "source")


def header(
    model: BlockModel, figures: dict[str, Any], networks: list[dict[str, Any]], scales: dict[str, Any]
) -> dict[str, Any]:
    return {
        "format": "nas-latency-table/1",
        "name": "pixel-cpu",
        "device": {
            "model": "Google Pixel 1",
            "soc": "Qualcomm Snapdragon 821",
            "cores": "one performance core (taskset mask 8)",
            "governor": "not stated",
        },
        "runtime": {"name": "TFLite", "version": "unknown, a build of 2018-19"},
        "threads": 1,
        "precision": "float32 (not stated by the source; totals fit float TFLite)",
        "batch": 1,
        "date": "2019, as published; the day of measuring is not stated",
        "resolution": 224,
        "estimator": "50 timed runs after 1 warm-up (FAI-PEP), statistic not stated; repeats of a block averaged",
        "source": (
            "Single-Path NAS, dstamoulis/single-path-nas nas-search/pixel1_runtime_model.json @21c1f3e "
            "(arXiv:1904.02877). "
            "Ratios for kernel 7 and squeeze-and-excitation: google-research/google-research tunas/cost_model_data.py "
            "@0c1bbe5 (simulated, Apache-2.0)."
        ),
        "licence": "Apache-2.0",
        "key_columns": list(KEY_COLUMNS),
        "calibration": "none",
        "model": model.to_header(),
        "error": {
            "leave_one_stage_out": figures["leave_one_stage_out"],
            "whole_networks": [{key: entry[key] for key in PRINTED} for entry in networks],
            "source_scales": scales,
            "band_pct": {
                "measured": figures["measured_band_pct"],
                "derived": round(hypot(PLAIN_BAND_PCT, model.band_pct["block"]), 1),
                "simulated": figures["tunas_scale"]["band_pct"],
                "interpolated": model.band_pct["block"],
            },
        },
    }


def write(rows: Sequence[Row], entries: dict[str, Any], folder: Path) -> None:
    lines = [",".join((*KEY_COLUMNS, "latency_ms", "spread_ms", "samples", "provenance"))]
    for row in rows:
        key = [str(int(value) if isinstance(value, bool) else value) for value in asdict(row.layer).values()]
        lines.append(
            ",".join((*key, f"{row.latency_ms:.5f}", f"{row.spread_ms:.5f}", str(row.samples), row.provenance))
        )
    note = (
        "# Written by experiments/pixel_cpu_table.py; change it there. `spread_ms` of measured rows is half the range\n"
        "# of repeats (or the usual share of it where a block was seen once), else the half-width of the error band.\n"
        "# Whole networks at 224 px; MnasNet-A1 1.0, 0.75, 0.35, MnasNet-B1 and ProxylessNAS-mobile are not among the\n"
        "# project's measured data: their figures were read in the README that is named. None was fitted to.\n"
    )
    text = note + yaml.safe_dump(entries, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.csv").write_bytes("\n".join((*lines, "")).encode())
    (folder / "table.yaml").write_bytes(text.encode())
    (folder / "networks").mkdir(exist_ok=True)
    for network in NETWORKS:
        (folder / "networks" / f"{network.file}.json").write_text(json.dumps(network.archdef, indent=1) + "\n")


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/measured", help="measured data"
)
@click.option("--write", "save", is_flag=True, help="write latency_tables/pixel-cpu")
def main(data: Path, save: bool) -> None:
    """Fit, print figures as JSON, and with --write make the table."""
    stem = Layer(kind="conv", in_channels=3, out_channels=32, kernel=3, stride=2, height=224, width=224)
    top = head(320, 1280, 7)
    model, figures = fit_model(data, stem, top)
    rows = table(single_path(data), model, stem, top)
    seen_once = max(100 * row.spread_ms / row.latency_ms for row in rows if row.provenance == "measured")
    figures["measured_band_pct"] = round(seen_once, 1)
    networks, scales = whole_networks(data, rows, model)
    figures["whole_networks"] = summary(np.array([entry["error_pct"] for entry in networks]))
    entries = header(model, figures, networks, scales)
    if save:
        write(rows, entries, TARGET)
    counts = {name: sum(row.provenance == name for row in rows) for name in ("measured", "derived", "interpolated")}
    report = {**figures, "model": model.to_header(), "networks": networks, "source_scales": scales, "rows": counts}
    click.echo(json.dumps(report, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()

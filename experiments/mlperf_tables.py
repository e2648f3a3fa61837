"""The shipped tables of boards in MLPerf Inference: a block model each, fitted on whole networks.

    python experiments/mlperf_tables.py [--data DIR] [--write]

prints how far the models are off on networks left out, beside MACs alone and a plain block model, and tells which
tables ship; `--write` writes these into `latency_tables/`, all errors into `experiments/results/mlperf_tables.jsonl`,
the same bytes every time. DIR is the folder of measured data; by default `../shared/data/measured` beside the
repository.

What goes in: `mlperf_mobile_edge` (results of MLPerf Inference v0.7 to v3.0, open division, Apache-2.0; not verified by
MLCommons Association), single stream, p50 of each network. Nothing was timed but whole networks.

The form, the same for all systems: nine terms, few enough to be told apart by 30 to 43 networks of four families. What
no networks tell apart is held together: squeeze-and-excitation and hard-swish are traffic and operators, depthwise
MACs have one price with a smaller part for each kernel. The fit is by least squares of the relative error, none
negative, and drawn (`DRAWN`) towards proportions that systems of the same submitter, runtime and precision share, as
far as such a sum is true of them at all: what one board's families leave open the others may tell. Folds are left out
of all of them at once.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from mlperf_networks import network
from numpy.typing import NDArray
from scipy.optimize import nnls

from nas.blocks.layer import Layer
from nas.profiler.interpolate import MARGIN, OUTSIDE_PCT
from nas.profiler.verify import error_of
from nas.tables.header import UNSTATED, TableHeader
from nas.tables.model import BANDS, FEATURES, BlockModel, Range, features, fit_coefficients
from nas.tables.write import write_table

Array = NDArray[np.float64]
Row = dict[str, str]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments/results/mlperf_tables.jsonl"
FOLDER = "mlperf_mobile_edge"
LEAST_NETWORKS = 30
MOST_PCT = 8.0
"""A table ships where neither families nor widths left out are further off on average."""
RESOLUTIONS = (*range(96, 321, 8), 260, 300)
"""Fitted on 96 to 300 px; answered up to a fifteenth beyond, in steps of 8."""

TERMS = {
    "dense": {"dense": 1.0},
    "depthwise": {"depthwise3": 1.0, "depthwise5": 1.0},
    "traffic": {"traffic": 1.0, "gated": 3.0, "activated": 2.0},
    "weights": {"weights": 1.0},
    "linear": {"linear": 1.0},
    "operators": {"operators": 1.0, "gates": 6.0},
    "heads": {"heads": 1.0},
    "kernel3": {"depthwise3": 1.0},
    "kernel5": {"depthwise5": 1.0},
}
"""What is fitted, in features of the block model. A gate pools, mixes twice, adds, clips and multiplies; it
and hard-swish read and write again what a convolution gave."""
NAMES = tuple(dict.fromkeys(name for term in TERMS.values() for name in term))
SHARES = np.array([[term.get(name, 0.0) for name in NAMES] for term in TERMS.values()])
PARTS = np.array([name.startswith("kernel") for name in TERMS])
DRAWN, DRAWN_PARTS = 0.01, 0.3
"""How much a term's deviation from the shared proportions weighs against all networks' errors: squares of shares of a
network's time. These two and the numbers in `TERMS` were chosen on errors of families left out, over all systems."""


@dataclass(frozen=True)
class System:
    """One system's networks in one precision."""

    round: str
    submitter: str
    name: str
    precision: str
    rows: tuple[Row, ...]

    @property
    def kin(self) -> tuple[str, ...]:
        """Whose proportions are shared."""
        runtime = next(word for word in ("opencl", "armnn", "tflite") if word in self.name)
        return self.submitter, runtime, self.precision

    @property
    def ms(self) -> Array:
        return np.array([float(row["p50_ms"]) for row in self.rows])

    @property
    def asked(self) -> Array:
        """float64[N, features]: what each network asks of a device."""
        return np.array([demand(*_key(row)) for row in self.rows])


@cache
def demand(*key: Any) -> tuple[float, ...]:
    """Sums of `NAMES` over a network's layers."""
    return tuple(features(network(*key).layers, NAMES).sum(axis=0).tolist())


def _key(row: Row) -> tuple[str, str, float, int]:
    return row["family"], row["variant"], float(row["width"]), int(row["resolution"])


FOLDS: dict[str, Callable[[Row], str]] = {
    "family": lambda row: row["family"],
    "width": lambda row: f"{row['family']} {row['variant']} {row['width']}",
    "resolution": lambda row: row["resolution"],
}


def systems(data: Path) -> list[System]:
    """All that have enough networks, in the order of the file."""
    found: dict[tuple[str, ...], list[Row]] = {}
    with gzip.open(data / FOLDER / "mlperf_singlestream.csv.gz", "rt", newline="") as text:
        for row in csv.DictReader(text):
            found.setdefault((row["round"], row["submitter"], row["system"], row["precision"]), []).append(row)
    return [System(*key, tuple(rows)) for key, rows in found.items() if len(rows) >= LEAST_NETWORKS]


# Fit ------------------------------------------------------------------------------------------------------------
def fit(asked: Array, ms: Array, shared: Array | None = None) -> Array:
    """float64[terms], none negative: ms per million (ms each of operators and heads); towards `shared` where given, but
    for its pace."""
    work = asked @ SHARES.T / ms[:, None]
    count = len(ms)
    weight = np.sqrt((work**2).mean(axis=0) * count)
    drawn = np.where(PARTS, DRAWN_PARTS, 0.0 if shared is None else DRAWN)
    pulls = np.diag(np.sqrt(drawn) * weight)
    pace = np.zeros((count + len(pulls), 1))
    if shared is not None:
        pace[count:, 0] = -pulls @ shared
    equations = np.hstack([np.vstack([work, pulls]), pace])
    solution, _ = nnls(equations, np.concatenate([np.ones(count), np.zeros(len(pulls))]))
    found: Array = solution[:-1]
    return found


def shared_of(kin: Iterable[tuple[Array, Array]]) -> Array:
    """The proportions of several systems, each by its pace."""
    asked, ms = zip(*((asked, ms / np.median(ms / (1 + asked[:, 0]))) for asked, ms in kin), strict=True)
    return fit(np.vstack(asked), np.concatenate(ms))


def block_model(own: System, kin: Sequence[System], left_out: Callable[[Row], bool]) -> Array:
    """Terms of a system, with what its kin say, without some rows."""
    kept = [(each.asked[keep], each.ms[keep]) for each in kin if (keep := _without(each, left_out)).any()]
    keep = _without(own, left_out)
    sums = [pair for pair in kept if np.abs(pair[0] @ (SHARES.T @ fit(*pair)) / pair[1] - 1).mean() <= MOST_PCT / 100]
    return fit(own.asked[keep], own.ms[keep], shared_of(sums) if sums else None)


def _without(system: System, left_out: Callable[[Row], bool]) -> NDArray[np.bool_]:
    return np.array([not left_out(row) for row in system.rows])


def errors(own: System, kin: Sequence[System], fold: str) -> dict[str, Array]:
    """Percent, float64[N] by model: each network by a fit without its fold."""
    of, asked, ms = FOLDS[fold], own.asked, own.ms
    plain = [NAMES.index(name) for name in FEATURES if name in NAMES]
    macs = np.column_stack([asked[:, [NAMES.index(n) for n in ("dense", "depthwise3", "depthwise5", "linear")]].sum(1)])
    macs = np.hstack([macs, np.ones((len(ms), 1))])
    found = {name: np.zeros(len(ms)) for name in ("terms", "plain", "macs")}
    folds = np.array([of(row) for row in own.rows])
    for name in dict.fromkeys(folds.tolist()):
        out = folds == name
        terms = block_model(own, kin, lambda row, name=name: of(row) == name)
        found["terms"][out] = asked[out] @ (SHARES.T @ terms)
        usual = fit_coefficients(asked[~out][:, plain], ms[~out], {}, [NAMES[index] for index in plain])
        found["plain"][out] = asked[out][:, plain] @ list(usual.values())
        found["macs"][out] = macs[out] @ nnls(macs[~out] / ms[~out, None], np.ones((~out).sum()))[0]
    return {name: 100 * (values / ms - 1) for name, values in found.items()}


def mean(values: Array) -> float:
    return round(float(np.abs(values).mean()), 2)


def figures(own: System, kin: Sequence[System]) -> dict[str, Any]:
    """All that is told of a system."""
    found: dict[str, Any] = {
        "round": own.round,
        "submitter": own.submitter,
        "system": own.name,
        "precision": own.precision,
        "networks": len(own.rows),
    }
    families = np.array([row["family"] for row in own.rows])
    for fold in FOLDS:
        off = errors(own, kin, fold)
        found[fold] = {f"{name}_pct": mean(values) for name, values in off.items()}
        found[fold]["p90_pct"] = round(float(np.quantile(np.abs(off["terms"]), 0.9)), 1)
        if fold == "family":
            found["families"] = {name: mean(off["terms"][families == name]) for name in dict.fromkeys(families)}
            told = {name: error_of((1 + values / 100) * own.ms, own.ms, np.nan) for name, values in off.items()}
            found["tau"] = {name: round(error.kendall_tau or 0.0, 3) for name, error in told.items()}
            found["error"] = _rounded(told["terms"].model_dump())
    p90 = [float(row["p90_ms"]) / float(row["p50_ms"]) for row in own.rows]
    return found | {"p90_over_p50": round(float(np.median(p90)), 3), "ships": off_by(found) <= MOST_PCT}


def _rounded(value: Any) -> Any:
    """What is told, to three digits behind the point."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def off_by(found: dict[str, Any]) -> float:
    """Mean error on families or on widths left out, whichever is larger, percent."""
    return float(max(found["family"]["terms_pct"], found["width"]["terms_pct"]))


# Tables ---------------------------------------------------------------------------------------------------------
ORIN = "nvidia_orin-tflite_cpp-cpu-tflite-vmaster-default_config"
ORIN_ARMNN = "nvidia_orin-tflite_armnn_cpp-cpu-armnn_tflite-v22.11-using_neon"
M7G = "aws_graviton_m7g.2xlarge-tflite_cpp-cpu-tflite-vmaster-default_config"
M7G_ARMNN = "aws_graviton_m7g.2xlarge-tflite_armnn_cpp-cpu-armnn_tflite-v22.11-using_neon"
BOARDS = {
    "raspi4": ("v2.0", "rpi4-tflite-v2.7.1-ruy", "float32"),
    "raspi4-int8": ("v2.0", "rpi4-tflite-v2.7.1-ruy", "uint8"),
    "odroid-n2": ("v3.0", "odroid-tflite-v2.11.0-ruy", "float32"),
    "odroid-n2-gpu": ("v3.0", "odroid-armnn-v22.11-opencl", "float32"),
    "odroid-n2-int8": ("v3.0", "odroid-tflite-v2.11.0-ruy", "uint8"),
    "vim4": ("v3.0", "vim4-tflite-v2.11.0-ruy", "float32"),
    "vim4-int8": ("v3.0", "vim4-tflite-v2.11.0-ruy", "uint8"),
    "rk3588s": ("v3.0", "firefly-tflite-v2.11.0-ruy", "float32"),
    "rk3588s-int8": ("v3.0", "firefly-tflite-v2.11.0-ruy", "uint8"),
    "raspi3": ("v2.0", "rpi3-tflite-v2.7.1-ruy", "float32"),
    "raspi3-int8": ("v2.0", "rpi3-tflite-v2.7.1-ruy", "uint8"),
    "xavier": ("v3.0", "xavier-power.0-fan.cool-tflite-v2.11.0-ruy", "float32"),
    "xavier-int8": ("v3.0", "xavier-power.0-fan.cool-tflite-v2.11.0-ruy", "uint8"),
    "orin": ("v3.0", ORIN, "float32"),
    "orin-int8": ("v3.0", ORIN_ARMNN, "uint8"),
    "graviton3": ("v3.0", M7G, "float32"),
    "graviton3-int8": ("v3.0", M7G_ARMNN, "uint8"),
    "m1": ("v3.0", "macbook_pro_m1-tflite_cpp-cpu-tflite-vmaster-default_config", "float32"),
    "m1-int8": ("v3.0", "macbook_pro_m1-tflite_cpp-cpu-tflite-vmaster-default_config", "uint8"),
    "ryzen-7950x": ("v3.0", "amd_zen4_workstation-tflite_cpp-cpu-tflite-vmaster-default_config", "float32"),
    "xeon-8275cl": ("v3.0", "aws_c5.4xlarge-tflite_cpp-cpu-tflite-vmaster-default_config", "float32"),
}
"""A target a board and precision, from its last round with all networks; the runtime is the one that is told better."""
YEARS = {"v2.0": 2022, "v3.0": 2023}
COMMITS = {"v2.0": "425a0d3", "v3.0": "1948f9b"}
DEVICES = {
    "graviton3": {"model": "AWS m7g.2xlarge", "soc": "AWS Graviton3"},
    "orin": {"soc": "Arm Cortex-A78AE"},
    "raspi4": {"soc": "BCM2711, Arm Cortex-A72"},
}
"""Where the source says nothing or has another board's name."""


def model(own: System, terms: Array, found: dict[str, Any]) -> BlockModel:
    """The block model of fitted terms, and where it answers."""
    layers = {layer for row in own.rows for layer in network(*_key(row)).layers}
    band = max(found[fold]["p90_pct"] for fold in ("family", "width"))
    coefficients = dict(zip(NAMES, (float(f"{value:.6g}") for value in SHARES.T @ terms), strict=True))
    parts = dict.fromkeys(BANDS, 0.0) | {"block": band, "width": OUTSIDE_PCT}
    return BlockModel(coefficients=coefficients, range=ranged(layers, own.precision), band_pct=parts)


def ranged(layers: Iterable[Layer], precision: str) -> Range:
    """What these layers span, with a margin."""
    bodies = [layer for layer in layers if layer.kind not in ("head", "pooled_head")]
    widths = [width for layer in bodies for width in (layer.in_channels, layer.out_channels) if width != 3]
    mids = [layer.mid_channels for layer in layers if layer.mid_channels and layer.kind != "sepconv"]
    return Range(
        kinds=("conv", "sepconv", "mbconv", "identity", "head", "pooled_head"),
        resolutions=tuple(sorted(RESOLUTIONS)),
        depthwise_kernels=(3, 5),
        dense_kernels=(1, 3),
        strides=(1, 2),
        groups=(1,),
        activations=("relu", "relu6", "hard-swish", "none"),
        channels=(8, int(max(widths) * MARGIN)),
        mid_channels=(8, int(max(mids) * MARGIN)),
        classes=(1, int(1001 * MARGIN)),
        fitted_channels=(min(widths), max(widths)),
        fitted_mid_channels=(min(mids), max(mids)),
        precisions=("float32", "int8") if precision == "uint8" else ("float32",),
    )


def header(target: str, own: System, kin: Sequence[System], found: dict[str, Any], told: Row) -> TableHeader:
    """The header of a table."""
    fitted = model(own, block_model(own, kin, lambda _: False), found)
    runtime, _, version = told["framework"].partition(" v")
    device = {"model": told["system_name"].partition(" (")[0], "soc": told["processor"], "system": told["os"]}
    device |= {"provider": None if told["accelerator"] in ("-", "N/A") else told["accelerator"]}
    device |= DEVICES.get(target.removesuffix("-int8"), {})
    errors_of = {f"{fold}_left_out_mean_pct": found[fold]["terms_pct"] for fold in FOLDS}
    families = {f"{name}_left_out_mean_pct": value for name, value in found["families"].items()}
    band = fitted.band_pct["block"]
    entries: dict[str, Any] = {
        "format": "nas-latency-table/1",
        "name": target,
        "device": device | {"cores": told["cores"]},
        "runtime": {"name": runtime, "version": f"v{version}"},
        "threads": UNSTATED,
        "precision": "int8" if own.precision == "uint8" else "float32",
        "batch": 1,
        "date": f"MLPerf Inference {own.round}, {YEARS[own.round]}; the day of measuring is not told",
        "estimator": "p50 of LoadGen's single stream, a picture at a time; p90 is "
        f"{100 * (found['p90_over_p50'] - 1):.0f} % above it in the middle of the networks",
        "source": f"MLPerf Inference {own.round} (mlcommons/inference_results_{own.round} @{COMMITS[own.round]}), open "
        f"division, edge, {own.submitter}, {own.name}. Not verified by MLCommons Association. Threads, governor and "
        "what else ran are not told",
        "licence": "Apache-2.0",
        "key_columns": [],
        "calibration": f"no layer was timed: the block model is fitted to {len(own.rows)} whole networks, MobileNetV1, "
        f"V2, V3{' and EfficientNet-Lite' if 'efficientnet_lite' in found['families'] else ''}, and drawn towards "
        "proportions that systems of its runtime share; errors are of families, widths, resolutions left out of both",
        "model": fitted.to_header(),
        "error": {
            "band_pct": dict.fromkeys(("measured", "derived", "simulated", "interpolated"), band),
            "networks": found["error"],
            "leave_one_stage_out": errors_of | families,
        },
    }
    return TableHeader.model_validate(entries)


def line(name: str, found: dict[str, Any]) -> str:
    """A system in one line."""
    cells = [f"{found[fold][f'{model}_pct']:6.1f}" for fold in FOLDS for model in ("terms", "plain", "macs")]
    families = " ".join(f"{family} {value}" for family, value in found["families"].items())
    return f"{name[:44]:<44} {found['precision']:<8}{''.join(cells)}  {found['tau']['terms']:.3f}  {families}"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/measured")
@click.option("--write", "save", is_flag=True, help="Write the tables and the results.")
def main(data: Path, save: bool) -> None:
    """Fit, print the errors, and with --write make the tables that ship."""
    everything = systems(data)
    told = {}
    with (data / FOLDER / "systems.csv").open(newline="") as text:
        told = {(row["round"], row["system"]): row for row in csv.DictReader(text)}
    targets = {of: target for target, of in BOARDS.items()}
    click.echo(f"{'mean error, %, left out by':<52}{'family':>18}{'width':>18}{'resolution':>18}")
    click.echo(f"{'':<52}{'  model plain  MACs' * 3}   tau  families by the model")
    lines = []
    for own in everything:
        kin = [system for system in everything if system.kin == own.kin]
        target = targets.get((own.round, own.name, own.precision))
        found = {"target": target} | figures(own, kin)
        lines.append(json.dumps(found))
        click.echo(line(f"{target or '-'}: {own.round} {own.name}", found) + ("" if found["ships"] else "  no"))
        if save and target and found["ships"]:
            write_table(
                ROOT / "latency_tables" / target, header(target, own, kin, found, told[own.round, own.name]), []
            )
    if save:
        RESULTS.write_text("\n".join((*lines, "")))


if __name__ == "__main__":
    main()

"""model.int8.onnx: the network in 8-bit integers, with its accuracy and latency beside those of the original.

Static quantisation by ONNX Runtime (arXiv:1712.05877): weights by output channel, activations by tensor with ranges
from training pictures, written as pairs of QuantizeLinear and DequantizeLinear around each operator. Both models are
run by ONNX Runtime on the test pictures, and timed in turns on this machine: nothing here is an estimate.

Weights have 7 bits, which every processor multiplies exactly, or 8 where this one does (`saturation.py`) and pictures
that were held out show that they are better. How ranges of activations are calibrated is chosen in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.data.data import Data, Split
from nas.devices.device import Device, Plan, Probe, Sample
from nas.devices.saturation import saturates
from nas.errors import ArchitectureError, DataError
from nas.formats.onnx_graph import fix_batch
from nas.formats.winner import Origin
from nas.formats.winner import onnx as float_model
from nas.profiler.estimate import quantiles
from nas.profiler.probe import INPUT_SLICE, write_weights
from nas.profiler.samples import Samples
from nas.system.atomic import write_all_atomic
from nas.system.places import public_data
from nas.system.teller import Silent, Teller

MODEL, REPORT = "model.int8.onnx", "int8.json"
CALIBRATION = 200
"""Training pictures that the ranges of activations are taken from."""
HELD_OUT = 2_000
"""Validation pictures, at most, that bits and calibration are chosen by."""
CALIBRATIONS = {"extremes": False, "mean extremes": True}
"""Range of an activation: its extremes over all calibration pictures, or the mean of those of each batch of ten, which
rare outliers widen less. The value is ONNX Runtime's `CalibMovingAverage`."""
SAFE = {
    7: "every processor: sums of 7-bit weights with 8-bit activations fit into 16 bits by pairs",
    8: "Arm, and x86 with VNNI: other x86 processors saturate and lose accuracy, unless ONNX Runtime's session has "
    "session.x64quantprecision=1",
}
"""Where a network with weights of so many bits keeps its accuracy."""
FLOAT = ("BatchNormalization", "InstanceNormalization", "LayerNormalization")
"""Operators that are left as they are: normalisation by itself, whose few weights are of no channels to quantise by."""
BATCH, CALIBRATION_BATCH = 50, 10
SESSIONS, PASSES, RUNS = 6, 8, 3
"""Of each model when timed: sessions one after the other, slices of a session, runs of a slice."""
SHARE = 0.1
"""Latency is this quantile over all slices: what others do to the machine only ever makes it slower."""


def to_int8(
    architecture: Architecture,
    origin: Origin,
    data: Data,
    device: Device | None,
    folder: Path,
    teller: Teller = Silent(),  # noqa: B008  # has no state
    here: bool = True,
) -> tuple[list[Path], dict[str, Any]]:
    """Write model.int8.onnx and int8.json; returns their paths and the content of the latter.

    It is timed on a `device`, where there is one, and for this processor where the device is `here`, else for any.
    Raises `ArchitectureError` for a network with random weights, `DataError` for data without validation pictures and
    `OSError` where the folder cannot be written.
    """
    if origin.weights is None:
        raise ArchitectureError(
            "int8 is of a network with weights, as its accuracy is to be kept; this one's are random. "
            "Train it first: nas train CONFIG --data DATA --out DIR"
        )
    named = origin.pictures and origin.pictures.classes
    if architecture.num_classes != len(data.classes) or (named and named != data.classes):
        raise ArchitectureError(
            f"The classes of {data.name} ({len(data.classes):,}) are not the network's ({architecture.num_classes:,}). "
            "Give the --data that it was trained on."
        )
    if not len(data.validation):
        raise DataError(
            f"{data.name}: int8 is chosen by held-out pictures, and none are. Load it with `held_out` above 0."
        )
    if origin.pictures is not None:
        data = replace(data, mean=origin.pictures.mean, std=origin.pictures.std)
    plain = float_model(architecture, replace(origin, batch=None))
    small, choice = _chosen(plain, data, here, teller)
    models = {"float32": plain, "int8": small}
    report = {
        "data": public_data(data.name),
        "data_fingerprint": data.fingerprint,
        "calibration_pictures": min(CALIBRATION, len(data.train)),
        **choice,
        "accuracy": {
            name: {**_top1(_right(model, data, data.test, teller)), "split": "test"} for name, model in models.items()
        },
        "latency": None if device is None else _latency(models, architecture, device, teller),
        "bytes": {name: len(model) for name, model in models.items()},
    }
    if origin.batch is not None:
        small = _with_batch(small, origin.batch)
    folder.mkdir(parents=True, exist_ok=True)
    write_all_atomic({folder / MODEL: small, folder / REPORT: json.dumps(report, indent=1) + "\n"})
    return [folder / MODEL, folder / REPORT], report


def int8_summary(report: Mapping[str, Any]) -> str:
    """The report of int8 in words."""
    return "".join(f"{name:<10}{text}\n" for name, text in int8_lines(report))


def int8_lines(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same, line by line with a word for each."""
    accuracy, latency, size = report["accuracy"], report["latency"], report["bytes"]
    before, after = accuracy["float32"], accuracy["int8"]
    lines = [
        (
            "int8",
            f"top-1 {before['top1']:.2f} → {after['top1']:.2f} % of {after['count']:,} test pictures "
            f"({after['top1'] - before['top1']:+.2f} points) · "
            f"{size['float32'] / 1e3:,.0f} → {size['int8'] / 1e3:,.0f} kB",
        ),
        ("weights", f"{report['weights_bits']} bits, safe on {report['safe_on'].partition(':')[0]}"),
    ]
    if latency is not None:
        slower = ", slower here" if latency["ratio"] > 1 else ""
        lines.append(
            (
                "measured",
                f"{latency['float32_ms']:.3f} → {latency['int8_ms']:.3f} ms on {latency['device']}, "
                f"{latency['threads']} thread(s): {latency['ratio']:.2f} times the time{slower}",
            )
        )
    return lines


def better(right: NDArray[np.bool_], rival: NDArray[np.bool_]) -> bool:
    """Whether `right` has more of the same pictures right than `rival`, by two standard deviations (McNemar's test).

    Only pictures count that one of both has right: were both equally good, their balance would be a fair coin's.
    """
    gains, losses = int((right & ~rival).sum()), int((rival & ~right).sum())
    return bool(gains - losses > 2 * np.sqrt(gains + losses))


def _chosen(plain: bytes, data: Data, here: bool, teller: Teller) -> tuple[bytes, dict[str, Any]]:
    """The first quantised model that no later one is better than, and what `int8.json` says of the choice."""
    saturating = here and saturates()
    held_out = data.validation.take(np.arange(min(HELD_OUT, len(data.validation))))
    tried: list[dict[str, Any]] = []
    small, choice, best = b"", (0, ""), None
    ways = list(product((7,) if saturating or not here else (7, 8), CALIBRATIONS))
    for number, (bits, calibration) in enumerate(ways):
        teller.progress(number, len(ways), "quantised")
        model = _quantised(plain, data, bits, calibration)
        right = _right(model, data, held_out, teller)
        tried.append({"weights_bits": bits, "calibration": calibration, **_top1(right), "split": "validation"})
        if best is None or better(right, best):
            small, choice, best = model, (bits, calibration), right
    teller.progress(len(ways), len(ways), "quantised")
    return small, {
        "weights_bits": choice[0],
        "calibration": choice[1],
        "safe_on": SAFE[choice[0]],
        "processor": "saturates: weights of 8 bits were not tried"
        if saturating
        else "exact"
        if here
        else "another than this one: weights of 8 bits were not tried",
        "held_out": tried,
    }


def _quantised(model: bytes, data: Data, bits: int, calibration: str) -> bytes:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rows = np.arange(min(CALIBRATION, len(data.train)))
            self.batches = _inputs(data, data.train.take(rows), CALIBRATION_BATCH)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            x, _ = next(self.batches, (None, None))
            return None if x is None else {"input": x}

    with TemporaryDirectory(prefix="nas-int8-") as folder:
        ready, small = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
        whole = onnx.load_from_string(model)
        quant_pre_process(whole, ready, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            ready,
            small,
            Reader(),
            per_channel=True,
            reduce_range=bits == 7,
            nodes_to_exclude=[node.name for node in whole.graph.node if node.op_type in FLOAT],
            activation_type=QuantType.QUInt8,  # signed ones take twice as long on x86
            weight_type=QuantType.QInt8,
            extra_options={"CalibMovingAverage": CALIBRATIONS[calibration]},
        )
        return small.read_bytes()


def _with_batch(model: bytes, pictures: int) -> bytes:
    """The same model for so many pictures at a time."""
    import onnx

    fixed = onnx.load_from_string(model)
    fix_batch(fixed, pictures)
    return bytes(fixed.SerializeToString())


def _right(model: bytes, data: Data, split: Split, teller: Teller) -> NDArray[np.bool_]:
    """bool[N]: the split's pictures that ONNX Runtime gets right with this model."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    right: list[NDArray[np.bool_]] = []
    for x, y in _inputs(data, split, BATCH):
        right.append(session.run(None, {"input": x})[0].argmax(1) == y)
        teller.progress(min(len(right) * BATCH, len(split)), len(split), "tested")
    return np.concatenate(right)


def _top1(right: NDArray[np.bool_]) -> dict[str, Any]:
    return {"top1": 100 * float(right.mean()), "count": len(right)}


def _inputs(data: Data, split: Split, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    from nas.data.batches import evaluation_batches

    for x, y in evaluation_batches(data, split, size):
        yield np.ascontiguousarray(x.numpy()), y.numpy()


def _latency(models: Mapping[str, bytes], architecture: Architecture, device: Device, teller: Teller) -> dict[str, Any]:
    """Milliseconds of a picture by each model, in shuffled slices of both, on a device."""
    shape = (1, architecture.channels, architecture.height, architecture.width)
    probes = {name: Probe(hashlib.sha256(model).hexdigest()[:24], model, shape) for name, model in models.items()}
    with TemporaryDirectory(prefix="nas-int8-") as folder:
        weights, samples = Path(folder) / "weights.bin", Samples(Path(folder) / "samples.jsonl")
        write_weights(weights)
        groups = (tuple(probes.values()),) * SESSIONS
        timed, slices = 0, SESSIONS * PASSES * len(probes)
        try:
            for sample in device.measure(Plan(groups, weights, PASSES, RUNS, 0, INPUT_SLICE)):
                if isinstance(sample, Sample):
                    samples.add(0, sample)
                    timed += 1
                    teller.progress(min(timed, slices), slices, "slices")
            found = quantiles(samples.slices([probe.name for probe in probes.values()]), SHARE)
        finally:
            samples.close()
    info = device.info
    return {
        **{f"{name}_ms": float(ms) for name, ms in zip(probes, found, strict=True)},
        "ratio": float(found[1] / found[0]),
        "device": info.model,
        "runtime": f"{info.runtime} {info.runtime_version}",
        "threads": info.threads,
        "estimator": f"quantile {SHARE} over {SESSIONS} sessions of {PASSES} shuffled slices, best of {RUNS} runs each",
    }

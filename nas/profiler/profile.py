"""profile(): a space and a device → a latency table, with its error on whole networks in its header.

table.csv, table.yaml   the table                        networks/   reference networks, see `nas.tables.references`
samples.jsonl           every timing; what a killed profile goes on from
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from nas.atomic import write_atomic
from nas.blocks.architecture import Architecture
from nas.blocks.kinds import ops
from nas.blocks.layer import Layer
from nas.catalog import own_tables_folder
from nas.devices.device import Device, DeviceInfo
from nas.errors import NasError, TableError
from nas.files import read_json
from nas.profiler.estimate import Estimates, estimate
from nas.profiler.fit import Fit, counts, fit
from nas.profiler.interpolate import interpolator
from nas.profiler.networks import calibrating, random_networks
from nas.profiler.probe import write_weights
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples, read_samples
from nas.profiler.verify import error_of
from nas.space.schema import Name
from nas.space.space import Space
from nas.tables.header import Bands, DeviceHeader, ErrorHeader, NetworksError, RuntimeHeader, TableHeader
from nas.tables.references import write_references
from nas.tables.table import LatencyTable, Row, load_table
from nas.tables.write import write_table
from nas.teller import Teller

CALIBRATING = 40
CHECKING = 20
REFERENCES = 8
"""Of the checking networks, those that are kept as references."""
SEED = 0
"""Of the choice of networks."""
_NORMAL_95 = 1.96


def profile(space: Space, target: str, device: Device, folder: Path, effort: Effort, teller: Teller) -> LatencyTable:
    """Measure what is not measured yet, and write the table into `folder`; returns it.

    Raises `NasError` where the device gives up, or the folder holds the table of another device or space; what
    was measured before stays.
    """
    info = device.info
    _claim(folder, target, space, info)
    layers = [layer for layer in space.layers() if ops(layer)]
    networks = calibrating_networks(space) + checking_networks(space)
    workload = Workload([(layer,) for layer in layers] + [network.layers for network in networks])
    samples = Samples(folder / "samples.jsonl")
    try:
        before = len(samples)
        _adopt(samples, workload, folder, info)
        _warn(info, teller)
        with TemporaryDirectory(prefix="nas-profile-") as temporary:
            weights = Path(temporary) / "weights.bin"
            write_weights(weights)
            Rounds(device, workload, samples, weights, teller).measure(effort)
        if len(samples) == before and (folder / "table.yaml").is_file():
            return load_table(folder)  # as it was, so that runs by it can be resumed
        rows = np.array([list(workload.probes).index(name) for name in workload.names])
        found = estimate(samples.slices(workload.probes), judged=np.unique(rows[len(layers) :]))
    finally:
        samples.close()
    return _write(folder, space, target, info, layers, networks, found, found.of(workload.names))


def calibrating_networks(space: Space) -> list[Architecture]:
    """The networks that correct a table of this space; always the same."""
    return calibrating(space, CALIBRATING, np.random.default_rng([SEED, 0]))


def checking_networks(space: Space) -> list[Architecture]:
    """The networks that its error is measured on; always the same."""
    return random_networks(space, CHECKING, np.random.default_rng([SEED, 1]))


def _claim(folder: Path, target: str, space: Space, info: DeviceInfo) -> None:
    """Make the folder that of this device and space, or see that it is."""
    file = folder / "profile.json"
    mine = {"target": target, "space": space.fingerprint, "device": info.fingerprint}
    if file.is_file():
        before = read_json(file, TableError)
        names = {"target": "target", "space": "search space", "device": "device or runtime"}
        for name, what in names.items():
            if not isinstance(before, dict) or before.get(name) != mine[name]:
                raise TableError(f"{folder} holds a table of another {what}. Move it away, or choose another --out.")
        return
    try:
        TypeAdapter(Name).validate_python(folder.name)
    except ValidationError:
        rule = "a table's folder is named by a letter, then up to 63 letters, digits, `_` and `-`"
        raise TableError(f"{folder}: {rule}. Choose another --out.") from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TableError(f"{folder}: a profile is written into a new or empty folder. Choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(file, json.dumps(mine, indent=1) + "\n")


def _adopt(samples: Samples, workload: Workload, folder: Path, info: DeviceInfo) -> None:
    """Take over what the user's other tables of this very device hold of the same probes."""
    for file in sorted(own_tables_folder().glob("*/profile.json")):
        if file.parent.resolve() == folder.resolve() or folder.parent.resolve() != own_tables_folder().resolve():
            continue
        missing = {name for name in workload.probes if not samples.sessions(name)}
        try:
            if read_json(file, TableError).get("device") != info.fingerprint:
                continue
            others, _ = read_samples(file.parent / "samples.jsonl")
            samples.adopt((number, sample) for number, sample in others if sample.probe in missing)
        except (NasError, AttributeError, OSError):
            continue  # somebody else's trouble: it is only not used


def _warn(info: DeviceInfo, teller: Teller) -> None:
    if info.governor not in (None, "performance"):
        teller.say(
            f"the processor's governor is {info.governor}: times will vary. "
            "As root: cpupower frequency-set -g performance"
        )
    if info.emulated:
        teller.say("this device is emulated: its times mean nothing")


def _write(
    folder: Path,
    space: Space,
    target: str,
    info: DeviceInfo,
    layers: list[Layer],
    networks: list[Architecture],
    found: Estimates,
    rows: NDArray[np.int64],
) -> LatencyTable:
    blocks, whole = rows[: len(layers)], rows[len(layers) :]
    has = counts([[layer for layer in network.layers if ops(layer)] for network in networks], layers)
    errors = _standard_errors(found)[whole]
    fitted = fit(layers, found.ms[blocks], has[:CALIBRATING], found.ms[whole[:CALIBRATING]], errors[:CALIBRATING])
    checking = slice(CALIBRATING, None)
    error = error_of(has[checking] @ fitted.ms, found.ms[whole[checking]], found.split_half_pct)
    provenance = "simulated" if info.emulated else "measured"
    table_rows = [
        Row(layer, ms, _NORMAL_95 * deviation, int(found.slices[probe]), provenance)
        for layer, ms, deviation, probe in zip(layers, fitted.ms, fitted.deviation, blocks, strict=True)
    ]
    kept = {
        f"reference-{number}": (networks[CALIBRATING + number], float(found.ms[whole[index]]), float(errors[index]))
        for number in range(min(REFERENCES, len(networks) - CALIBRATING))
        for index in [CALIBRATING + number]
    }
    header = _header(folder.name, space, target, info, layers, found, fitted, error)
    if (completed := interpolator(layers, fitted.ms, networks[0].height)) is not None:
        model, left_out = completed
        bands = header.error.band_pct.model_copy(update={"interpolated": model.band_pct["block"]})
        error_header = header.error.model_copy(
            update={"band_pct": bands, "leave_one_out": {"mean_pct": left_out, "p90_pct": model.band_pct["block"]}}
        )
        header = header.model_copy(update={"model": model.to_header(), "error": error_header})
    return write_table(folder, header.model_copy(update={"references": write_references(folder, kept)}), table_rows)


def _standard_errors(found: Estimates) -> NDArray[np.float64]:
    """ms, float64[N]: each probe's own, made steadier by the usual one, as a few sessions tell it badly."""
    from scipy.stats import t

    own = found.halfwidth / t.ppf(0.975, np.maximum(found.sessions - 1, 1))
    relative = np.where(np.isfinite(own), own / found.ms, np.nan)
    usual = np.nanmedian(relative) if np.isfinite(relative).any() else 0.02
    result: NDArray[np.float64] = found.ms * np.sqrt((np.nan_to_num(relative, nan=usual) ** 2 + usual**2) / 2)
    return result


def _header(
    name: str,
    space: Space,
    target: str,
    info: DeviceInfo,
    layers: list[Layer],
    found: Estimates,
    fitted: Fit,
    error: NetworksError,
) -> TableHeader:
    device: dict[str, Any] = {key: getattr(info, key) for key in _DEVICE_KEYS}
    drift = f"drift of {found.drift_pct:.1f} % between passes {'taken out' if found.corrected else 'left in'}"
    worst = max(error.worst_pct, 0.1)
    return TableHeader(
        format="nas-latency-table/1",
        name=name,
        target=target,
        space=space.name,
        device=DeviceHeader(**device, fingerprint=info.fingerprint),
        runtime=RuntimeHeader(name=info.runtime, version=info.runtime_version),
        threads=info.threads,
        precision="float32",
        batch=1,
        date=date.today(),
        estimator=(
            "best run of a slice, lower quartile of a session's slices, mean over sessions; "
            f"{int(np.median(found.sessions))} sessions a probe; {drift}"
        ),
        source="measured by nas",
        key_columns=["kind", "in_channels", "out_channels", "height", "width"],
        calibration=(
            f"blocks alone, corrected by {CALIBRATING} whole networks "
            f"(nas.profiler.fit with s = {fitted.s}, c = {fitted.c})"
        ),
        error=ErrorHeader(
            band_pct=Bands(measured=worst, derived=worst, simulated=worst, interpolated=100.0), networks=error
        ),
    )


_DEVICE_KEYS = ("model", "soc", "cores", "architecture", "provider", "memory_mb", "system", "governor", "emulated")

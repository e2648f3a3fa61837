"""profile(): a space and a device → a latency table, with its error on whole networks in its header.

table.csv, table.yaml   the table                        networks/   reference networks, see `nas.tables.references`
samples.jsonl           every timing; what a killed profile goes on from
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.devices.device import Device, DeviceInfo
from nas.errors import NasError, TableError
from nas.profiler.estimate import Estimates, estimate
from nas.profiler.fit import Fit, counts, in_network
from nas.profiler.interpolate import interpolator
from nas.profiler.networks import calibrating, random_networks
from nas.profiler.probe import write_weights
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples, read_samples
from nas.profiler.verify import error_of
from nas.space.space import Space
from nas.system.atomic import clear_parts, write_atomic
from nas.system.files import check_plain_folder, read_json
from nas.system.folder_lock import FolderLock
from nas.system.places import own_tables_folder
from nas.system.strict import Name
from nas.system.teller import Teller
from nas.system.user_folders import NoHome
from nas.tables.header import Bands, DeviceHeader, ErrorHeader, RuntimeHeader, TableHeader
from nas.tables.references import write_references
from nas.tables.table import LatencyTable, Row, load_table
from nas.tables.write import write_table

PROFILE = "profile.json"
"""Names the device and the space of a folder's table; written first."""
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
    _check_name(folder)
    with FolderLock(folder, "measures into this", error=TableError):
        _claim(folder, target, space, info)
        return _measured(space, target, device, folder, effort, teller)


def _measured(space: Space, target: str, device: Device, folder: Path, effort: Effort, teller: Teller) -> LatencyTable:
    """Measure, and write the table into a folder that is claimed."""
    info, survey = device.info, Survey.of(space)
    workload = survey.workload
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
            with suppress(TableError):  # of a crash between its two files: it is written again
                return load_table(folder)  # as it was, so that runs by it can be resumed
        names = list(workload.probes)
        found = estimate(samples.slices(names), workload.whole(names))
        _tell_paces(found, teller)
    finally:
        samples.close()
    return _write(folder, space, target, info, survey, found)


@dataclass(frozen=True)
class Survey:
    """What is measured for a table; always the same of one space."""

    layers: tuple[Layer, ...]
    """All that do something, each of them alone."""
    calibrating: tuple[Architecture, ...]
    """Networks that the layers are corrected by."""
    checking: tuple[Architecture, ...]
    """Networks that the error is measured on; where a space has others, none that calibrate."""

    @classmethod
    def of(cls, space: Space) -> Survey:
        calibrated = calibrating(space, CALIBRATING, np.random.default_rng([SEED, 0]))
        drawn = random_networks(space, 3 * CHECKING, np.random.default_rng([SEED, 1]))
        checking = [network for network in drawn if network not in set(calibrated)] or drawn
        layers = tuple(layer for layer in space.layers() if layer.graph.nodes)
        return cls(layers, tuple(calibrated), tuple(checking[:CHECKING]))

    @cached_property
    def workload(self) -> Workload:
        """All of it, in the order of the fields."""
        networks = (*self.calibrating, *self.checking)
        return Workload([(layer,) for layer in self.layers] + [network.layers for network in networks])

    def counts(self, networks: Sequence[Architecture]) -> NDArray[np.float64]:
        """float64[N, L]: how often each network has each layer."""
        return counts([[layer for layer in network.layers if layer.graph.nodes] for network in networks], self.layers)


def _check_name(folder: Path) -> None:
    """A new folder is named as its table can be; nothing is made that cannot be used."""
    try:
        TypeAdapter(Name).validate_python(folder.name)
    except ValidationError:
        if not (folder / PROFILE).is_file():
            rule = "a table's folder is named by a letter, then up to 63 letters, digits, `_` and `-`"
            raise TableError(f"{folder}: {rule}. Choose another --out.") from None
    if folder.exists() and not folder.is_dir():
        raise TableError(f"{folder}: a profile is written into a new or empty folder. Choose another --out.")


def _claim(folder: Path, target: str, space: Space, info: DeviceInfo) -> None:
    """Claim a locked folder for this device and space, or check that it is theirs."""
    file = folder / PROFILE
    mine = {"target": target, "space": space.fingerprint, "device": info.fingerprint}
    if file.is_file():
        check_plain_folder(folder, "the folder of a table", TableError)
        before = read_json(file, TableError)
        names = {"target": "target", "space": "search space", "device": "device or runtime"}
        for name, what in names.items():
            if not isinstance(before, dict) or before.get(name) != mine[name]:
                raise TableError(f"{folder} holds a table of another {what}. Move it away, or choose another --out.")
        clear_parts(folder)
        return
    clear_parts(folder, PROFILE)
    if any(folder.iterdir()):
        raise TableError(f"{folder}: a profile is written into a new or empty folder. Choose another --out.")
    write_atomic(file, json.dumps(mine, indent=1) + "\n")


def _adopt(samples: Samples, workload: Workload, folder: Path, info: DeviceInfo) -> None:
    """Take over what the user's other tables of this very device hold of the same probes."""
    try:
        own = own_tables_folder().resolve()
    except NoHome:
        return
    for file in sorted(own.glob(f"*/{PROFILE}")):
        if file.parent.resolve() == folder.resolve() or folder.parent.resolve() != own:
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


def _tell_paces(found: Estimates, teller: Teller) -> None:
    if len(found.paces_pct) > 1:
        paces = ", ".join(f"{board or 'before'} {pace:+.1f} %" for board, pace in sorted(found.paces_pct.items()))
        teller.say(f"boards by their pace, slower is more, which was taken out: {paces}")


def _write(folder: Path, space: Space, target: str, info: DeviceInfo, survey: Survey, found: Estimates) -> LatencyTable:
    layers, first = list(survey.layers), len(survey.layers) + len(survey.calibrating)
    rows = found.of(survey.workload.names)
    blocks, calibrating, checking = rows[: len(layers)], rows[len(layers) : first], rows[first:]
    errors = _standard_errors(found)
    has = survey.counts(survey.calibrating)
    fitted = in_network(layers, found.ms[blocks], has, found.ms[calibrating], errors[calibrating])
    error = error_of(survey.counts(survey.checking) @ fitted.ms, found.ms[checking], found.split_half_pct)
    provenance = "simulated" if info.emulated else "measured"
    table_rows = [
        Row(layer, ms, _NORMAL_95 * deviation, int(found.slices[probe]), provenance)
        for layer, ms, deviation, probe in zip(layers, fitted.ms, fitted.deviation, blocks, strict=True)
    ]
    kept = {
        f"reference-{number}": (network, float(found.ms[probe]), float(errors[probe]))
        for number, (network, probe) in enumerate(zip(survey.checking[:REFERENCES], checking, strict=False))
    }
    sides = {survey.checking[0].height, survey.checking[0].width}
    model, left_out = interpolator(layers, fitted.ms, tuple(sorted(sides)))
    worst, interpolated = min(max(error.worst_pct, 0.1), 1_000.0), model.band_pct["block"]
    header = TableHeader(
        name=folder.name,
        target=target,
        space=space.name,
        resolution=sides.pop() if len(sides) == 1 else None,
        **_origin(info, found, fitted, error.count),
        model=model.to_header(),
        error=ErrorHeader(
            band_pct=Bands(measured=worst, derived=worst, simulated=worst, interpolated=interpolated),
            networks=error,
            leave_one_out={"mean_pct": left_out, "p90_pct": interpolated},
        ),
        references=write_references(folder, kept),
    )
    return write_table(folder, header, table_rows)


def _standard_errors(found: Estimates) -> NDArray[np.float64]:
    """ms, float64[N]: each probe's own, made steadier by the usual one, as a few sessions tell it badly."""
    from scipy.stats import t

    own = found.halfwidth / t.ppf(0.975, np.maximum(found.sessions - 1, 1))
    relative = np.where(np.isfinite(own), own / found.ms, np.nan)
    usual = np.nanmedian(relative) if np.isfinite(relative).any() else 0.02
    result: NDArray[np.float64] = found.ms * np.sqrt((np.nan_to_num(relative, nan=usual) ** 2 + usual**2) / 2)
    return result


def _origin(info: DeviceInfo, found: Estimates, fitted: Fit, checked: int) -> dict[str, Any]:
    """What a header says of the device and of how the rows came about."""
    device: dict[str, Any] = {key: getattr(info, key) for key in _DEVICE_KEYS}
    paces = found.paces_pct.values()
    pool = (
        f"; {len(paces)} boards of one kind, {max(paces) - min(paces):.1f} % apart, taken out" if len(paces) > 1 else ""
    )
    drift = f"drift of {found.drift_pct:.1f} % between passes {'taken out' if found.corrected else 'left in'}"
    return {
        "format": "nas-latency-table/1",
        "device": DeviceHeader(**device, fingerprint=info.fingerprint, boards=max(1, len(paces))),
        "runtime": RuntimeHeader(name=info.runtime, version=info.runtime_version),
        "threads": info.threads,
        "precision": "float32",
        "batch": 1,
        "date": date.today(),
        "estimator": "best run of a slice, lower quartile of a session's slices, mean over sessions; "
        f"{int(np.median(found.sessions))} sessions a probe; {drift}{pool}",
        "source": "measured by nas",
        "key_columns": ["kind", "in_channels", "out_channels", "height", "width"],
        "calibration": f"blocks alone, corrected by {CALIBRATING} whole networks "
        f"(nas.profiler.fit with s = {fitted.s}, c = {fitted.c}), checked on {checked}",
    }


_DEVICE_KEYS = ("model", "soc", "cores", "architecture", "provider", "memory_mb", "system", "governor", "emulated")

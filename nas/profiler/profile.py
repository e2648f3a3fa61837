"""profile(): a space and a device → a latency table, with its error on whole networks in its header.

table.csv, table.yaml   the table                        networks/   reference networks, see `nas.tables.references`
samples.jsonl           every timing; what a killed profile goes on from
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from threadpoolctl import threadpool_limits

from nas.blocks.precision import PRECISIONS
from nas.devices.device import Device, DeviceInfo
from nas.devices.hosted import Hosted
from nas.devices.runtimes import Runtime
from nas.errors import NasError, TableError
from nas.profiler.estimate import Estimates, estimate
from nas.profiler.fit import Fit, in_network
from nas.profiler.interpolate import BAND_SHARE, interpolator
from nas.profiler.probe import write_weights
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples, read_samples
from nas.profiler.surface import in_networks, times_alone
from nas.profiler.survey import CALIBRATING, REFERENCES, Survey
from nas.profiler.verify import error_of
from nas.space.space import Space
from nas.system.atomic import PART, clear_parts, write_atomic
from nas.system.files import check_plain_folder, read_json
from nas.system.folder_lock import FolderLock
from nas.system.places import own_tables_folder
from nas.system.strict import Name
from nas.system.teller import Teller
from nas.system.user_folders import NoHome
from nas.tables.header import (
    LEAST_BAND_PCT,
    Bands,
    BesideFloat,
    DeviceHeader,
    ErrorHeader,
    NetworksError,
    RuntimeHeader,
    TableHeader,
)
from nas.tables.references import write_references
from nas.tables.table import PROFILE, LatencyTable, Row, begun_for, load_table
from nas.tables.write import write_table

MOST_SPACES = 63
"""Of those before, whose checks a table keeps: the ones profiled last."""
_NORMAL_95 = 1.96


def profile(space: Space, target: str, device: Device, folder: Path, effort: Effort, teller: Teller) -> LatencyTable:
    """Measure what is not measured yet, and write the table into `folder`; returns it.

    A table that is there already grows by what it lacks of this space: its rows stay, and so do its checks on the
    networks of other spaces. Where this very space is measured more surely, its rows are written anew.

    Raises `NasError` where the device gives up, or the folder holds the table of another device; what was measured
    before stays.
    """
    check_folder(folder, target, space.precision)
    survey = Survey.of(space)
    _ = survey.workload  # of a space that cannot be measured nothing is begun
    if isinstance(device, Hosted) and device.runtime.writer:
        _check_written(survey, space, device.runtime)
    info = device.info
    with FolderLock(folder, "measures into this", error=TableError):
        _claim(folder, target, space, info)
        return _measured(space, survey, target, device, folder, effort, teller)


def _check_written(survey: Survey, space: Space, runtime: Runtime) -> None:
    """Raise `NasError` with the kind of a layer that a runtime cannot run."""
    with TemporaryDirectory(prefix="nas-profile-") as temporary:
        weights = Path(temporary) / "weights.bin"
        write_weights(weights)
        for layer, name in zip(survey.alone, survey.workload.names, strict=False):
            try:
                runtime.files(survey.workload.probes[name], weights)
            except NasError as problem:
                raise NasError(f"{layer.kind} of {space.name}: {problem}") from None


def _measured(
    space: Space,
    survey: Survey,
    target: str,
    device: Device,
    folder: Path,
    effort: Effort,
    teller: Teller,
) -> LatencyTable:
    """Measure, and write the table into a folder that is claimed."""
    info, workload = device.info, survey.workload
    there = _there(folder)
    samples = Samples(folder / "samples.jsonl")
    try:
        before = len(samples)
        _adopt(samples, workload, folder, info)
        _warn(info, teller)
        with TemporaryDirectory(prefix="nas-profile-") as temporary:
            weights = Path(temporary) / "weights.bin"
            write_weights(weights)
            Rounds(device, workload, samples, weights, teller).measure(effort)
        if len(samples) == before and there is not None and there.checked_on(space):
            return load_table(folder)  # as it was, so that runs by it can be resumed
        names = list(workload.probes)
        found = estimate(samples.slices(names), workload.whole(names))
        _tell_paces(found, teller)
    finally:
        samples.close()
    table = _write(folder, space, target, info, survey, found, there)
    if table.header.beside_float is not None:
        teller.say(f"networks of {space.precision}: {table.header.beside_float.told}")
    return table


def _there(folder: Path) -> LatencyTable | None:
    """The table that a folder has already; None also after a crash between its two files, as it is written again then.

    An older one does not say which space its networks are of: it is the one that the folder was begun for.
    """
    if not (folder / "table.yaml").is_file():
        return None
    with suppress(TableError):
        table = load_table(folder)
        networks = table.header.error.networks
        if networks is None or networks.space_sha256 is not None:
            return table
        known = networks.model_copy(update={"space": table.header.space, "space_sha256": begun_for(folder)})
        error = table.header.error.model_copy(update={"networks": known})
        return replace(table, header=table.header.model_copy(update={"error": error}))
    return None


def check_folder(folder: Path, target: str, precision: str = PRECISIONS[0]) -> None:
    """Refuse a folder that no table of this target can be written into, as far as that can be seen without asking the
    device; nothing is made that cannot be used. Raises `TableError`."""
    try:
        TypeAdapter(Name).validate_python(folder.name)
    except ValidationError:
        if not (folder / PROFILE).is_file():
            rule = "a table's folder is named by a letter, then up to 63 letters, digits, `_` and `-`"
            raise TableError(f"{folder}: {rule}. Choose another --out.") from None
    if (folder / PROFILE).is_file():
        _check_own(folder, {"target": target, "precision": precision})
    elif folder.exists() and not (folder.is_dir() and all(path.suffix == PART for path in folder.iterdir())):
        raise TableError(f"{folder}: a profile is written into a new or empty folder. Choose another --out.")
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise TableError(f"{folder}: cannot be written ({there} is read-only). Choose another --out.")


def _check_own(folder: Path, mine: Mapping[str, str]) -> None:
    """Raise `TableError` where a folder's table is of another target or device."""
    check_plain_folder(folder, "the folder of a table", TableError)
    before = read_json(folder / PROFILE, TableError)
    before = before if not isinstance(before, dict) else {"precision": PRECISIONS[0]} | before
    for name, what in {"target": "target", "precision": "precision", "device": "device or runtime"}.items():
        if not isinstance(before, dict) or before.get(name) != mine.get(name, before.get(name)):
            raise TableError(f"{folder} holds a table of another {what}. Move it away, or choose another --out.")


def _claim(folder: Path, target: str, space: Space, info: DeviceInfo) -> None:
    """Claim a locked folder for this device, or check that it is its own."""
    file = folder / PROFILE
    mine = {"target": target, "space": space.fingerprint, "device": info.fingerprint, "precision": space.precision}
    if file.is_file():
        _check_own(folder, mine)
        clear_parts(folder)
        return
    clear_parts(folder, PROFILE)
    if any(folder.iterdir()):
        raise TableError(f"{folder}: a profile is written into a new or empty folder. Choose another --out.")
    if space.precision == PRECISIONS[0]:
        del mine["precision"]  # as in version 0.1
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


def _write(
    folder: Path,
    space: Space,
    target: str,
    info: DeviceInfo,
    survey: Survey,
    found: Estimates,
    there: LatencyTable | None,
) -> LatencyTable:
    layers, several = list(survey.layers), len(survey.alone)
    rows = found.of(survey.workload.names)
    parts = np.cumsum([several, len(survey.calibrating), len(survey.checking)])
    blocks, calibrating, checking, beside = np.split(rows, parts)
    errors = standard_errors(found)
    resolutions = {size for network in survey.checking for size in (network.height, network.width)}
    has, whole = survey.counts(survey.calibrating), (found.ms[calibrating], errors[calibrating])
    left_out = None
    if survey.alone == survey.layers:
        fitted = in_network(layers, found.ms[blocks], has, *whole)
    else:
        model, _ = interpolator(survey.alone, found.ms[blocks], resolutions)
        index = {layer: number for number, layer in enumerate(layers)}
        measured = np.array([index[layer] for layer in survey.alone])
        with threadpool_limits(1, "blas"):  # faster for such matrices on a busy machine, and the same on any
            by_alone = times_alone(layers, measured, found.ms[blocks], errors[blocks], model)
            fitted, left_out = in_networks(layers, by_alone, has, *whole), by_alone.left_out_pct
    slices = dict(zip(survey.alone, map(int, found.slices[blocks]), strict=True))
    usual = "simulated" if info.emulated else "measured"
    table_rows = {
        layer.key: Row(
            layer,
            float(ms),
            _NORMAL_95 * float(deviation),
            slices.get(layer, 0),
            usual if layer in slices else "interpolated",
        )
        for layer, ms, deviation in zip(layers, fitted.ms, fitted.deviation, strict=True)
    }
    further: list[NetworksError] = []
    if there is not None:
        kept = {row.layer.key: row for row in there.rows()}
        anew = there.checked_on(space) is not None
        table_rows = {**kept, **table_rows} if anew else {**table_rows, **kept}
        further = [] if anew else there.header.error.checks[:MOST_SPACES]  # of rows that are as they were
    in_table = np.array([table_rows[layer.key].latency_ms for layer in layers])
    error = error_of(
        survey.counts(survey.checking) @ in_table, found.ms[checking], found.split_half_pct, found.drift_pct
    )
    error = error.model_copy(update={"space": space.name, "space_sha256": space.fingerprint})
    network_ms = {
        f"reference-{number}": (network, float(found.ms[probe]), float(errors[probe]))
        for number, (network, probe) in enumerate(zip(survey.checking[:REFERENCES], checking, strict=False))
    }
    if there and there.model:
        resolutions |= set(there.model.range.resolutions)
    beside_float = None
    if len(beside):
        ratio = float(np.median(found.ms[checking[: len(beside)]] / found.ms[beside]))
        beside_float = BesideFloat(networks=len(beside), ratio=ratio)
    own = [row for row in table_rows.values() if row.provenance != "interpolated"]
    model, mean = interpolator([row.layer for row in own], np.array([row.latency_ms for row in own]), resolutions)
    worst = min(max(LEAST_BAND_PCT, *(check.worst_pct for check in (error, *further))), 1_000.0)
    interpolated = p90 = model.band_pct["block"]
    if left_out is not None:
        mean, p90 = float(left_out.mean()), float(np.quantile(left_out, BAND_SHARE))
        interpolated = max(worst, p90)
    elif there and len(own) < len(table_rows):
        interpolated = max(interpolated, there.header.error.band_pct.interpolated)
    header = TableHeader(
        name=folder.name,
        target=target,
        space=space.name if all(check.space == space.name for check in further) else None,
        resolution=resolutions.pop() if len(resolutions) == 1 else None,
        **_origin(info, found, fitted, survey),
        beside_float=beside_float,
        model=model.to_header(),
        error=ErrorHeader(
            band_pct=Bands(measured=worst, derived=worst, simulated=worst, interpolated=interpolated),
            networks=error,
            further_networks=further,
            leave_one_out={"mean_pct": mean, "p90_pct": p90},
        ),
        references=there.header.references if there and further else write_references(folder, network_ms),
    )
    return write_table(folder, header, table_rows.values())


def standard_errors(found: Estimates) -> NDArray[np.float64]:
    """ms, float64[N]: each probe's own, made steadier by the usual one, as a few sessions tell it badly."""
    from scipy.stats import t

    own = found.halfwidth / t.ppf(0.975, np.maximum(found.sessions - 1, 1))
    relative = np.where(np.isfinite(own), own / found.ms, np.nan)
    usual = np.nanmedian(relative) if np.isfinite(relative).any() else 0.02
    result: NDArray[np.float64] = found.ms * np.sqrt((np.nan_to_num(relative, nan=usual) ** 2 + usual**2) / 2)
    return result


def _origin(info: DeviceInfo, found: Estimates, fitted: Fit, survey: Survey) -> dict[str, Any]:
    """What a header says of the device and of how the rows came about."""
    device: dict[str, Any] = {key: getattr(info, key) for key in _DEVICE_KEYS}
    paces = found.paces_pct.values()
    pool = (
        f"; {len(paces)} boards of one kind, {max(paces) - min(paces):.1f} % apart, taken out" if len(paces) > 1 else ""
    )
    if survey.alone == survey.layers:
        blocks, method = f"blocks alone, corrected by {CALIBRATING}", "fit"
    else:
        part = f"{len(survey.alone):,} of {len(survey.layers):,} blocks alone"
        blocks, method = f"{part}, filled in and corrected by {len(survey.calibrating)}", "surface"
    drift = f"drift of {found.drift_pct:.1f} % between passes {'taken out' if found.corrected else 'left in'}"
    return {
        "format": "nas-latency-table/1",
        "device": DeviceHeader(**device, fingerprint=info.fingerprint, boards=max(1, len(paces))),
        "runtime": RuntimeHeader(name=info.runtime, version=info.runtime_version),
        "threads": info.threads,
        "precision": survey.layers[0].precision,
        "batch": 1,
        "date": date.today(),
        "estimator": "best run of a slice, lower quartile of a session's slices, mean over sessions; "
        f"{int(np.median(found.sessions))} sessions a probe; {drift}{pool}",
        "source": "measured by nas",
        "key_columns": ["kind", "in_channels", "out_channels", "height", "width"],
        "calibration": f"{blocks} whole networks (nas.profiler.{method} with s = {fitted.s}, c = {fitted.c}), "
        f"checked on {len(survey.checking)}",
    }


_DEVICE_KEYS = ("model", "soc", "cores", "architecture", "provider", "memory_mb", "system", "governor", "emulated")

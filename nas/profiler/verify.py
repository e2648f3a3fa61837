"""Whole networks, measured: is what a table says true?

A device is not as fast today as on the day of its table: heat, frequency, neighbours. So the table's reference
networks are measured beside, in the same passes, and what they changed by together is taken out where it is larger than
twice its own uncertainty. Both figures are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from nas.blocks.architecture import Architecture
from nas.devices.device import Device
from nas.errors import TableError
from nas.profiler.estimate import Estimates, estimate, quantiles
from nas.profiler.probe import write_weights
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples
from nas.system.teller import Teller
from nas.tables.header import NetworksError
from nas.tables.references import References, read_references
from nas.tables.table import LatencyTable

SECONDS = 15.0
"""Of measuring, for one network and the references beside it."""
SECONDS_PER_NETWORK = 1.5


@dataclass(frozen=True)
class NetworkTimes:
    """N whole networks on a device."""

    ms: NDArray[np.float64]
    """float64[N], at the pace of the table."""
    raw_ms: NDArray[np.float64]
    """As the clock had it."""
    p10_ms: NDArray[np.float64]
    """10th percentile of a network's slices, at the pace of the table."""
    p90_ms: NDArray[np.float64]
    halfwidth_ms: NDArray[np.float64]
    """Half-width of the 95 % interval of `ms` over sessions."""
    drift_pct: float
    """How much slower the device was than on the day of the table; 0 where that is not beyond doubt."""
    floor_pct: float
    """Split-half error of these measurements."""


def measure_networks(
    networks: Sequence[Architecture],
    table: LatencyTable | None,
    device: Device,
    teller: Teller,
    precision_pct: float = 1.0,
) -> NetworkTimes:
    """Measure whole networks on the device of a table, or on any at its pace of today.

    Raises `TableError` where the device is another one than the table's, and `NasError` where it gives up.
    """
    references = References((), (), ())
    if table is not None:
        check_device(table, device)
        references = read_references(table.path, table.header.references)
    workload = Workload([network.layers for network in (*networks, *references.networks)])
    with TemporaryDirectory(prefix="nas-verify-") as temporary:
        weights = Path(temporary) / "weights.bin"
        write_weights(weights)
        samples = Samples(Path(temporary) / "samples.jsonl")
        effort = Effort(precision_pct, SECONDS + SECONDS_PER_NETWORK * (len(networks) - 1))
        try:
            Rounds(device, workload, samples, weights, teller).measure(effort)
            slices = samples.slices(workload.probes)
        finally:
            samples.close()
    found = estimate(slices)
    rows = found.of(workload.names)
    drift = _drift(found, rows[len(networks) :], references)
    mine = rows[: len(networks)]
    low, high = quantiles(slices, 0.1)[mine], quantiles(slices, 0.9)[mine]
    raw = found.ms[mine]
    return NetworkTimes(
        raw / drift,
        raw,
        low / drift,
        high / drift,
        found.halfwidth[mine] / drift,
        100 * (drift - 1),
        found.split_half_pct,
    )


def verify(architecture: Architecture, table: LatencyTable | None, device: Device, teller: Teller) -> dict[str, Any]:
    """One network by its table and by the clock, as a JSON mapping; `error_pct` is of measured over table.

    Without a table that is null, as is all that a table would say.
    """
    found = None if table is None else table.estimate(architecture)
    measured = measure_networks([architecture], table, device, teller)
    return {
        "target": table and table.name,
        "latency_ms": found and found.latency_ms,
        "coverage": found and found.coverage,
        "latency_error_pct": found and found.error_pct,
        "macs": architecture.macs,
        "params": architecture.params,
        "measured_ms": float(measured.ms[0]),
        "measured_p10_ms": float(measured.p10_ms[0]),
        "measured_p90_ms": float(measured.p90_ms[0]),
        "measured_halfwidth_ms": float(measured.halfwidth_ms[0]),
        "error_pct": found and float(100 * (measured.ms[0] / found.latency_ms - 1)),
        "raw_ms": float(measured.raw_ms[0]),
        "drift_pct": measured.drift_pct,
    }


def check_device(table: LatencyTable, device: Device) -> None:
    """Raise `TableError` unless this is the device, the runtime and the threads that a table was measured on."""
    expected, info = table.header.device.fingerprint, device.info
    if expected is None:
        raise TableError(f"{table.name} was not measured by nas: there is no device to hold it against.")
    if expected != info.fingerprint:
        raise TableError(
            f"{table.name} is of {table.header.summary} ({table.header.runtime.version}); this device is {info.model}, "
            f"{info.runtime} {info.runtime_version}, {info.threads} thread(s). "
            "It needs a table of its own: nas profile --space SPACE --target DEVICE --out DIR"
        )


def error_of(table_ms: NDArray[np.float64], measured_ms: NDArray[np.float64], floor_pct: float) -> NetworksError:
    """How far a table is off on N networks."""
    errors = 100 * np.abs(table_ms / measured_ms - 1)
    tau = kendalltau(table_ms, measured_ms).statistic if len(errors) > 1 else float("nan")
    return NetworksError(
        count=len(errors),
        mape_pct=float(errors.mean()),
        worst_pct=float(errors.max()),
        within_5_pct=float(100 * (errors <= 5).mean()),
        within_10_pct=float(100 * (errors <= 10).mean()),
        kendall_tau=float(tau) if np.isfinite(tau) else None,
        floor_pct=floor_pct if np.isfinite(floor_pct) else None,
    )


def _drift(found: Estimates, rows: NDArray[np.int64], references: References) -> float:
    """Factor by which the references changed, or 1 where that is within twice its standard error."""
    if not len(rows):
        return 1.0
    ratios = np.log(found.ms[rows] / np.array(references.ms))
    factor, error = ratios.mean(), ratios.std(ddof=1) / np.sqrt(len(ratios)) if len(ratios) > 1 else np.inf
    return float(np.exp(factor)) if abs(factor) > 2 * error else 1.0

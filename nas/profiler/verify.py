"""Whole networks, measured: is what a table says true?

A device is not as fast today as on the day of its table: heat, frequency, neighbours. So the table's reference
networks are measured beside, in the same passes, and say at which pace it is: see `nas.profiler.pace`. What the clock
had is told in any case, and where the device is too busy to be asked it is all that is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from nas.blocks.architecture import Architecture
from nas.blocks.precision import PRECISIONS
from nas.devices.device import Device
from nas.errors import TableError
from nas.profiler.estimate import estimate, quantiles
from nas.profiler.pace import pace_of, too_busy
from nas.profiler.probe import write_weights
from nas.profiler.rounds import Effort, Rounds, Workload
from nas.profiler.samples import Samples
from nas.system.teller import Teller
from nas.tables.header import NetworksError, Third
from nas.tables.references import References, read_references
from nas.tables.table import LatencyTable

SECONDS = 15.0
"""Of measuring, for one network and the references beside it."""
SECONDS_PER_NETWORK = 1.5
LEAST_IN_THIRD = 3
"""Networks."""


@dataclass(frozen=True)
class NetworkTimes:
    """N whole networks on a device."""

    ms: NDArray[np.float64]
    """float64[N], at the pace of the table; as the clock had it where the device is too busy."""
    raw_ms: NDArray[np.float64]
    """As the clock had it."""
    p10_ms: NDArray[np.float64]
    """10th percentile of a network's slices, at the pace of the table."""
    p90_ms: NDArray[np.float64]
    halfwidth_ms: NDArray[np.float64]
    """Half-width of the 95 % interval of `ms`: over sessions, and of what was taken out."""
    drift_pct: float
    """How much slower the device was than on the day of the table, which was taken out; 0 where nothing was."""
    floor_pct: float
    """Split-half error of these measurements."""
    too_busy: str | None
    """Why these figures are not to be believed, as a phrase; None where they are."""
    beside_ms: NDArray[np.float64]
    """Of networks that were measured beside, as the clock had it."""


def measure_networks(
    networks: Sequence[Architecture],
    table: LatencyTable | None,
    device: Device,
    teller: Teller,
    precision_pct: float = 1.0,
    beside: Sequence[Architecture] = (),
) -> NetworkTimes:
    """Measure whole networks on the device of a table, or on any at its pace of today; and, by the clock alone, others
    `beside`.

    Raises `TableError` where the device is another one than the table's, `LatencyMissing` where the table does not
    answer, and `NasError` where the device gives up.
    """
    references, by_table = References((), (), ()), []
    if table is not None:
        check_device(table, device)
        references = read_references(table.path, table.header.references)
        by_table = [table.estimate(network).latency_ms for network in networks]
    workload = Workload([network.layers for network in (*networks, *references.networks, *beside)])
    with TemporaryDirectory(prefix="nas-verify-") as temporary:
        weights = Path(temporary) / "weights.bin"
        write_weights(weights)
        samples = Samples(Path(temporary) / "samples.jsonl")
        effort = Effort(precision_pct, SECONDS + SECONDS_PER_NETWORK * (len(networks) + len(beside) - 1))
        try:
            Rounds(device, workload, samples, weights, teller).measure(effort)
            slices = samples.slices(workload.probes)
        finally:
            samples.close()
    found = estimate(slices)
    rows = found.of(workload.names)
    mine, known, others = np.split(rows, np.cumsum([len(networks), len(references.networks)]))
    pace = pace_of(found, mine, by_table, known, references)
    drift = pace.factor
    low, high = quantiles(slices, 0.1)[mine], quantiles(slices, 0.9)[mine]
    raw = found.ms[mine]
    share = np.hypot(found.halfwidth[mine] / raw, pace.halfwidth)
    return NetworkTimes(
        raw / drift,
        raw,
        low / drift,
        high / drift,
        share * raw / drift,
        100 * (drift - 1),
        found.split_half_pct,
        too_busy(pace, float(np.median(share)), found.split_half_pct),
        found.ms[others],
    )


def verify(architecture: Architecture, table: LatencyTable | None, device: Device, teller: Teller) -> dict[str, Any]:
    """One network by its table and by the clock, as a JSON mapping; `error_pct` is of measured over table.

    Without a table that is null, as is all that a table would say. Where it is `too_busy`, which says why,
    `measured_ms` is as the clock had it, and no verdict on the table. A network in another precision is measured beside
    itself in float32, `float32_ms` by the clock.
    """
    found = None if table is None else table.estimate(architecture)
    plain = architecture.in_precision(PRECISIONS[0])
    beside = () if plain == architecture else (plain,)
    measured = measure_networks([architecture], table, device, teller, beside=beside)
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
        **({"float32_ms": float(measured.beside_ms[0])} if beside else {}),
        **({"too_busy": measured.too_busy} if measured.too_busy else {}),
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


def error_of(
    table_ms: NDArray[np.float64], measured_ms: NDArray[np.float64], floor_pct: float, drift_pct: float | None = None
) -> NetworksError:
    """How far a table is off on N networks, and on their thirds: as many of the fastest, the middle and the slowest by
    the table, give or take one."""
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
        drift_pct=drift_pct,
        thirds=_thirds(table_ms, errors),
    )


def _thirds(table_ms: NDArray[np.float64], errors_pct: NDArray[np.float64]) -> list[Third]:
    """Each ends half-way to the next; none of fewer than nine networks."""
    if len(errors_pct) < 3 * LEAST_IN_THIRD:
        return []
    order = np.argsort(table_ms, kind="stable")
    parts = np.array_split(order, 3)
    ends = [float(table_ms[[a[-1], b[0]]].mean()) for a, b in pairwise(parts)]
    return [
        Third(
            up_to_ms=end,
            count=len(part),
            mape_pct=float(errors_pct[part].mean()),
            worst_pct=float(errors_pct[part].max()),
        )
        for end, part in zip([*ends, None], parts, strict=True)
    ]

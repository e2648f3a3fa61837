"""The typed form of `table.yaml` (format `nas-latency-table/1`, described in docs/tables.md)."""

from __future__ import annotations

import re
from datetime import date
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from nas.blocks.layer import KEY_COLUMNS, key_columns
from nas.system.strict import Name, SpaceName, Strict, Text

NETWORK_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
"""Of a file of `networks/`, without its suffix."""


Phrase = Annotated[Text, Field(max_length=200)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256."""
Unstated = Literal["not stated"]
UNSTATED: Unstated = "not stated"
Percent = Annotated[float, Field(ge=0, le=1_000)]


def _column(value: str) -> str:
    if value not in KEY_COLUMNS and value not in key_columns():  # the first are most, and at hand
        raise ValueError(f"a key column is one of {', '.join(key_columns())}")
    return value


KeyColumn = Annotated[str, AfterValidator(_column)]


class DeviceHeader(Strict):
    """What the figures were measured on; own measurements fill all that their device tells."""

    model: Phrase
    soc: Phrase | None = None
    cores: Phrase | int | None = None
    architecture: Phrase | None = None
    """`x86_64`, `aarch64`, …"""
    provider: Phrase | None = None
    """What computes for the runtime: ONNX Runtime's execution provider, for example."""
    memory_mb: Annotated[int, Field(ge=0)] | None = None
    system: Phrase | None = None
    governor: Phrase | None = None
    emulated: bool = False
    """Under an emulator: its times mean nothing."""
    boards: Annotated[int, Field(ge=1)] = 1
    """Of this one kind, that were measured on; their own paces were taken out."""
    fingerprint: Digest | None = None
    """`DeviceInfo.fingerprint`, over what figures depend on; equal where figures may stand in one table."""


class RuntimeHeader(Strict):
    """What ran the layers."""

    name: Phrase
    version: Phrase


class WholeNetwork(Strict):
    """A published network, as printed and as the table had it when it was made."""

    name: Phrase
    network: Annotated[str, Field(pattern=NETWORK_NAME)]
    """Its arch-def file is `networks/{network}.json` in the table's folder."""
    published_ms: Annotated[float, Field(gt=0)]
    table_ms: Annotated[float, Field(ge=0)]
    error_pct: float
    source: Text


class SourceScale(Strict):
    """Median of published over table latency for one source's networks: reported, never applied."""

    scale: Annotated[float, Field(gt=0)]
    networks: Annotated[int, Field(ge=1)]
    applied: Literal[False]


def _left_out(document: dict[str, Any], *names: str) -> dict[str, Any]:
    """Without these entries where they say nothing: older tables stay what they are."""
    return {name: value for name, value in document.items() if value or name not in names}


LEAST_BAND_PCT = 0.1


class Third(Strict):
    """The fastest, the middle or the slowest third of whole networks, as the table ranks them."""

    up_to_ms: Annotated[float, Field(gt=0)] | None = None
    """By the table; None of the slowest."""
    count: Annotated[int, Field(ge=1)]
    mape_pct: Annotated[float, Field(ge=0)]
    worst_pct: Annotated[float, Field(ge=0)]


MOST_NOISE_PCT = 3.0
"""A table was measured too noisily where halves of the measurements differ by more."""
TOLD_DRIFT_PCT = 10.0
"""A change of pace that is told with it; by itself it is taken out and does no harm."""
MOST_FLOORS, LEAST_FLOOR_PCT = 3.0, 1.5
"""Likewise where whole networks, or a third of them, are off by more than so many times what halves differ by, which
counts for this much at least."""


class NetworksError(Strict):
    """How far the table was off on whole networks that were measured on the device and not fitted to, in percent."""

    count: Annotated[int, Field(ge=1)]
    mape_pct: Annotated[float, Field(ge=0)]
    worst_pct: Annotated[float, Field(ge=0)]
    """Largest error, without its sign."""
    within_5_pct: Annotated[float, Field(ge=0, le=100)]
    """Share of the networks."""
    within_10_pct: Annotated[float, Field(ge=0, le=100)]
    kendall_tau: Annotated[float, Field(ge=-1, le=1)] | None = None
    floor_pct: Annotated[float, Field(ge=0)] | None = None
    """Mean difference between two halves of the measurements, from disjoint sessions: no table is truer than that."""
    drift_pct: Annotated[float, Field(ge=0)] | None = None
    """By how much the device's pace changed while it was measured, 5th to 95th percentile over passes."""
    thirds: Annotated[list[Third], Field(max_length=3)] = []
    """The same by parts of the range, the fastest first; of fewer than nine networks, and in older tables, none."""
    space: SpaceName | None = None
    """The search space that the networks are of."""
    space_sha256: Digest | None = None
    """Its `Space.fingerprint`: another space of this name was not checked. Older tables do not have it."""

    @model_serializer(mode="wrap")
    def _without_what_is_new(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _left_out(dump(self), "space", "space_sha256", "drift_pct", "thirds")

    def worst_at(self, ms: float) -> float:
        """Largest error in the part of the range that a latency lies in, percent; of all where there are no parts."""
        ends = (third.worst_pct for third in self.thirds if third.up_to_ms is None or ms <= third.up_to_ms)
        return next(ends, self.worst_pct)

    @property
    def noise(self) -> str | None:
        """Why the measurement was too noisy for a table to rest on, as a phrase; None where it was not, or nothing says
        how noisy it was."""
        if self.floor_pct is None:
            return None
        halves = f"halves of the measurement differ by {self.floor_pct:.1f} %"
        off = max(self.mape_pct, *(third.mape_pct for third in self.thirds), 0.0)
        if self.floor_pct <= MOST_NOISE_PCT:
            if off <= MOST_FLOORS * max(self.floor_pct, LEAST_FLOOR_PCT):
                return None
            part = "a third of the whole networks is" if off > self.mape_pct else "whole networks are"
            halves = f"{part} {off:.1f} % off, where {halves}"
        drift = self.drift_pct or 0.0
        return f"{halves}, its pace changed by {drift:.0f} %" if drift > TOLD_DRIFT_PCT else halves


class ReferenceNetwork(Strict):
    """A network that was measured when the table was made, for holding the device against itself later."""

    network: Annotated[str, Field(pattern=NETWORK_NAME)]
    """Its config is `networks/{network}.json` in the table's folder."""
    measured_ms: Annotated[float, Field(gt=0)]
    deviation_ms: Annotated[float, Field(ge=0)]
    """Standard error."""


class BesideFloat(Strict):
    """Networks of this table's precision, measured beside the same ones in float32 when the table was made."""

    networks: Annotated[int, Field(ge=1)]
    ratio: Annotated[float, Field(gt=0)]
    """Median of their times over those in float32."""

    @property
    def told(self) -> str:
        """In a phrase: whether the precision is worth its loss here."""
        if self.ratio > 1:
            return f"slower here by {self.ratio:.1f}x than the same networks in float32"
        return f"{100 * self.ratio:.0f} % of the time of the same networks in float32"


class Bands(Strict):
    """Half-width of the error band of a row's latency, in percent, by the row's provenance."""

    measured: Percent
    derived: Percent
    simulated: Percent
    interpolated: Percent


class ErrorHeader(Strict):
    """How far the table is off."""

    band_pct: Bands
    networks: NetworksError | None = None
    """Of the space that was profiled last."""
    further_networks: Annotated[list[NetworksError], Field(max_length=64)] = []
    """Of the spaces that were profiled into this table before."""
    leave_one_stage_out: dict[Text, float] = {}
    leave_one_out: dict[Text, float] = {}
    """Of the block model on rows that it was not fitted on."""
    whole_networks: list[WholeNetwork] = []
    source_scales: dict[Text, SourceScale] = {}

    @model_serializer(mode="wrap")
    def _without_what_is_new(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _left_out(dump(self), "further_networks")

    @property
    def checks(self) -> list[NetworksError]:
        """On whole networks, a space each, the one profiled last in front."""
        return [*([] if self.networks is None else [self.networks]), *self.further_networks]

    def bands(self, ms: float, filled: bool = False) -> dict[str, float]:
        """Half-width of the error band by provenance, percent, of a network of that latency: where whole networks were
        measured, no wider than the largest error in their part of the range. Rows that are interpolated were part of
        them where the table is `filled` with such."""
        bands: dict[str, float] = self.band_pct.model_dump()
        if not self.checks:
            return bands
        worst = max(LEAST_BAND_PCT, *(check.worst_at(ms) for check in self.checks))
        own = max(worst, self.leave_one_out.get("p90_pct", 0.0)) if filled else bands["interpolated"]
        return {name: min(band, own if name == "interpolated" else worst) for name, band in bands.items()}


class Joint(Strict):
    """What a layer takes more, or less, because of the one in front of it."""

    after: Annotated[str, Field(max_length=64)]
    """Kind of the one in front."""
    residual: bool
    """Whether that one adds its input."""
    before: Annotated[str, Field(max_length=64)]
    """Kind of the layer."""
    in_channels: Annotated[int, Field(ge=1)]
    out_channels: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    ms: Annotated[float, Field(ge=-1e9, le=1e9)]


class SumsHeader(Strict):
    """Of rows that were found from whole networks of one space: see `nas.tables.sums`."""

    space: SpaceName
    space_sha256: Digest
    """Its `Space.fingerprint`: another space of this name has other networks."""
    constant_ms: Annotated[float, Field(ge=0, le=1e9)]
    """Of every network, beside its layers."""
    joints: Annotated[list[Joint], Field(max_length=4_096)] = []


class WholeHeader(Strict):
    """Whole networks that were measured in place of layers: see `nas.tables.whole`."""

    space: SpaceName
    space_sha256: Digest
    """Its `Space.fingerprint`: another space of this name has other networks."""
    provenance: Literal["measured", "simulated"] = "measured"


class TableHeader(Strict):
    """A whole header."""

    format: Literal["nas-latency-table/1"]
    name: Name
    target: Phrase | None = None
    """The `--target` that names the device: `cpu`, `ssh:pi@board`."""
    space: SpaceName | None = None
    """The search space whose layers were measured; None where several were."""
    device: DeviceHeader
    runtime: RuntimeHeader
    threads: Annotated[int, Field(ge=1, le=4_096)] | Unstated
    precision: Phrase
    beside_float: BesideFloat | None = None
    """Of a table in another precision than float32."""
    batch: Annotated[int, Field(ge=1)] | Unstated
    date: date | Phrase
    resolution: Annotated[int, Field(ge=1, le=65_536)] | None = None
    estimator: Text
    source: Text
    licence: Phrase | None = None
    key_columns: list[KeyColumn]
    rows_sha256: Digest | None = None
    """Of the table.csv that belongs to this header; tables that `nas` writes have it."""
    calibration: Text
    model: dict[str, Any] | None = None
    sums: SumsHeader | None = None
    """Of rows whose sums alone mean something."""
    whole: WholeHeader | None = None
    """Of the networks in `whole.csv.gz`."""
    error: ErrorHeader
    references: Annotated[list[ReferenceNetwork], Field(max_length=64)] = []

    def differences(self, other: TableHeader) -> list[str]:
        """What figures depend on and these two headers do not share, a phrase each: `runtime.version '1.18' and …`."""
        found = []
        for name in _DECISIVE:
            mine, theirs = (attrgetter(name)(header) for header in (self, other))
            if mine != theirs:
                found.append(f"{name} ({mine!r} and {theirs!r})")
        return found

    @property
    def summary(self) -> str:
        """Device, runtime and threads in one phrase, as far as they are known."""
        threads = (
            self.threads if self.threads == UNSTATED else f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        )
        precision = UNSTATED if self.precision.startswith("float32") else self.precision
        parts = (self.runtime.name, threads, precision)
        known = [self.device.model, *(part for part in parts if part != UNSTATED)]
        return ", ".join([*known, *(["emulated: its times mean nothing"] if self.device.emulated else [])])


_DECISIVE = (
    "device.model",
    "device.architecture",
    "device.provider",
    "device.emulated",
    "runtime.name",
    "runtime.version",
    "threads",
    "precision",
    "batch",
)

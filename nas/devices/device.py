"""Device: something that can time ONNX models. One verb, `measure`; what comes back is raw nanoseconds.

    Probe   a model with a name                      Sample   the runs of one probe in one slice
    Plan    which probes, how often, in what order   Fault    what a device did wrong, in one line

A device yields samples as they are measured and raises `Fault` where it cannot go on; whatever was yielded before
stands. Everything that a device says is checked in `Sample.read`, whatever it came through.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nas.errors import NasError
from nas.system.text import short

MAX_RUNS = 10_000
MAX_LINE = 1 << 20
"""Bytes of one line from a device."""
CHECKSUM_TOLERANCE = 1e-2
"""Relative; runtimes differ in the order of sums, by about 1e-5, and a network that is not run differs by far more."""


class Fault(NasError):
    """A device vanished, hung, printed garbage or ran out of something. One line, with the next step where known."""


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """What a device is. `fingerprint` is equal where figures may stand in one table."""

    model: str
    """Processor or board, as it names itself."""
    architecture: str
    """`x86_64`, `aarch64`, …"""
    cores: int
    runtime: str
    """`ONNX Runtime`, `ONNX Runtime Web`, `OpenVINO`, …"""
    runtime_version: str
    provider: str
    """What computes for the runtime: `CPUExecutionProvider`, `wasm`, `webgpu`; `CPU` of OpenVINO; …"""
    threads: int
    system: str = ""
    governor: str | None = None
    """Frequency governor; None where the system has none to show."""
    memory_mb: int | None = None
    soc: str | None = None
    clock_ns: int = 1
    """Resolution of the clock; runs are timed in batches where it is coarse."""
    emulated: bool = False
    """Under an emulator: its times mean nothing."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what figures depend on: model, architecture, runtime and version, provider, threads."""
        names = ("model", "architecture", "runtime", "runtime_version", "provider", "threads")
        return hashlib.sha256(json.dumps([getattr(self, name) for name in names]).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, document: Any) -> DeviceInfo:
        """What a device said of itself, checked: known names, right types, short text. Raises `Fault`."""
        known = {field.name: str(field.type) for field in fields(cls)}
        if not isinstance(document, dict) or not document.keys() <= known.keys():
            raise Fault(f"a device tells {', '.join(known)}, got {short(document)}.")
        for name, value in document.items():
            if value is None and "None" in known[name]:
                continue
            if type(value).__name__ != known[name].removesuffix(" | None"):
                raise Fault(f"`{name}` of a device is {known[name]}, got {short(value)}.")
            if isinstance(value, str) and not (len(value) <= 200 and value.isprintable()):
                raise Fault(f"`{name}` of a device is up to 200 printable characters, got {short(value)}.")
            if isinstance(value, int) and not 0 <= value < 2**40:
                raise Fault(f"`{name}` of a device is a whole number of at least 0, got {short(value)}.")
        try:
            return cls(**document)
        except TypeError:
            missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in document]
            raise Fault(f"a device tells its {', '.join(missing)} too, got {short(document)}.") from None


@dataclass(frozen=True)
class Probe:
    """A model to be timed. Its input is float32 or uint8 `shape`, filled from the start of the shared weights."""

    name: str
    """At most 64 letters and digits, the start of a content hash: a probe's name is its identity."""
    model: bytes = field(repr=False)
    """An ONNX model whose large tensors are slices of the external file `weights.bin`."""
    shape: tuple[int, ...]
    """1 × channels × height × width; of uint8 the channels are last."""


@dataclass(frozen=True)
class Plan:
    """One round: groups of probes; those of a group are opened together, each in a session of its own, timed in
    `passes` shuffled passes of slices spread over the group's time, and closed."""

    groups: tuple[tuple[Probe, ...], ...]
    weights: Path
    """The external-data file of all probes."""
    passes: int
    runs: int
    """Timed runs in a slice."""
    seed: int
    """Of the shuffles."""
    input_slice: tuple[int, int]
    """First and number of the float32 values in `weights` that inputs are filled with, repeated as needed."""


@dataclass(frozen=True)
class Sample:
    """The runs of one probe in one slice."""

    probe: str
    session: str
    """Unique to one session of one probe."""
    slice: int
    """Number of the pass, from 0 and on through all groups of the plan: `group * passes + pass`."""
    at_s: float
    """Seconds of the device's clock since its round began."""
    batch: int
    """Runs behind each of the figures: 1 unless the clock is coarse."""
    ns: tuple[float, ...]
    """Nanoseconds of a run, one figure for each timing."""
    checksum: float
    """Mean absolute output."""
    board: str = ""
    """Of a pool, the one that it was measured on; a device does not say it."""

    @classmethod
    def read(cls, document: Any, probes: Mapping[str, Probe]) -> Sample:
        """What a device sent, checked. Raises `Fault` with the first rule that it breaks."""
        if not isinstance(document, dict) or document.keys() != _FIELDS:
            raise Fault(f"a sample has exactly {', '.join(sorted(_FIELDS))}, got {short(document)}.")
        probe, session, ns = document["probe"], document["session"], document["ns"]
        if not isinstance(probe, str) or probe not in probes:
            raise Fault(f"a sample is of a probe that was asked for, got {short(probe)}.")
        if not (isinstance(session, str) and 0 < len(session) <= 64 and session.isascii() and session.isalnum()):
            raise Fault(f"a session is named by up to 64 letters and digits, got {short(session)}.")
        for name, most in (("slice", MAX_RUNS), ("batch", 10**6)):
            if type(document[name]) is not int or not 0 <= document[name] <= most:
                raise Fault(f"`{name}` of a sample is a whole number up to {most}, got {short(document[name])}.")
        for name in ("at_s", "checksum"):
            if not _is_number(document[name]) or not 0 <= document[name] < 1e12:
                raise Fault(f"`{name}` of a sample is a finite number of at least 0, got {short(document[name])}.")
        if not (isinstance(ns, list) and 1 <= len(ns) <= MAX_RUNS and all(map(_is_number, ns))):
            raise Fault(f"`ns` of a sample is a list of 1 to {MAX_RUNS:,} finite numbers, got {short(ns)}.")
        if not all(0 < value < 1e12 for value in ns) or document["batch"] < 1:
            raise Fault(f"a run takes more than 0 and less than 1,000 seconds, got {short(ns)} ns.")
        return cls(
            probe,
            session,
            document["slice"],
            float(document["at_s"]),
            document["batch"],
            tuple(map(float, ns)),
            float(document["checksum"]),
        )

    def to_json(self) -> dict[str, Any]:
        """The inverse of `read`; with the board where there is one."""
        document = asdict(self) | {"ns": list(self.ns)}
        return document if self.board else {name: document[name] for name in document if name != "board"}


@dataclass(frozen=True)
class Remark:
    """What disturbed a round, as a device saw it itself."""

    kind: str
    """`load` and `stolen`: shares of all processors, 0 to 1, that other processes used or a hypervisor took;
    `throttled`: how often the processor slowed down for its heat."""
    value: float

    @classmethod
    def read(cls, document: Any) -> Remark:
        """What a device sent, checked. Raises `Fault`."""
        kind, value = document.get("remark"), document.get("value")
        if kind not in ("load", "stolen", "throttled") or not _is_number(value) or not 0 <= value < 1e9:
            raise Fault(f"a remark is `load`, `stolen` or `throttled` and a number, got {short(document)}.")
        return cls(kind, float(value))


_FIELDS = frozenset(Sample.__dataclass_fields__) - {"board"}


class Device(Protocol):
    """Something that can time models."""

    @property
    def info(self) -> DeviceInfo:
        """What it is. Raises `Fault` where it does not answer."""

    def measure(self, plan: Plan) -> Iterator[Sample | Remark]:
        """Run a plan, yielding samples as they come. Raises `Fault`; nothing blocks longer than its timeout."""

    def close(self) -> None:
        """Let go of the device; it can be called twice, and after a fault the device be used again."""


@runtime_checkable
class Lasting(Protocol):
    """A device that is not closed for a fault: a person opened it, and would have to do so again."""

    def reset(self) -> None:
        """Let go of what a fault left behind; closing is for the end."""


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # type: ignore[arg-type] # isfinite() fails on long ints

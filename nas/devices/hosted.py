"""Hosted: a device with a work folder and a program that times models there. This machine, ssh boards and phones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from nas.devices.device import DeviceInfo, Fault, Plan, Remark, Sample
from nas.devices.runtimes import ONNX_RUNTIME, Runtime
from nas.devices.transport import Local, Transport
from nas.system.text import one_line

SILENCE_S = 60.0
"""Longest that a device may say nothing: a session of a large model is opened in less."""
MOST_TALK = 3_600
"""Lines between two samples: a device that opens sessions says so once a second, and does not do so for an hour."""
LARGE = 1 << 20
"""Bytes that are not sent without a word."""
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Runner:
    """The program that times models on a device: `worker.py` under a Python, or one that speaks the same lines."""

    command: tuple[str, ...]
    """Its words, to which `info THREADS PROVIDER` or `run JOB` is added; run in the work folder."""
    files: Mapping[str, bytes | Path]
    """What it needs there."""


def python_runner(python: str) -> Runner:
    """`worker.py` under this Python of the device."""
    return Runner((python, "worker.py"), {"worker.py": WORKER})


@dataclass(eq=False)
class Hosted:
    """A device that is reached by a transport and times models with a runner."""

    transport: Callable[[], Transport]
    """Connects."""
    runner: Runner
    _: KW_ONLY
    threads: int = 1
    provider: str = ""
    """Of ONNX Runtime; empty: the processor."""
    runtime: Runtime = ONNX_RUNTIME
    silence_s: float = SILENCE_S

    def __post_init__(self) -> None:
        self.provider = self.provider or self.runtime.provider
        self._transport: Transport | None = None
        self._there: set[str] = set()
        self._models: set[str] = set()
        """Names of the probes that were written for the runtime and are there."""
        self._info: DeviceInfo | None = None
        self.say: Callable[[str], object] = lambda line: None
        """Told what takes a while before the first sample."""

    @property
    def info(self) -> DeviceInfo:
        """What the runner says of its device; asked once."""
        if self._info is None:
            with _system_errors_as_faults():
                for document in self._run("info", str(self.threads), self.provider):
                    if "info" in document:
                        self._info = DeviceInfo.read(document["info"])
            if self._info is None:
                raise Fault("the device ended without a word about itself.")
        return self._info

    def measure(self, plan: Plan) -> Iterator[Sample | Remark]:
        with _system_errors_as_faults():
            yield from self._measure(plan)

    def _measure(self, plan: Plan) -> Iterator[Sample | Remark]:
        probes = {probe.name: probe for group in plan.groups for probe in group}
        new = [probe for name, probe in probes.items() if name not in self._models]
        models = [self.runtime.files(probe, plan.weights) for probe in new]
        self._put({"weights.bin": plan.weights} | {name: file for files in models for name, file in files.items()})
        self._models |= probes.keys()
        self._link().put({"job.txt": job_text(plan, self.threads, self.provider).encode()})
        at_s, done, left = 0.0, False, sum(map(len, plan.groups)) * plan.passes
        for document in self._run("run", "job.txt"):
            if "done" in document:
                done = True
            elif "remark" in document:
                yield Remark.read(document)
            elif "alive" not in document:
                sample = Sample.read(document, probes)
                if sample.at_s < at_s:
                    raise Fault(f"the device's clock went back, from {at_s:.3f} to {sample.at_s:.3f} s.")
                if not left:
                    raise Fault("the device sent more samples than were asked for.")
                at_s, left = sample.at_s, left - 1
                yield sample
        if not done or left:
            raise Fault("the device ended in the middle of its job.")

    def close(self) -> None:
        """Remove what was put on the device; it can be called twice."""
        if self._transport is not None:
            self._transport.close()
        self._transport = None
        self._there.clear()
        self._models.clear()

    def _link(self) -> Transport:
        if self._transport is None:
            self._transport = self.transport()
        return self._transport

    def _put(self, files: Mapping[str, bytes | Path]) -> None:
        """Send the files that were not sent before: a probe's name is the hash of its content."""
        missing = {name: content for name, content in files.items() if name not in self._there}
        if missing:
            link = self._link()
            size = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in missing.values())
            if size >= LARGE and not isinstance(link, Local):
                self.say(f"{len(missing)} files, {size >> 20} MB, are sent to the device, once")
            link.put(missing)
            self._there |= missing.keys()

    def _run(self, *words: str) -> Iterator[dict[str, Any]]:
        """JSON objects that the runner prints."""
        self._put(self.runner.files)
        talk = 0
        for line in self._link().run((*self.runner.command, *words), self.silence_s):
            if not line.strip():
                continue
            try:
                document = json.loads(line)
            except (ValueError, RecursionError):
                raise Fault(f"the device speaks JSON, a line an object, got {line[:60]!r}.") from None
            if not isinstance(document, dict):
                raise Fault(f"the device speaks JSON, a line an object, got {line[:60]!r}.")
            if "error" in document:
                raise Fault(one_line(str(document["error"])))
            talk = 0 if "probe" in document else talk + 1
            if talk > MOST_TALK:
                raise Fault(f"the device sent {MOST_TALK:,} lines one after another that are no sample.")
            yield document


@contextmanager
def _system_errors_as_faults() -> Iterator[None]:
    """What this machine refuses, such as room in its temporary folder, costs no more than what a device does."""
    try:
        yield
    except OSError as problem:
        raise Fault(f"{problem.filename or 'this machine'}: {problem.strerror or problem}.") from None


def job_text(plan: Plan, threads: int, provider: str) -> str:
    """The job file that runners read: see `worker.py`."""
    offset, values = plan.input_slice
    lines = [f"threads {threads}", f"provider {provider}", f"passes {plan.passes}", f"runs {plan.runs}"]
    lines += [f"seed {plan.seed}", f"input_offset {offset}", f"input_values {values}"]
    for group in plan.groups:
        lines.append("group")
        lines += [f"probe {probe.name} {' '.join(map(str, probe.shape))}" for probe in group]
    return "\n".join(lines) + "\n"

"""Rounds of measurement: which probes a device times next, until their figures are as sure as asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas.blocks.layer import Layer
from nas.devices.device import Device, Fault, Lasting, Plan, Probe, Remark, Sample
from nas.devices.hosted import Hosted
from nas.errors import Interrupted, NasError
from nas.profiler.estimate import CONFIDENCE, Estimates, estimate
from nas.profiler.probe import INPUT_SLICE, make_probe
from nas.profiler.samples import Samples
from nas.system.teller import Teller

LEAST_SESSIONS = 3
"""Sessions of each probe before its interval is believed."""
MOST_SESSIONS = 60
MOST_ROUNDS = 4
"""In one job; what they give decides what is measured next."""
PASSES = 8
RUNS = 2
FAULTS_IN_A_ROW = 4
"""Faults without anything new between them after which a device is given up."""
ANCHORS = 12
"""Probes that stand in every group: what the drift of passes is told by."""
MEMORY_SHARE = 0.25
"""Of a device's memory, for the sessions of one group."""
UNKNOWN_MEMORY_MB = 1024
LONGEST_S = 10.0
"""Of the time between two samples so much counts: a longer one is that of many sessions being opened, or somebody has
stopped us meanwhile."""
PAUSE_S = 0.5
"""After a fault; twice as long after each further one in a row."""

Chain = tuple[Layer, ...]


@dataclass(frozen=True)
class Effort:
    """How sure the figures shall be, and how long that may take."""

    precision_pct: float = 1.0
    """Half-width of the 95 % interval of each probe, percent of its time."""
    seconds: float = 90.0
    """Of measuring, by the device's clock, so that a second run finds it spent; each probe gets its first sessions
    however long they take."""


class Workload:
    """Chains of layers by the name of their probe."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self.probes: dict[str, Probe] = {}
        self.chains: dict[str, Chain] = {}
        self.names: list[str] = []
        for chain in chains:
            probe = make_probe(chain)
            self.probes[probe.name], self.chains[probe.name] = probe, chain
            self.names.append(probe.name)

    def whole(self, names: Sequence[str]) -> NDArray[np.int64] | None:
        """Indices of the networks among `names`: chains of more than one layer; None where all or none are."""
        found = np.flatnonzero([len(self.chains[name]) > 1 for name in names])
        return found if 0 < len(found) < len(names) else None

    def anchors(self) -> list[str]:
        """A dozen probes from the smallest to the largest."""
        ranked = sorted(self.probes, key=lambda name: (memory_bytes(self.chains[name]), name))
        places = np.linspace(0, len(ranked) - 1, min(ANCHORS, len(ranked))).round().astype(int)
        return [ranked[place] for place in places]


def memory_bytes(chain: Chain) -> int:
    """About what a session of a chain takes: its weights twice, as packed and as read, and its largest values."""
    weights = sum(layer.params for layer in chain)
    values: int = max(
        max(layer.graph.inputs[0].channels, layer.mid_channels) * layer.height * layer.width
        + layer.output[0] * -(-layer.height // layer.stride) * -(-layer.width // layer.stride)
        for layer in chain
    )
    return 4 * (2 * weights + 2 * values) + (1 << 20)


class Rounds:
    """Rounds on one device for one workload. Whatever is in `samples` before counts: only the rest is measured."""

    def __init__(self, device: Device, workload: Workload, samples: Samples, weights: Path, teller: Teller) -> None:
        self.device = device
        self.workload = workload
        self.samples = samples
        self.weights = weights
        self.teller = teller
        self.remarks: dict[str, float] = {}
        """The largest value of each kind of remark."""
        self._faults = 0
        self._planned = self._taken = 0
        """Slices of the first sessions of all probes, counted once, and those that were taken of them."""
        if isinstance(device, Hosted):
            device.say = teller.say

    def measure(self, effort: Effort) -> None:
        """Measure until every probe is sure enough or the time is up.

        A fault costs the slice in which it happens; it is told, and the device is asked again. Raises `NasError` after
        some faults in a row.
        """
        try:
            self._measure(effort)
        except KeyboardInterrupt:
            raise Interrupted(f"{len(self.samples):,} samples were taken.") from None
        for kind, value in self.remarks.items():
            if line := REMARKS[kind](value):
                self.teller.say(line)

    def _measure(self, effort: Effort) -> None:
        pace, timed = 0.0, False  # seconds of one round, known after the first job
        while wanted := self._wanted(effort):
            left = effort.seconds - self._spent()
            fresh = {name: n for name, n in wanted.items() if self.samples.sessions(name) < LEAST_SESSIONS}
            if left <= 0 and not fresh:
                break
            rounds = min(MOST_ROUNDS, max(wanted.values()), max(1, int(left / pace)) if pace else 1)
            if fresh:
                rounds = max(fresh.values())
            started = time.monotonic()
            self._job(fresh if left <= 0 else wanted, rounds, None if fresh else effort.seconds - left, effort.seconds)
            pace, timed = (time.monotonic() - started) / rounds, not fresh
        if timed:  # sure enough before the time is up, as a rule: its line is over
            self.teller.progress(int(effort.seconds), int(effort.seconds), "seconds")

    def _spent(self) -> float:
        """Seconds that the samples of these probes took, by the device's clock; pauses do not count."""
        spent, last = 0.0, (-1, 0.0)
        for number, sample in self.samples.of(self.workload.probes):
            before = last[1] if last[0] == number else 0.0
            spent += min(max(0.0, sample.at_s - before), LONGEST_S)
            last = number, max(before, sample.at_s)
        return spent

    def _done(self, names: Iterable[str]) -> int:
        return sum(map(self.samples.sessions, names))

    def _wanted(self, effort: Effort) -> dict[str, int]:
        """Probes that are not sure enough, and about how many sessions each still needs."""
        sessions = {name: self.samples.sessions(name) for name in self.workload.probes}
        wanted = {name: LEAST_SESSIONS - n for name, n in sessions.items() if n < LEAST_SESSIONS}
        known = [name for name in sessions if name not in wanted]
        return wanted | (
            _still(estimate(self.samples.slices(known), self.workload.whole(known)), effort) if known else {}
        )

    def _groups(self, wanted: list[str], seed: int) -> list[list[str]]:
        """The groups of one round: they fit the device's memory, and every one has the anchors."""
        capacity = MEMORY_SHARE * ((self._memory_mb() or UNKNOWN_MEMORY_MB) << 20)
        anchors = self.workload.anchors()
        base = sum(memory_bytes(self.workload.chains[name]) for name in anchors)
        groups: list[list[str]] = []
        filled = float("inf")
        for index in np.random.default_rng(seed).permutation(len(wanted)):
            size = memory_bytes(self.workload.chains[wanted[index]])
            if filled + size > capacity:
                groups.append([])
                filled = base
            groups[-1].append(wanted[index])
            filled += size
        return [list(dict.fromkeys([*group, *anchors])) for group in groups]

    def _memory_mb(self) -> int | None:
        while True:
            try:
                return self.device.info.memory_mb
            except Fault as fault:
                self._note(fault)

    def _job(self, wanted: Mapping[str, int], rounds: int, spent: float | None, seconds: float) -> None:
        """So many sessions more of each wanted probe, at most `rounds`, in one job: warm memory is used again.

        How many first sessions there are is known, so that their slices are what is told; how many are wanted after
        them is not, and what is told is the time, of which so much was `spent` before.
        """
        number, before = self.samples.next_round, self._done(wanted)
        seed = number + 10_000 * self._faults  # after a fault in another order: one bad probe need not be the first
        groups = [
            group
            for turn in range(rounds)
            for group in self._groups([name for name, more in wanted.items() if more > turn], seed + turn)
        ]
        if spent is None:
            self._planned = self._planned or PASSES * sum(map(len, groups))
            self.teller.progress(min(self._taken, self._planned), self._planned, "slices")
        probes = tuple(tuple(map(self.workload.probes.__getitem__, group)) for group in groups)
        try:
            for item in self.device.measure(Plan(probes, self.weights, PASSES, RUNS, seed, INPUT_SLICE)):
                if isinstance(item, Remark):
                    self.remarks[item.kind] = max(self.remarks.get(item.kind, 0.0), item.value)
                    continue
                self._keep(number, item)
                if spent is None:
                    self._taken += 1
                    self.teller.progress(min(self._taken, self._planned), self._planned, "slices")
                else:
                    self.teller.progress(int(min(spent + item.at_s, seconds)), int(seconds), "seconds")
            if self._done(wanted) == before:
                raise Fault("the device ended its job and measured nothing that it was asked for.")
        except Fault as fault:
            if self._done(wanted) > before:
                self._faults = 0
            self._note(fault)
        else:
            self._faults = 0

    def _keep(self, number: int, sample: Sample) -> None:
        """Add a sample. Raises `NasError` where it cannot be written; what is cut off in the file is left out later."""
        try:
            self.samples.add(number, sample)
        except OSError as problem:
            with suppress(OSError):
                self.samples.close()
            raise NasError(
                f"{self.samples.path}: {problem.strerror}. "
                f"{len(self.samples):,} samples are kept: make room and run the same command to go on."
            ) from None

    def _note(self, fault: Fault) -> None:
        """Tell a fault, let go of the device and wait. Raises `NasError` where it is one too many."""
        self._faults += 1
        if isinstance(self.device, Lasting):
            self.device.reset()
        else:
            self.device.close()
        if self._faults >= FAULTS_IN_A_ROW:
            raise NasError(
                f"The device failed {self._faults} times in a row, last: {fault} "
                f"{len(self.samples):,} samples are kept: run the same command to go on."
            )
        self.teller.say(f"fault {self._faults}: {fault} Asking again.")
        time.sleep(PAUSE_S * 2 ** (self._faults - 1))


def _still(found: Estimates, effort: Effort) -> dict[str, int]:
    relative = 100 * found.halfwidth / found.ms
    t = np.asarray(stats.t.ppf((1 + CONFIDENCE) / 2, found.sessions - 1))
    needed = np.ceil(found.sessions * (relative / effort.precision_pct) ** 2 * (1.96 / t) ** 2)
    more = np.clip(needed, found.sessions + 1, MOST_SESSIONS) - found.sessions
    unsure = (relative > effort.precision_pct) & (found.sessions < MOST_SESSIONS)
    return {found.names[index]: int(more[index]) for index in np.flatnonzero(unsure)}


REMARKS: Mapping[str, Callable[[float], str]] = {
    "load": lambda share: f"other processes used {share:.0%} of the processors" if share > 0.15 else "",
    "stolen": lambda share: f"a hypervisor took {share:.0%} of the processors" if share > 0.05 else "",
    "throttled": lambda times: f"the processor slowed down for its heat {times:.0f} times" if times else "",
}
"""What is told of a remark; nothing where it is small."""

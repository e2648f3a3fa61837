"""Rounds on a device that follows a script: what goes wrong is told, and nothing measured is lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Act, Scripted, faults_at, small_chains
from tellers import Said

from nas.devices.device import DeviceInfo, Fault, Plan, Remark, Sample
from nas.devices.hosted import Hosted, Runner
from nas.devices.transport import Local, Transport
from nas.errors import Interrupted, NasError
from nas.profiler import rounds as module
from nas.profiler.estimate import estimate
from nas.profiler.rounds import (
    ANCHORS,
    LEAST_SESSIONS,
    MEMORY_SHARE,
    MOST_SESSIONS,
    PASSES,
    UNKNOWN_MEMORY_MB,
    Effort,
    Rounds,
    Workload,
    memory_bytes,
)
from nas.profiler.samples import Samples, read_samples
from nas.space.load import load_space

LOOSE = Effort(precision_pct=50.0, seconds=1e6)
"""Satisfied by the first sessions."""
WORKLOAD = Workload(small_chains(20))


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in seconds; nobody waits for them."""
    made: list[float] = []
    monkeypatch.setattr(module.time, "sleep", made.append)
    return made


@pytest.fixture
def measure(tmp_path: Path, weights: Path) -> Iterator[Callable[..., Samples]]:
    """Rounds of a device for a workload, on the samples in `tmp_path`; returns these."""
    opened: list[Samples] = []

    def run(
        device: Scripted, effort: Effort = LOOSE, workload: Workload = WORKLOAD, teller: Said | None = None
    ) -> Samples:
        for samples in opened:
            samples.close()
        opened.append(Samples(tmp_path / "samples.jsonl"))
        Rounds(device, workload, opened[-1], weights, teller or Said()).measure(effort)
        return opened[-1]

    yield run
    for samples in opened:
        samples.close()


def kept(tmp_path: Path) -> list[Sample]:
    """What is on disk."""
    return [sample for _, sample in read_samples(tmp_path / "samples.jsonl")[0]]


def test_every_probe_is_measured_and_as_sure_as_asked(measure: Callable[..., Samples]) -> None:
    device, teller = Scripted(), Said()
    samples = measure(device, Effort(0.7, 1e6), teller=teller)
    found = estimate(samples.slices(WORKLOAD.probes))
    assert (found.sessions >= LEAST_SESSIONS).all()
    assert (found.halfwidth <= 0.007 * found.ms).all()
    assert found.sessions.max() < MOST_SESSIONS
    assert teller.lines == []
    for plan in device.plans:
        assert (plan.passes, plan.runs) == (PASSES, module.RUNS)
    assert len({plan.seed for plan in device.plans}) == len(device.plans)  # no two are shuffled alike


def test_noisy_probes_get_more_sessions_than_quiet_ones(measure: Callable[..., Samples]) -> None:
    """Half of the probes vary by 4 % between sessions, the others by 0.1 %; nobody needs 60 sessions of those."""
    names = list(WORKLOAD.probes)
    noisy, quiet = set(names[:10]), set(names[10:])
    session_factor: dict[str, float] = {}
    rng = np.random.default_rng(0)

    def vary(number: int, sample: Sample) -> Sample:
        deviation = 0.04 if sample.probe in noisy else 0.001
        factor = session_factor.setdefault(sample.session, float(np.exp(deviation * rng.standard_normal())))
        return replace(sample, ns=(1e6 * factor,) * 3)

    device = Scripted(vary)
    samples = measure(device, Effort(1.5, 1e6))
    anchors = set(WORKLOAD.anchors())
    sessions = {name: samples.sessions(name) for name in names}
    assert {sessions[name] for name in quiet - anchors} == {LEAST_SESSIONS}
    assert np.mean([sessions[name] for name in noisy - anchors]) > 10
    for group in (group for plan in device.plans[1:] for group in plan.groups):
        assert not {probe.name for probe in group} & (quiet - anchors)


NOT_AN_ANCHOR = next(name for name in WORKLOAD.probes if name not in WORKLOAD.anchors())


def test_a_hopeless_probe_is_left_at_last(measure: Callable[..., Samples]) -> None:
    session_ms: dict[str, float] = {}
    rng = np.random.default_rng(0)

    def vary(number: int, sample: Sample) -> Sample:
        if sample.probe == NOT_AN_ANCHOR:
            return replace(sample, ns=(session_ms.setdefault(sample.session, 1e6 * rng.uniform(0.1, 10)),))
        return sample

    samples = measure(Scripted(vary), Effort(2.0, 1e6))
    assert MOST_SESSIONS <= samples.sessions(NOT_AN_ANCHOR) < MOST_SESSIONS + module.MOST_ROUNDS


def test_faults_are_told_and_nothing_is_lost(
    measure: Callable[..., Samples], tmp_path: Path, pauses: list[float]
) -> None:
    device, teller = Scripted(faults_at(5, 70, 71)), Said()
    samples = measure(device, teller=teller)
    assert [samples.sessions(name) >= LEAST_SESSIONS for name in WORKLOAD.probes] == [True] * 20
    assert kept(tmp_path) == device.given
    told = [line for line in teller.lines if "unplugged" in line]
    assert told == teller.lines
    assert [re.search(r"sample (\d+)\.", line)[1] for line in told] == ["5", "70", "71"]  # type: ignore[index]
    assert told[0].startswith("fault 1: ")
    assert told[2].startswith("fault 2: ")  # in a row: 71 is the first of its job
    assert device.closed == 3
    assert len(device.plans) == 4
    assert pauses == [0.5, 0.5, 1.0]


@settings(max_examples=30, deadline=None)
@given(at=st.sets(st.integers(1, 260), max_size=25))
def test_whatever_fails_what_was_given_is_kept(
    at: set[int], weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rounds") / "samples.jsonl"
    device, teller, samples = Scripted(faults_at(*at)), Said(), Samples(path)
    ended = ""
    try:
        Rounds(device, WORKLOAD, samples, weights, teller).measure(LOOSE)
    except NasError as problem:
        ended = str(problem)
    if ended:
        assert any({n, n + 1, n + 2, n + 3} <= at for n in at)
        assert f"{len(device.given)} samples were taken" in ended
    else:
        assert min(map(samples.sessions, WORKLOAD.probes)) >= LEAST_SESSIONS
        assert len(teller.lines) == sum(n <= device.taken for n in at)
    samples.close()
    assert [sample for _, sample in read_samples(path)[0]] == device.given


def test_a_device_that_only_fails_is_given_up(
    measure: Callable[..., Samples], tmp_path: Path, pauses: list[float]
) -> None:
    def dies(number: int, sample: Sample) -> Sample:
        if number > 30:
            raise Fault("no such device.")
        return sample

    device, teller = Scripted(dies), Said()
    with pytest.raises(NasError) as caught:
        measure(device, teller=teller)
    assert str(caught.value) == (
        "The device failed 4 times in a row, last: no such device. 30 samples are kept: run the same command to go on."
    )
    assert not isinstance(caught.value, Fault)
    assert len(device.plans) == device.closed == 4
    assert len(teller.lines) == 3
    assert pauses == [0.5, 1.0, 2.0]
    assert kept(tmp_path) == device.given
    assert len(device.given) == 30


def test_a_device_that_ends_without_a_word_is_given_up(measure: Callable[..., Samples]) -> None:
    device = Scripted(lambda number, sample: None)
    with pytest.raises(NasError, match=r"failed 4 times in a row, .*measured nothing"):
        measure(device)
    assert len(device.plans) == 4


def one_fails(number: int, sample: Sample) -> Sample:
    if sample.probe == NOT_AN_ANCHOR:
        raise Fault("out of memory.")
    return sample


def one_is_left_out(number: int, sample: Sample) -> Sample | None:
    return None if sample.probe == NOT_AN_ANCHOR else sample


def one_computes_something_else_each_time(number: int, sample: Sample) -> Sample:
    return replace(sample, checksum=float(number)) if sample.probe == NOT_AN_ANCHOR else sample


@pytest.mark.parametrize("act", [one_fails, one_is_left_out, one_computes_something_else_each_time])
@pytest.mark.parametrize("seconds", [0.0, 1e6])
def test_one_probe_that_cannot_be_measured_ends_it(
    act: Act, seconds: float, measure: Callable[..., Samples], tmp_path: Path
) -> None:
    """The anchors that are measured beside it, again and again, are no progress; the others are measured and kept."""
    device = Scripted(act)
    with pytest.raises(NasError, match="4 times in a row"):
        measure(device, replace(LOOSE, seconds=seconds))
    sessions = Counter(sample.probe for sample in {(s.probe, s.session): s for s in kept(tmp_path)}.values())
    assert sum(sessions[name] >= LEAST_SESSIONS for name in WORKLOAD.probes) >= 15  # of 19: one may stand behind it
    assert set(kept(tmp_path)) <= set(device.given)
    assert sessions[NOT_AN_ANCHOR] <= 1


def test_a_wrong_checksum_is_told_and_measured_again(measure: Callable[..., Samples], tmp_path: Path) -> None:
    def lies_once(number: int, sample: Sample) -> Sample:
        return replace(sample, checksum=0.5) if number == 20 * PASSES + 5 else sample  # of the second round

    device, teller = Scripted(lies_once), Said()
    samples = measure(device, teller=teller)
    assert len(teller.lines) == 1
    assert "a model computed 0.5 instead of 1: that device cannot be trusted" in teller.lines[0]
    assert {sample.checksum for sample in kept(tmp_path)} == {1.0}
    assert len(kept(tmp_path)) == len(device.given) - 1
    assert all(samples.sessions(name) >= LEAST_SESSIONS for name in WORKLOAD.probes)


def test_interrupted_it_says_what_is_kept(measure: Callable[..., Samples], tmp_path: Path) -> None:
    def stop(number: int, sample: Sample) -> Sample:
        if number == 42:
            raise KeyboardInterrupt
        return sample

    device = Scripted(stop)
    with pytest.raises(Interrupted, match="41 samples were taken"):
        measure(device)
    assert kept(tmp_path) == device.given
    assert len(device.given) == 41


@pytest.mark.parametrize("stopped_at", [1, 7 * PASSES, 20 * PASSES - 1, 20 * PASSES + 1, 50 * PASSES + 2])
def test_gone_on_with_only_the_rest_is_measured(
    stopped_at: int, measure: Callable[..., Samples], tmp_path: Path
) -> None:
    def stop(number: int, sample: Sample) -> Sample:
        if number == stopped_at:
            raise KeyboardInterrupt
        return sample

    first = Scripted(stop)
    with pytest.raises(Interrupted):
        measure(first)
    had = Counter(probe for probe, _ in {(s.probe, s.session) for s in kept(tmp_path)})
    second = Scripted()
    samples = measure(second)
    assert kept(tmp_path) == first.given + second.given
    assert (len(second.plans) > 0) == any(had[name] < LEAST_SESSIONS for name in WORKLOAD.probes)
    anchors = set(WORKLOAD.anchors())
    asked = Counter(probe.name for plan in second.plans for group in plan.groups for probe in group)
    for name in WORKLOAD.probes:
        assert samples.sessions(name) >= LEAST_SESSIONS
        if had[name] >= LEAST_SESSIONS and name not in anchors:
            assert asked[name] == 0
    third = Scripted()
    measure(third)
    assert third.plans == []


class Clock:
    """Of a device that takes `slice_s` for each slice after `before_s`, and of the host beside it."""

    def __init__(self, slice_s: float, before_s: float = 0.0) -> None:
        self.now = 0.0
        self.slice_s = slice_s
        self.before_s = before_s
        self.began = 0.0
        self.device = Scripted(self.act)
        self.measured = self.device.measure
        self.device.measure = self.measure  # type: ignore[method-assign]
        self.rng = np.random.default_rng(0)

    def measure(self, plan: Plan) -> Iterator[Sample | Remark]:
        self.now += self.before_s
        self.began = self.now
        yield from self.measured(plan)

    def act(self, number: int, sample: Sample) -> Sample:
        at_s = self.now - self.began
        self.now += self.slice_s
        return replace(sample, at_s=at_s, ns=(1e6 * self.rng.uniform(0.1, 10),))  # never sure enough


def test_a_pause_is_no_time_of_measuring(
    measure: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Clock(slice_s=0.05)
    usual = clock.device.act

    def paused(number: int, sample: Sample) -> Sample | Remark | None:
        clock.now += 500.0 if number == 50 else 0.0
        return usual(number, sample)

    clock.device.act = paused
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    measure(clock.device, Effort(1.0, seconds=60.0))
    assert clock.now - 500.0 >= 60.0 - module.LONGEST_S


def test_the_time_is_kept(measure: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = Clock(slice_s=0.05)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    measure(clock.device, Effort(1.0, seconds=30.0))
    one_round = 0.05 * PASSES * (len(WORKLOAD.probes) + 2 * ANCHORS)
    assert 30 <= clock.now < 30 + one_round
    assert len(clock.device.plans) > 1


def test_the_first_sessions_are_taken_however_long_they_take(
    measure: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(slice_s=10.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    samples = measure(clock.device, Effort(1.0, seconds=0.0))
    anchors = WORKLOAD.anchors()
    assert {samples.sessions(name) for name in WORKLOAD.probes if name not in anchors} == {LEAST_SESSIONS}
    assert len(clock.device.plans) == 1


def test_when_the_time_was_up_a_second_run_measures_nothing(
    measure: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although sessions take a while to be opened, of which samples say nothing; with more time it goes on."""
    clock = Clock(slice_s=0.05, before_s=2.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    measure(clock.device, Effort(1.0, seconds=30.0))
    plans = len(clock.device.plans)
    assert plans > 1
    measure(clock.device, Effort(1.0, seconds=30.0))
    assert len(clock.device.plans) == plans
    measure(clock.device, Effort(1.0, seconds=60.0))
    assert len(clock.device.plans) > plans


@pytest.mark.parametrize("memory_mb", [None, 512, 2048, 1 << 16])
def test_groups_fit_the_memory_and_have_the_anchors(
    memory_mb: int | None, measure: Callable[..., Samples], weights: Path
) -> None:
    workload = Workload([(layer,) for layer in load_space("mobile").layers()])
    device = Scripted(lambda number, sample: None, memory_mb=memory_mb)
    with pytest.raises(NasError):
        measure(device, workload=workload)
    anchors, size = set(workload.anchors()), {name: memory_bytes(chain) for name, chain in workload.chains.items()}
    assert len(anchors) == ANCHORS
    share = MEMORY_SHARE * 2**20 * (memory_mb or UNKNOWN_MEMORY_MB)
    plan = device.plans[0]
    groups = [[probe.name for probe in group] for group in plan.groups]
    for group in groups:
        assert len(set(group)) == len(group)
        assert anchors <= set(group)
        assert sum(size[name] for name in group) <= share or len(set(group) - anchors) <= 1
    asked = Counter(name for group in groups for name in group)
    assert {asked[name] for name in workload.probes if name not in anchors} == {LEAST_SESSIONS}  # once a round
    assert set(asked) == set(workload.probes)
    assert (len(groups) == LEAST_SESSIONS) == (memory_mb == 1 << 16)  # everything at once where there is room
    assert groups[0] != groups[-1]


def test_anchors_are_from_the_smallest_to_the_largest() -> None:
    sizes = sorted(memory_bytes(chain) for chain in WORKLOAD.chains.values())
    anchors = [memory_bytes(WORKLOAD.chains[name]) for name in WORKLOAD.anchors()]
    assert anchors == sorted(anchors)
    assert (anchors[0], anchors[-1], len(set(WORKLOAD.anchors()))) == (sizes[0], sizes[-1], ANCHORS)
    assert Workload(small_chains(3)).anchors() == list(Workload(small_chains(3)).probes)
    assert len(Workload(small_chains(1)).anchors()) == 1


def test_memory_by_hand() -> None:
    (chain,) = small_chains(1)  # 4 channels to 1, kernel 3, 8 x 8
    weights, values = 4 * 9 + 2, 4 * 64 + 64
    assert memory_bytes(chain) == 4 * (2 * weights + 2 * values) + 2**20


def test_a_probe_that_is_given_twice_is_measured_once(measure: Callable[..., Samples]) -> None:
    chains = small_chains(3)
    workload = Workload([*chains, chains[1]])
    assert len(workload.probes) == 3
    assert workload.names[3] == workload.names[1]
    samples = measure(Scripted(), workload=workload)
    assert len(samples) == 3 * LEAST_SESSIONS * PASSES


def test_what_disturbed_is_told_where_it_is_much(measure: Callable[..., Samples]) -> None:
    def remark(number: int, sample: Sample) -> Sample | Remark:
        remarks = {3: Remark("load", 0.5), 4: Remark("load", 0.2), 5: Remark("stolen", 0.01), 6: Remark("throttled", 2)}
        return remarks.get(number, sample)

    teller = Said()
    measure(Scripted(remark), teller=teller)
    assert teller.lines == [
        "other processes used 50% of the processors",
        "the processor slowed down for its heat 2 times",
    ]


class Shy(Scripted):
    """Does not say what it is when asked at first."""

    def __init__(self, silences: int) -> None:
        self.silences = silences
        super().__init__()

    @property
    def info(self) -> DeviceInfo:
        self.silences -= 1
        if self.silences >= 0:
            raise Fault("does not answer.")
        return self.inner.info

    @info.setter
    def info(self, info: DeviceInfo) -> None:
        pass


def test_a_device_that_does_not_say_what_it_is_is_asked_again(measure: Callable[..., Samples]) -> None:
    teller = Said()
    samples = measure(Shy(3), teller=teller)
    assert teller.lines == [f"fault {n}: does not answer. Asking again." for n in (1, 2, 3)]
    assert min(map(samples.sessions, WORKLOAD.probes)) >= LEAST_SESSIONS
    silent = Shy(1_000)
    with pytest.raises(NasError, match="4 times in a row"):
        measure(silent, replace(LOOSE, precision_pct=0.1))
    assert silent.silences == 996


class Board:
    """A transport to a device that takes files and says nothing."""

    def put(self, files: Mapping[str, bytes | Path]) -> None:
        """Nothing."""

    def run(self, argv: Sequence[str], silence_s: float) -> Iterator[str]:
        return iter(())

    def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("transport", "told"), [(Board, ["21 files, 32 MB, are sent to the device, once"]), (Local, [])]
)
def test_what_is_sent_to_a_board_is_told_once(
    transport: Callable[[], Transport], told: list[str], weights: Path, tmp_path: Path
) -> None:
    device, teller = Hosted(transport, Runner(("true",), {})), Said()
    samples = Samples(tmp_path / "samples.jsonl")
    Rounds(device, WORKLOAD, samples, weights, teller)
    samples.close()
    for _ in range(2):
        with pytest.raises(Fault, match="in the middle of its job"):
            list(device.measure(Plan((tuple(WORKLOAD.probes.values()),), weights, PASSES, 2, 0, (0, 1))))
    device.close()
    assert teller.lines == told

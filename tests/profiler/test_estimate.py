"""Estimates of made-up slices, whose true times are known."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator
from numpy.typing import NDArray

from nas.profiler import estimate as module
from nas.profiler.estimate import estimate, quantiles
from nas.profiler.samples import Slices

PASSES = 3
ANCHORS = 8


def measured(
    rng: Generator,
    probes: int = 40,
    rounds: int = 6,
    groups: int = 5,
    placement: float = 0.02,
    drift: float = 0.0,
    disturbance: float = 0.005,
) -> tuple[Slices, NDArray[np.float64]]:
    """Slices as rounds give them, and the true ms of the probes.

    A session's factor is log-normal with deviation `placement`, a pass's is uniform within ± `drift`; a slice is
    disturbed by an exponential amount, always to the worse. A round has its probes in shuffled groups, the first
    `ANCHORS` of them in each group.
    """
    truth = np.exp(rng.uniform(np.log(0.05), np.log(20), probes))
    rows: list[tuple[int, int, int, float]] = []
    session = passed = 0
    for _ in range(rounds):
        others = rng.permutation(np.arange(ANCHORS, probes))
        for group in np.array_split(others, groups):
            members = [*range(ANCHORS), *group.tolist()]
            paces = 1 + drift * rng.uniform(-1, 1, PASSES)
            for probe in members:
                usual = truth[probe] * np.exp(placement * rng.standard_normal())
                for turn in range(PASSES):
                    ms = usual * paces[turn] * (1 + disturbance * rng.exponential())
                    rows.append((probe, session, passed + turn, ms))
                session += 1
            passed += PASSES
    probe_, session_, passed_, ms_ = (np.array(column) for column in zip(*rows, strict=True))
    return Slices(tuple(map(str, range(probes))), probe_, session_, passed_, ms_), truth


def plain(slices: Slices) -> NDArray[np.float64]:
    """The estimate without any correction, as one would write it down."""
    ms = []
    for probe in range(len(slices.names)):
        sessions = np.unique(slices.session[slices.probe == probe])
        ms.append(np.mean([np.exp(np.quantile(np.log(slices.ms[slices.session == s]), 0.25)) for s in sessions]))
    return np.array(ms)


def error_pct(ms: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Mean error, percent, up to a common factor, which no passes among themselves can tell."""
    ratio = ms / truth
    return float(100 * np.abs(ratio / np.median(ratio) - 1).mean())


def test_drift_is_taken_out_and_the_error_falls() -> None:
    before, after = [], []
    for seed in range(8):
        slices, truth = measured(np.random.default_rng(seed), drift=0.1, placement=0.01)
        found = estimate(slices)
        assert found.corrected
        assert 10 < found.drift_pct < 22  # 5th to 95th percentile of a range of 20
        before.append(error_pct(plain(slices), truth))
        after.append(error_pct(found.ms, truth))
        steady, _ = measured(np.random.default_rng(seed), placement=0.01)
        assert error_pct(found.ms, truth) < 1.5 * error_pct(plain(steady), truth)
    assert np.mean(after) < 0.6 * np.mean(before)


def test_without_drift_nothing_is_lost() -> None:
    before, after, used = [], [], 0
    for seed in range(8):
        slices, truth = measured(np.random.default_rng(100 + seed))
        found = estimate(slices)
        used += found.corrected
        if not found.corrected:
            np.testing.assert_allclose(found.ms, plain(slices), rtol=1e-12)
        assert found.drift_pct < 3
        before.append(error_pct(plain(slices), truth))
        after.append(error_pct(found.ms, truth))
    assert np.mean(after) < 1.1 * np.mean(before)


def test_intervals_hold_what_they_promise() -> None:
    """95 %, of sessions that differ by 2 %; without disturbances, which shift all slices to one side."""
    inside = []
    for seed in range(60):
        slices, truth = measured(np.random.default_rng(seed), rounds=5, disturbance=0.0)
        found = estimate(slices)
        others = found.sessions == 5  # not the anchors, which have 25
        inside += (np.abs(found.ms - truth) <= found.halfwidth)[others].tolist()
        anchors = np.abs(found.ms / truth - 1)[~others]
        assert anchors.max() < 0.02  # 0.4 % is one standard error
    assert len(inside) == 60 * 32
    assert 0.93 < np.mean(inside) < 0.975  # one standard error of the share: 0.5 %


def test_more_sessions_make_narrower_intervals() -> None:
    few, many = (estimate(measured(np.random.default_rng(0), rounds=n)[0]).halfwidth.mean() for n in (4, 16))
    assert many < 0.5 * few * 1.2


def slices_of(*sessions: tuple[int, list[float]]) -> Slices:
    """Sessions of probes: the number of the probe and the ms of each pass; the passes of each session are its own."""
    rows = [
        (probe, number, 100 * number + turn, ms)
        for number, (probe, values) in enumerate(sessions)
        for turn, ms in enumerate(values)
    ]
    probe_, session_, passed, ms_ = (np.array(column) for column in zip(*rows, strict=True))
    numbered = np.unique(passed, return_inverse=True)[1]
    return Slices(tuple(map(str, range(int(probe_.max()) + 1))), probe_, session_, numbered, ms_)


def test_identical_sessions_leave_no_doubt() -> None:
    values = [1.0, 1.5, 1.25]
    found = estimate(slices_of(*[(0, values)] * 4, *[(1, [2.0, 2.0, 2.0])] * 3))
    assert found.split_half_pct == 0
    assert found.halfwidth.tolist() == [0, 0]
    assert not found.corrected
    # the lower quartile of three is half-way between the first two, of their logarithms
    np.testing.assert_allclose(found.ms, [np.sqrt(1.0 * 1.25), 2.0])
    assert found.sessions.tolist() == [4, 3]
    assert found.slices.tolist() == [12, 9]


def test_figures_by_hand() -> None:
    """Two sessions of 1 ms and 3 ms: mean 2, standard error 1, and t of one degree of freedom is 12.706."""
    found = estimate(slices_of((0, [1.0]), (0, [3.0])))
    assert found.ms[0] == pytest.approx(2)
    assert found.halfwidth[0] == pytest.approx(12.706, abs=1e-3)
    assert found.split_half_pct == pytest.approx(100 * (1 - 1 / 3))  # of 1 over 3


def test_halves_are_every_other_session() -> None:
    found = estimate(slices_of((0, [1.0]), (0, [2.0]), (0, [1.0]), (0, [2.0])))
    assert found.split_half_pct == pytest.approx(50)
    only = estimate(slices_of((0, [1.0]), (0, [2.0]), (1, [5.0]), (1, [5.0])), networks=np.array([1]))
    assert only.split_half_pct == 0


def test_one_session_tells_nothing_of_its_own_error() -> None:
    found = estimate(slices_of((0, [1.0, 1.1]), (1, [2.0]), (1, [2.2])))
    assert np.isposinf(found.halfwidth[0])
    assert np.isfinite(found.halfwidth[1])
    alone = estimate(slices_of((0, [1.0, 1.1, 1.2])))
    assert np.isnan(alone.split_half_pct)
    assert np.isposinf(alone.halfwidth).all()


def test_one_disturbed_slice_does_not_matter() -> None:
    """One of the three slices of every session takes ten times as long: the quartile leaves it out."""
    rng = np.random.default_rng(3)
    slices, _ = measured(rng, disturbance=0.0)
    disturbed = slices.ms.reshape(-1, PASSES).copy()
    disturbed[np.arange(len(disturbed)), rng.integers(PASSES, size=len(disturbed))] *= 10
    found = estimate(replace(slices, ms=disturbed.ravel()))
    assert error_pct(found.ms, plain(slices)) < 0.5


def test_a_pass_of_few_slices_does_not_tell_its_drift() -> None:
    """Else what one session differs by would be taken for the drift of its pass, and nothing would be left of it."""
    rng = np.random.default_rng(0)
    for probes in (1, 2, 4):
        pace = np.exp(0.02 * rng.standard_normal(60))
        sessions = [(number % probes, [factor, factor]) for number, factor in enumerate(pace)]
        found = estimate(slices_of(*sessions))
        assert not found.corrected
        expected = [1.96 * 0.02 / np.sqrt(60 / probes)] * probes
        np.testing.assert_allclose(found.halfwidth, expected, rtol=0.45)


def test_indices_by_name() -> None:
    slices, _ = measured(np.random.default_rng(0), probes=12, rounds=2, groups=1)
    assert estimate(slices).of(["7", "0", "7"]).tolist() == [7, 0, 7]


@settings(max_examples=80, deadline=None)
@given(
    groups=st.lists(st.lists(st.floats(0.001, 1000), min_size=1, max_size=9), min_size=1, max_size=7),
    share=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 99),
)
def test_grouped_quantiles_are_those_of_numpy(groups: list[list[float]], share: float, seed: int) -> None:
    ms = np.array([value for values in groups for value in values])
    owner = np.repeat(np.arange(len(groups)), [len(values) for values in groups])
    order = np.random.default_rng(seed).permutation(len(ms))
    slices = Slices(tuple(map(str, range(len(groups)))), owner[order], owner[order], owner[order], ms[order])
    np.testing.assert_allclose(quantiles(slices, share), [np.quantile(values, share) for values in groups])


def lines_run(slices: Slices) -> int:
    """How many lines of nas/profiler/estimate.py an estimate goes through."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != module.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        estimate(slices)
    finally:
        sys.settrace(before)
    return count


def test_no_loop_over_slices() -> None:
    large, _ = measured(np.random.default_rng(0), probes=200, rounds=240, groups=10)
    assert len(large.ms) > 190_000
    small, _ = measured(np.random.default_rng(0), probes=10, rounds=2, groups=1)
    assert lines_run(large) == lines_run(small)
    began = time.process_time()
    estimate(large)
    assert time.process_time() - began < 1


def test_networks_drift_in_their_own_way() -> None:
    """Two kinds of probes whose passes go up and down against each other: one factor for both would help neither."""
    rng = np.random.default_rng(3)
    probes, passes = 40, 24
    drift = np.where(np.arange(probes)[:, None] < 20, 1, -1) * rng.normal(0, 0.05, passes)
    ms = np.exp(drift + rng.normal(0, 0.002, (probes, passes)))
    sessions = np.arange(probes)[:, None] * 6 + np.arange(passes) // 4
    slices = Slices(
        tuple(map(str, range(probes))),
        np.repeat(np.arange(probes), passes),
        sessions.ravel(),
        np.tile(np.arange(passes), probes),
        ms.ravel(),
    )
    apart, together = estimate(slices, np.arange(20, 40)), estimate(slices)
    assert apart.corrected
    assert apart.split_half_pct < 0.3 < 1.5 < together.split_half_pct


def test_what_a_board_of_a_pool_is_slower_is_taken_out() -> None:
    """Probes beside the anchors are measured on one board each, and boards differ by a quarter."""
    slices, truth = measured(np.random.default_rng(5), drift=0.02)
    paces = np.array([0.9, 1.0, 1.15])
    home = np.arange(len(slices.names)) % 3
    board = home[slices.probe]
    anchor = slices.probe < ANCHORS
    board[anchor] = slices.passed[anchor] // PASSES % 3  # each group is of one board
    mixed = replace(slices, ms=slices.ms * paces[board])
    unaware = estimate(mixed)
    found = estimate(replace(mixed, board=board, boards=("a", "b", "c")))
    assert np.abs(found.ms / truth - 1).mean() < 0.02
    assert np.abs(unaware.ms / truth - 1).mean() > 2 * np.abs(found.ms / truth - 1).mean()
    assert unaware.paces_pct == {}
    assert list(found.paces_pct) == ["a", "b", "c"]
    np.testing.assert_allclose(list(found.paces_pct.values()), [-10, 0, 15], atol=1.5)


def test_boards_that_share_no_probe_are_left_as_they_are() -> None:
    slices, _ = measured(np.random.default_rng(6), drift=0.0)
    board = slices.probe % 2
    found = estimate(replace(slices, board=board, boards=("a", "b")))
    assert found.paces_pct == {"a": 0.0, "b": 0.0}
    np.testing.assert_array_equal(found.ms, estimate(slices).ms)

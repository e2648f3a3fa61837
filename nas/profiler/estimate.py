"""From slices to milliseconds: one estimator for blocks and networks alike.

A slice counts with its best run. What a whole pass was slower or faster than usual is taken out (drift: frequency,
heat, the neighbours on a shared machine), if that makes halves of the measurement agree better; of whole networks and
of blocks for themselves, since what others do to the caches slows down networks more. A session counts with
the lower quartile of its slices, since what disturbs a slice only ever slows it down; a probe with the mean of
its sessions, since the placement of a session in memory alone moves it by some percent, and both ways.

Of a pool of boards, each has a pace of its own, and times are those of the middle of the boards: the factor of each, by
what it shares with the others, is taken out first and in any case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas.profiler.samples import Slices

CONFIDENCE = 0.95
LEAST_IN_PASS = 5
"""Slices of a pass that tell its drift; fewer tell more of their own sessions than of the pass."""
_SWEEPS = 6


@dataclass(frozen=True)
class Estimates:
    """Of N probes: `ms` and `halfwidth`, the half-width of the 95 % interval over sessions (inf for one session)."""

    names: tuple[str, ...]
    ms: NDArray[np.float64]
    halfwidth: NDArray[np.float64]
    sessions: NDArray[np.int64]
    slices: NDArray[np.int64]
    corrected: bool
    """Whether drift was taken out."""
    drift_pct: float
    """Range of the common factor of a pass, 5th to 95th percentile over slices, in percent."""
    paces_pct: dict[str, float]
    """Of a pool, how much slower than the middle each board is, in percent; it was taken out."""
    halves_ms: NDArray[np.float64]
    """`ms` by halves of the sessions, float64[2, N]: every other one, so that what drifts is part of how far they are
    apart; nan where a probe has a single session."""
    split_half_pct: float
    """Mean absolute difference between these, in percent: what any estimate can be held to."""

    def of(self, names: list[str]) -> NDArray[np.int64]:
        """Indices of these probes."""
        index = {name: number for number, name in enumerate(self.names)}
        return np.array([index[name] for name in names], np.int64)


def estimate(slices: Slices, networks: NDArray[np.int64] | None = None) -> Estimates:
    """Estimates of all probes of `slices`; every one needs a slice.

    `networks` are the indices of those that drift in their own way; the split-half error is theirs, and decides on the
    drift correction. By default all probes are alike.
    """
    logs = np.log(slices.ms)
    paces = _paces(slices, logs)
    if slices.board is not None:
        logs = logs - paces[slices.board]
    which = np.arange(len(slices.names)) if networks is None else networks
    factors = _drift(slices, logs, np.isin(slices.probe, which))
    plain, steady = (_sessions(slices, values) for values in (logs, logs - factors))
    halves = [_halves(slices, found) for found in (plain, steady)]
    errors = [_apart_pct(half[:, which]) for half in halves]
    corrected = bool(errors[1] < errors[0])
    ms, halfwidth, sessions = _over_sessions(slices, steady if corrected else plain)
    low, high = np.quantile(np.exp(factors), [0.05, 0.95]) if len(factors) else (1.0, 1.0)
    return Estimates(
        slices.names,
        ms,
        halfwidth,
        sessions,
        np.bincount(slices.probe, minlength=len(slices.names)),
        corrected,
        float(100 * (high - low)),
        {board: float(100 * np.expm1(pace)) for board, pace in zip(slices.boards, paces, strict=False)},
        halves[corrected],
        errors[corrected],
    )


def _halves(slices: Slices, sessions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ms of every other session of each probe, float64[2, N]."""
    owner, turn = _owners(slices)
    totals, counts = np.zeros((2, 2, len(slices.names)))
    np.add.at(totals, (turn % 2, owner), np.exp(sessions))
    np.add.at(counts, (turn % 2, owner), 1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _apart_pct(halves: NDArray[np.float64]) -> float:
    """Mean over probes of |ms of one half / ms of the other - 1|, percent; nan with single sessions."""
    known = halves[:, ~np.isnan(halves).any(axis=0)]
    return float(100 * np.abs(known[0] / known[1] - 1).mean()) if known.size else float("nan")


def _paces(slices: Slices, logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log factor of each board, float64[B], over the probes that several boards have measured: alternating medians over
    probes and boards, median 0 over boards."""
    if slices.board is None:
        return np.zeros(0)
    sessions = _sessions(slices, logs)
    owner, board = np.zeros((2, len(sessions)), np.int64)
    owner[slices.session], board[slices.session] = slices.probe, slices.board
    totals, counts = np.zeros((2, len(slices.names), len(slices.boards)))
    np.add.at(totals, (owner, board), sessions)
    np.add.at(counts, (owner, board), 1)
    cells = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)[(counts > 0).sum(axis=1) > 1]
    paces, known = np.zeros(len(slices.boards)), ~np.isnan(cells).all(axis=0)
    for _ in range(_SWEEPS if known.any() else 0):
        usual = np.nanmedian(cells - paces, axis=1)
        paces[known] = np.nanmedian(cells[:, known] - usual[:, None], axis=0)
        paces[known] -= np.median(paces[known])
    return paces


def _drift(slices: Slices, logs: NDArray[np.float64], networks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log factor of each slice's pass, for networks and the rest apart: alternating medians over probes and passes
    (Tukey's median polish), median 0 over passes."""
    passes, place = np.unique(2 * slices.passed + networks, return_inverse=True)
    factors, told = np.zeros(len(passes)), np.bincount(place, minlength=len(passes)) >= LEAST_IN_PASS
    for _ in range(_SWEEPS if told.any() else 0):
        usual = _grouped_quantile(logs - factors[place], slices.probe, len(slices.names), 0.5)
        factors = np.where(told, _grouped_quantile(logs - usual[slices.probe], place, len(passes), 0.5), 0.0)
        for kind in (0, 1):
            alike = told & (passes % 2 == kind)
            factors[alike] -= np.median(factors[alike]) if alike.any() else 0.0
    return factors[place]


def _grouped_quantile(
    values: NDArray[np.float64], groups: NDArray[np.int64], count: int, share: float
) -> NDArray[np.float64]:
    """That quantile of the values of each group 0..count-1, none of them empty."""
    order = np.lexsort((values, groups))
    ranked = values[order]
    sizes = np.bincount(groups, minlength=count)
    place = share * (sizes - 1)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    low = np.floor(place).astype(np.int64)
    high = np.ceil(place).astype(np.int64)
    result: NDArray[np.float64] = ranked[first + low] + (place - low) * (ranked[first + high] - ranked[first + low])
    return result


def _sessions(slices: Slices, logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log ms of each session: the lower quartile of its slices."""
    return _grouped_quantile(logs, slices.session, int(slices.session.max()) + 1, 0.25)


def _owners(slices: Slices) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Probe of each session, and its number among the sessions of that probe, in order of time."""
    owner = np.zeros(int(slices.session.max()) + 1, np.int64)
    owner[slices.session] = slices.probe
    order = np.argsort(owner, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(slices.names)))])
    turn = np.empty_like(owner)
    turn[order] = np.arange(len(owner)) - first[owner[order]]
    return owner, turn


def _over_sessions(
    slices: Slices, sessions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean ms over sessions, half-width of its interval (Student's t), and the number of sessions."""
    owner, _ = _owners(slices)
    ms, count = np.exp(sessions), np.bincount(owner, minlength=len(slices.names))
    mean = np.bincount(owner, ms, len(slices.names)) / count
    squares = np.bincount(owner, (ms - mean[owner]) ** 2, len(slices.names))
    with np.errstate(divide="ignore", invalid="ignore"):
        width = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * np.sqrt(squares / (count - 1) / count)
    return mean, np.where(count > 1, width, np.inf), count


def quantiles(slices: Slices, share: float) -> NDArray[np.float64]:
    """ms, float64[N]: this quantile of each probe's slices, drift and all."""
    return _grouped_quantile(slices.ms, slices.probe, len(slices.names), share)

"""agreement(): how far an estimator ranked networks as their training did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from nas.runs.raced import AccuracyCheck

LEVEL = 0.9
"""Of the interval. Four networks in the right order are one of 24 orders: at 0.95 nothing could be told of four."""
ENDS = (1e-6, 1e6)


def agreement(estimates: Sequence[float], standing: Sequence[float]) -> AccuracyCheck:
    """Kendall's tau of estimates and of where networks stood in the end (the higher, the better), with its interval.

    Pairs that are equal in either agree and disagree by half. The interval is exact for orders that are the likelier
    the fewer of their pairs disagree (Mallows, Biometrika 44, 1957): of its parameters, those under which what was
    seen is not in either tail.
    """
    n = len(estimates)
    pairs = n * (n - 1) // 2
    if not pairs:
        return AccuracyCheck(finalists=n, kendall_tau=None, low=None, high=None)
    rows, columns = np.triu_indices(n, 1)
    ours, theirs = (np.sign(np.subtract.outer(v, v))[rows, columns] for v in (estimates, standing))
    apart = (pairs - float((ours * theirs).sum())) / 2
    counts, tail = _orders(n), (1 - LEVEL) / 2
    few, many = floor(apart), ceil(apart)

    def tau(spread: float) -> float:
        return 1 - 2 * float(_chances(counts, spread) @ np.arange(pairs + 1)) / pairs

    low = _where(lambda spread: float(_chances(counts, spread)[: many + 1].sum()) - tail)
    high = _where(lambda spread: tail - float(_chances(counts, spread)[few:].sum()))
    return AccuracyCheck(
        finalists=n,
        kendall_tau=1 - 2 * apart / pairs,
        low=-1.0 if many == pairs else tau(low),
        high=1.0 if few == 0 else tau(high),
    )


def _orders(n: int) -> NDArray[np.float64]:
    """How many orders of n things have 0, 1, … pairs the other way round, as shares: `float64[n (n - 1) / 2 + 1]`."""
    shares = np.ones(1)
    for things in range(2, n + 1):
        shares = np.convolve(shares, np.full(things, 1 / things))
    return shares


def _chances(shares: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """Of so many pairs the other way round, each of which makes an order `spread` times as likely."""
    logs = np.log(shares) + np.log(spread) * np.arange(len(shares))
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _where(falling: Callable[[float], float]) -> float:
    """The spread at which a function that falls with it is 0, or the end that it is nearest to."""
    first, last = ENDS
    if falling(first) <= 0:
        return first
    if falling(last) >= 0:
        return last
    return float(np.exp(brentq(lambda log: falling(float(np.exp(log))), np.log(first), np.log(last))))

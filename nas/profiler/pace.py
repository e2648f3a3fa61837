"""Pace: how fast a device is today beside the day of its table, and whether it is quiet enough to be asked.

A table's reference networks are measured beside what is asked about. What they changed by together is taken out of it
where that is beyond doubt and steady. A large change says that something else is at work there, which a network that is
not among the references need not meet: it is taken out only where the network has changed like them, by its table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from nas.profiler.estimate import CONFIDENCE, Estimates
from nas.tables.references import References

MOST_PCT = 10.0
"""Of a change of pace, and of the half-width of a figure: with more of either a device is too busy to be asked."""


@dataclass(frozen=True)
class Pace:
    """What the references tell."""

    factor: float = 1.0
    """What is taken out: how many times longer everything takes than on the day of the table."""
    halfwidth: float = 0.0
    """Half-width of the 95 % interval of that factor for one network more, as a share of it."""
    trouble: str | None = None
    """Why nothing can be told today, as a phrase."""


def pace_of(
    found: Estimates, asked: NDArray[np.int64], by_table_ms: ArrayLike, rows: NDArray[np.int64], references: References
) -> Pace:
    """The pace by the references, which are the `rows` of what was `found`, for those `asked` about.

    Their change is taken out if it is larger than twice its standard error, and lowers the disagreement of halves of
    the sessions: how far references are from the day of the table, each half by what the other says, and how far what
    is asked about is from itself. Two references are the least.
    """
    if len(rows) < 2:
        return Pace()
    usual = np.array(references.ms)
    changes = np.log(found.ms[rows] / usual)
    change, error = float(changes.mean()), float(changes.std(ddof=1) / np.sqrt(len(rows)))
    beyond_doubt = abs(change) > 2 * error
    halves = np.log(found.halves_ms[:, rows] / usual)
    told, apart = halves.mean(axis=1), np.diff(np.log(found.halves_ms[:, asked]), axis=0)
    plain = np.abs(halves).mean() + np.abs(apart).mean()
    steady = np.abs(halves - told[::-1, None]).mean() + np.abs(apart - np.diff(told)).mean() < plain
    own = float(np.log(found.ms[asked] / np.asarray(by_table_ms)).mean())
    percent = 100 * np.expm1(change)
    if beyond_doubt and steady and (abs(percent) <= MOST_PCT or 100 * abs(np.expm1(own - change)) <= MOST_PCT):
        t = stats.t.ppf((1 + CONFIDENCE) / 2, len(rows) - 1)
        return Pace(float(np.exp(change)), float(t * error))
    off = 100 * float(np.expm1(np.abs(changes).mean()))
    if off <= MOST_PCT:
        return Pace()
    how = f"take {abs(percent):.0f} % {'longer' if percent > 0 else 'less'} than" if beyond_doubt else "are not as"
    return Pace(trouble=f"the table's reference networks {how} on its day (each is {off:.0f} % off)")


def too_busy(pace: Pace, share: float, split_half_pct: float) -> str | None:
    """Why figures are not to be believed, as a phrase; None where they are.

    `share` is the half-width of their 95 % interval over them, `split_half_pct` what their halves differ by.
    """
    if pace.trouble is not None:
        return pace.trouble
    if 100 * share > MOST_PCT:
        return f"its time is sure to ± {100 * share:.0f} % only"
    if split_half_pct > MOST_PCT:
        return f"halves of the measurement differ by {split_half_pct:.0f} %"
    return None

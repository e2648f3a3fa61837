"""The pace of a device by made-up measurements of its references: what is taken out, and when it is too busy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from nas.profiler.estimate import Estimates
from nas.profiler.pace import Pace, pace_of, too_busy
from nas.tables.references import References

DAY = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0])
"""ms of eight references on the day of the table; the network that is asked about took 4."""
NOISE = 0.004 * np.array([1, -1, 1, 1, -1, -1, 1, -1])


def pace(first: ArrayLike, second: ArrayLike, own: tuple[float, float]) -> Pace:
    """Times today over those on the day, of the references and of the network, in each half of the sessions."""
    halves = np.array([[*(DAY * half), 4 * mine] for half, mine in zip((first, second), own, strict=True)])
    nothing: NDArray[np.int64] = np.zeros(9, np.int64)
    found = Estimates(
        tuple("abcdefghi"), halves.mean(axis=0), np.zeros(9), nothing, nothing, False, 0.0, {}, halves, 0.0
    )
    return pace_of(found, np.array([8]), [4.0], np.arange(8), References((), tuple(DAY), tuple(0 * DAY)))


def test_a_small_steady_change_is_taken_out_with_its_uncertainty() -> None:
    found = pace(1.06 + NOISE, 1.06 - NOISE, (1.06, 1.06))
    assert found.trouble is None
    assert found.factor == pytest.approx(1.06, abs=0.001)
    rough = pace(1.06 + 5 * NOISE, 1.06 + 5 * NOISE, (1.06, 1.06))
    # the mean of eight values of +- 2 %: t of seven degrees of freedom, 2.365
    assert rough.halfwidth == pytest.approx(2.365 * 0.02 / 1.06 * np.sqrt(8 / 7) / np.sqrt(8), rel=0.05)
    assert rough.factor == pytest.approx(1.06, abs=0.002)


@pytest.mark.parametrize("change", [0.7, 0.8, 1.3, 2.0])
def test_a_large_change_is_taken_out_where_the_network_has_changed_as_well(change: float) -> None:
    found = pace(change + NOISE, change - NOISE, (change, change))
    assert found.factor == pytest.approx(change, rel=0.01)
    assert found.trouble is None


@pytest.mark.parametrize(
    ("first", "second", "own"),
    [
        (1.53, 1.53, (1.0, 1.0)),  # 2.14 ms by the clock became 1.40: the references alone were slowed down
        (1.53, 1.53, (1.2, 1.25)),
        (0.7, 0.7, (1.0, 1.0)),
        (1.0, 1.9, (1.0, 1.0)),  # somebody began to work in the middle
        (1.1, 1.9, (1.45, 1.45)),
    ],
)
def test_a_large_change_of_the_references_alone_is_trouble(
    first: float, second: float, own: tuple[float, float]
) -> None:
    found = pace(first + NOISE, second - NOISE, own)
    assert (found.factor, found.halfwidth) == (1.0, 0.0)
    assert found.trouble is not None
    assert "on its day" in found.trouble


def test_a_change_that_halves_do_not_agree_on_is_left_in() -> None:
    found = pace(1.0 + NOISE, 1.06 + NOISE, (1.03, 1.03))
    assert found == Pace()


def test_noise_is_no_change() -> None:
    assert pace(1 + NOISE, 1 - NOISE, (1.0, 1.0)) == Pace()
    far = pace(1 + 60 * NOISE, 1 + 60 * NOISE, (1.0, 1.0))  # each by a quarter, to both sides
    assert far.factor == 1
    assert far.trouble is not None
    assert "not as on its day" in far.trouble


@pytest.mark.parametrize(
    ("pace", "share", "split_half_pct", "reason"),
    [
        (Pace(), 0.02, 1.0, None),
        (Pace(), 0.02, float("nan"), None),  # of single sessions nothing is known
        (Pace(1.3, 0.01), 0.1, 10.0, None),
        (Pace(), 0.14, 1.0, "14 % only"),
        (Pace(), 0.02, 12.0, "halves of the measurement differ by 12 %"),
        (Pace(trouble="so"), 0.02, 1.0, "so"),
    ],
)
def test_when_figures_are_not_to_be_believed(
    pace: Pace, share: float, split_half_pct: float, reason: str | None
) -> None:
    found = too_busy(pace, share, split_half_pct)
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)

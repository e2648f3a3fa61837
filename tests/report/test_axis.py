"""Ticks and places, by arithmetic one can do by hand."""

import numpy as np
import pytest

from nas.report.axis import Axis, linear, logarithmic, short, ticks


@pytest.mark.parametrize(
    ("low", "high", "most", "expected", "digits"),
    [
        (0, 10, 6, (0, 2, 4, 6, 8, 10), 0),  # 10 / 2 = 5 spaces, six ticks
        (0, 1, 6, (0, 0.2, 0.4, 0.6, 0.8, 1), 1),
        (15.9, 272.2, 6, (100, 200), 0),  # 256.3 / 50 = 5.1 spaces would be one too many
        (66.9, 67.3, 5, (66.9, 67, 67.1, 67.2, 67.3), 1),
        (-1, 1, 5, (-1, -0.5, 0, 0.5, 1), 1),
        (0, 0.0005, 6, (0, 0.0001, 0.0002, 0.0003, 0.0004, 0.0005), 4),
        (1, 10.9, 6, (2, 4, 6, 8, 10), 0),  # 9.9 / 2 = 4.95 spaces
        (0, 9.9e6, 6, (0, 2e6, 4e6, 6e6, 8e6), 0),
        (0.1, 0.35, 3, (0.2,), 1),  # 0.25 / 0.2 = 1.25 spaces
    ],
)
def test_ticks(low: float, high: float, most: int, expected: tuple[float, ...], digits: int) -> None:
    found, decimals = ticks(low, high, most)
    assert found == pytest.approx(expected)
    assert decimals == digits


def test_ticks_of_any_range_are_round_even_and_few() -> None:
    rng = np.random.default_rng(0)
    for low, extent in zip(rng.normal(0, 100, 500), 10 ** rng.uniform(-4, 6, 500), strict=True):
        for most in (4, 6, 9):
            found, _ = ticks(low, low + extent, most)
            assert len(found) <= most
            assert all(low - 1e-6 * extent <= tick <= low + extent * (1 + 1e-6) for tick in found)
            assert np.allclose(np.diff(found), np.diff(found)[:1])


def test_places_are_percent_of_the_way() -> None:
    axis = Axis(20, 60, (), (), "")
    assert axis.place(20) == 0
    assert axis.place(30) == 25  # 10 of 40
    assert axis.places(np.array([60.0, 80.0])).tolist() == [100, 150]


def test_a_linear_axis_is_padded_and_labelled() -> None:
    axis = linear(0, 100, "ms", pad=0.1)
    assert (axis.low, axis.high) == (-10, 110)
    assert axis.labels == ("0", "20", "40", "60", "80", "100")  # 120 / 20 = 6 spaces; by 10 it were 13 ticks


def test_long_labels_are_fewer() -> None:
    assert len(linear(0, 8, "ms", pad=0).ticks) == 9
    assert len(linear(100_000, 100_008, "ms", pad=0).ticks) <= 6


def test_a_single_value_gets_room_around_it() -> None:
    axis = linear(50, 50, "ms", pad=0)
    assert (axis.low, axis.high) == (45, 55)  # a fifth of it
    assert axis.place(50) == 50
    assert linear(0, 0, "ms", pad=0).place(0) == 50


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    axis = logarithmic(1, 500_000, "evaluations")
    assert axis.labels == ("1", "10", "100", "1k", "10k", "100k")
    assert axis.place(1) == 0
    assert logarithmic(1, 10_000, "").place(100) == 50
    assert logarithmic(1, 10**9, "").labels == ("1", "100", "10k", "1M", "100M")


def test_short_counts() -> None:
    assert [short(n) for n in (1, 999, 1_000, 2_500, 1e6)] == ["1", "999", "1k", "2.5k", "1M"]

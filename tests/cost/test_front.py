"""Fronts, layers, crowding and hypervolume against their definitions."""

import numpy as np
import pytest

from nas.cost import front
from nas.cost.front import crowding, hypervolume, pareto_front, ranks


def dominated_by(points: np.ndarray, i: int) -> np.ndarray:
    return ((points >= points[i]).all(axis=1)) & ((points > points[i]).any(axis=1))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_layers_by_peeling(columns: int) -> None:
    rng = np.random.default_rng(columns)
    points = rng.integers(0, 12, size=(150, columns)).astype(float)
    expected, left, depth = np.full(150, -1), np.ones(150, dtype=bool), 0
    while left.any():
        layer = [i for i in np.flatnonzero(left) if not (dominated_by(points, i) & left).any()]
        expected[layer] = depth
        left[layer] = False
        depth += 1
    assert ranks(points).tolist() == expected.tolist()


def test_layers_of_many_pairs_are_those_of_the_matrix() -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 400):
        points = rng.integers(0, 25, size=(count, 2)) / 5
        assert ranks(points).tolist() == ranks(np.column_stack([points, np.zeros(count)])).tolist()


@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_pareto_front_does_not_depend_on_how_points_are_taken(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    rng = np.random.default_rng(1)
    cost, value = (rng.integers(0, 40, 500).astype(float) for _ in range(2))
    cost[:50], value[25:75] = np.nan, np.inf
    whole = pareto_front(cost, value)
    monkeypatch.setattr(front, "CHUNK", chunk)
    assert pareto_front(cost, value).tolist() == whole.tolist()
    assert np.isfinite(cost[whole]).all()
    assert np.isfinite(value[whole]).all()
    for row in whole:  # the first of equals
        assert row == np.flatnonzero((cost == cost[row]) & (value == value[row]))[0]


def test_pareto_front_is_the_first_layer_without_repeats() -> None:
    rng = np.random.default_rng(0)
    cost, value = (rng.integers(0, 30, 200).astype(float) for _ in range(2))
    front = pareto_front(cost, value)
    first = ranks(np.stack([-cost, value], axis=1)) == 0
    expected = {(c, v) for c, v in zip(cost[first], value[first], strict=True)}
    assert {(cost[i], value[i]) for i in front} == expected
    assert len(front) == len(expected)
    assert pareto_front(np.zeros(0), np.zeros(0)).tolist() == []


def test_hypervolume_by_hand_and_by_counting() -> None:
    # two steps to the reference (10, 0): 2 ≤ cost < 5 dominates 3 of value, 5 ≤ cost < 10 dominates 4
    assert hypervolume(np.array([2.0, 5.0, 6.0]), np.array([3.0, 4.0, 1.0]), (10.0, 0.0)) == 3 * 3 + 5 * 4
    assert hypervolume(np.array([11.0]), np.array([3.0]), (10.0, 0.0)) == 0
    rng = np.random.default_rng(1)
    cost, value = rng.integers(0, 20, 40).astype(float), rng.integers(1, 20, 40).astype(float)
    cells = [(c, v) for c in range(20) for v in range(20) if ((cost <= c) & (value >= v + 1)).any()]
    assert hypervolume(cost, value, (20.0, 0.0)) == len(cells)


def test_crowding_is_the_paper_s() -> None:
    points = np.array([[0.0, 10.0], [2.0, 7.0], [6.0, 5.0], [10.0, 0.0], [1.0, 1.0]])
    found = crowding(points, np.array([0, 0, 0, 0, 1]))
    # layer 0: ends infinite; inside (6-0)/10 + (10-5)/10 and (10-2)/10 + (7-0)/10; layer 1 alone: infinite
    assert found.tolist() == [np.inf, pytest.approx(1.1), pytest.approx(1.5), np.inf, np.inf]


def test_crowding_of_equal_points_is_finite_or_an_end() -> None:
    assert not np.isnan(crowding(np.ones((4, 2)), np.zeros(4, dtype=np.int64))).any()

"""What is drawn of many points."""

import numpy as np

from nas.report.thinning import averaged, cells, evenly, rises


def test_evenly() -> None:
    assert evenly(3, 10).tolist() == [0, 1, 2]
    assert evenly(10, 4).tolist() == [0, 3, 6, 9]
    assert evenly(0, 4).tolist() == []
    assert evenly(5, 1).tolist() == [0]


def test_rises_are_where_a_record_is_set() -> None:
    values = np.array([-np.inf, 2, 1, 2, 3, np.nan, 3, 5])
    assert rises(values).tolist() == [1, 4, 7]
    assert rises(np.full(3, -np.inf)).tolist() == []
    assert rises(np.zeros(0)).tolist() == []


def test_means_of_neighbours() -> None:
    assert averaged(np.array([1.0, 3, 5, 7]), 2).tolist() == [2, 6]
    assert averaged(np.array([[1.0, 10], [3, 30]]), 1).tolist() == [[2, 20]]
    assert averaged(np.arange(3.0), 9).tolist() == [0, 1, 2]


def test_cells_count_what_is_inside() -> None:
    found = cells(np.array([0.0, 49, 50, 100, 101, -1]), np.array([0.0, 0, 99, 100, 50, 50]), 2, 2)
    assert found.counts.tolist() == [[2, 0], [0, 2]]  # rows from the bottom


def test_levels_hold_every_cell_once() -> None:
    found = cells(np.repeat([5.0, 15, 25], [1, 10, 100]), np.full(111, 50.0), 10, 1)
    levels = found.levels(2)
    assert [(low, high) for low, high, _ in levels] == [(1, 9), (10, 100)]  # sqrt(101) = 10.05
    assert [at.tolist() for _, _, at in levels] == [[[0, 0]], [[0, 1], [0, 2]]]
    assert cells(np.zeros(0), np.zeros(0), 2, 2).levels(3) == []

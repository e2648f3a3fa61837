"""Fronts: which points no other beats, how many layers of them there are, and how much they dominate."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

CHUNK = 8_192
"""Points that are held against a front at once."""
SOME, FEW = 1_024, 64
"""Of three values or more: points that are held against a front, and how many of it they are held against first."""

Points = NDArray[np.float64]
"""float64[N, m]; every column is to be maximised."""


def pareto_front(cost: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the points that no other beats in lower cost and higher value, cheapest first; the first of equals.

    Points are taken a few thousand at a time, and those that the front so far beats are not sorted. What is not finite
    is on no front.
    """
    front = _sorted_front(np.arange(min(len(cost), CHUNK)), cost, value)
    for start in range(CHUNK, len(cost), CHUNK):
        costs, values = cost[start : start + CHUNK], value[start : start + CHUNK]
        best = np.append(-np.inf, value[front])[np.searchsorted(cost[front], costs, side="right")]  # at no more cost
        beaten = best >= values
        front = _sorted_front(np.append(front, start + np.flatnonzero(~beaten)), cost, value)
    return front


def _sorted_front(among: NDArray[np.int64], cost: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.int64]:
    """The front of some of the points; of equals, the one that `among` has first."""
    among = among[np.isfinite(cost[among]) & np.isfinite(value[among])]
    order = among[np.lexsort((-value[among], cost[among]))]
    best = np.maximum.accumulate(value[order])
    rises = np.concatenate([[True], value[order][1:] > best[:-1]])
    return np.asarray(order[rises[: len(order)]], dtype=np.int64)


def unbeaten(points: Points) -> NDArray[np.int64]:
    """Indices of the points that no other beats, largest first value first; the first of equals.

    In order of the sum of their ranks no point is beaten by a later one: some at a time are held against the front so
    far, first against its first few, which beat most.
    """
    if points.shape[1] == 2:
        return pareto_front(-points[:, 0], points[:, 1])
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    places = np.stack([np.unique(column, return_inverse=True)[1] for column in points[finite].T], axis=1)
    order = finite[np.argsort(-places.sum(axis=1), kind="stable")]
    front = order[:0]
    for start in range(0, len(order), SOME):
        new = order[start : start + SOME]
        new = new[~_as_good(points[front[:FEW]], points[new]).any(axis=0)]
        new = new[~_as_good(points[front[FEW:]], points[new]).any(axis=0)]
        before = np.triu(_as_good(points[new], points[new]), k=1)
        front = np.append(front, new[~before.any(axis=0)])
    return np.asarray(front[np.lexsort((*-points[front].T[::-1],))], dtype=np.int64)


def _as_good(points: Points, others: Points) -> NDArray[np.bool_]:
    """Whether each point is as good as each of the others in every column, bool[points, others]."""
    found = np.ones((len(points), len(others)), dtype=bool)
    for mine, its in zip(points.T, others.T, strict=True):
        found &= mine[:, None] >= its[None]
    return found


def hypervolume(cost: NDArray[np.float64], value: NDArray[np.float64], reference: tuple[float, float]) -> float:
    """Area dominated by points of lower cost and higher value, up to a reference (cost, value) that is worse."""
    inside = (cost < reference[0]) & (value > reference[1])
    cost, value = cost[inside], value[inside]
    if not len(cost):
        return 0.0
    front = pareto_front(cost, value)
    widths = np.diff(np.append(cost[front], reference[0]))
    return float((widths * (value[front] - reference[1])).sum())


def dominated_share(cost: NDArray[np.float64], value: NDArray[np.float64], largest: float) -> float:
    """Hypervolume up to a `largest` cost and a value of 0, as a share of what no cost and the best value dominate."""
    return float(hypervolume(cost, value, (largest, 0.0)) / (largest * max(value.max(initial=0), 1e-12)))


def ranks(points: Points) -> NDArray[np.int64]:
    """The non-dominated layer of each point, 0 for the front: int64[N] (Deb et al. 2002, section III-A).

    Of three values or more, domination counts are kept as one boolean matrix and peeled layer by layer: O(m N²).
    """
    if points.shape[1] == 1:
        return np.unique(-points[:, 0], return_inverse=True)[1].astype(np.int64)
    if points.shape[1] == 2:
        return _ranks_of_pairs(points)
    no_worse = np.ones((len(points), len(points)), dtype=bool)
    better = np.zeros_like(no_worse)
    for column in points.T:
        no_worse &= column[:, None] >= column[None, :]
        better |= column[:, None] > column[None, :]
    dominates = no_worse & better
    beaten_by = dominates.sum(axis=0)
    found = np.zeros(len(points), dtype=np.int64)
    layer = np.flatnonzero(beaten_by == 0)
    left = np.ones(len(points), dtype=bool)
    depth = 0
    while len(layer):
        found[layer] = depth
        left[layer] = False
        beaten_by = beaten_by - dominates[layer].sum(axis=0)
        layer = np.flatnonzero(left & (beaten_by == 0))
        depth += 1
    return found


def _ranks_of_pairs(points: Points) -> NDArray[np.int64]:
    """`ranks` of two values in O(N log N): in order of the first, a layer beats what is below its best second value.

    That best falls from layer to layer, so the first layer that does not beat a point is found by bisection (Jensen
    2003, doi:10.1109/TEVC.2003.817234, section III-B).
    """
    order = np.lexsort((-points[:, 1], -points[:, 0]))
    found = np.zeros(len(points), dtype=np.int64)
    best: list[float] = []  # by layer, negated: ascending
    previous, layer = None, 0
    for place, point in zip(order.tolist(), points[order].tolist(), strict=True):
        if point != previous:  # equals share a layer
            layer = bisect_right(best, -point[1])
            best[layer : layer + 1] = [-point[1]]
            previous = point
        found[place] = layer
    return found


def crowding(points: Points, layers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Crowding distance of each point within its layer, infinite at the ends: float64[N] (section III-B)."""
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.lexsort((column, layers))
        sorted_layers, values = layers[order], column[order]
        first = np.concatenate([[True], sorted_layers[1:] != sorted_layers[:-1]])
        last = np.concatenate([first[1:], [True]])
        starts = np.flatnonzero(first)
        extent = np.maximum.reduceat(values, starts) - np.minimum.reduceat(values, starts)
        gaps = np.empty(len(points))
        gaps[1:-1] = values[2:] - values[:-2]
        gaps[first | last] = np.inf
        scale = extent[np.cumsum(first) - 1]
        distance[order] += np.divide(gaps, scale, out=np.where(np.isinf(gaps), np.inf, 0.0), where=scale > 0)
    return distance

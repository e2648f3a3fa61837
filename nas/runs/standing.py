"""Standing: how good what a search has found is by now, in a few words for its progress line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.cost.front import dominated_share, pareto_front
from nas.runs.objective import Objective


class Standing:
    """The best value within the bounds so far; for fronts, the hypervolume.

    The hypervolume is the area between the front, the largest attainable latency and an accuracy of 0, as a share of
    the area that a network of no latency and the best accuracy so far would dominate.
    """

    def __init__(self, objective: Objective) -> None:
        self._form = objective.form
        self._best = -np.inf
        self._front = np.zeros((0, 2))
        self._largest = objective.costs["latency_ms"].bounds()[1] if objective.form == "front" else 0.0

    def update(self, values: NDArray[np.float64], violations: NDArray[np.float64]) -> str:
        """Take in what `Objective.judge` said of a batch, `float64[n, m]` and `float64[n]`; say how things stand."""
        self._best = max(self._best, values[violations == 0, 0].max(initial=-np.inf))
        if self._form != "front":
            return f"best {self._best:.2f}" if np.isfinite(self._best) else "none within the bounds yet"
        new = np.stack([-values[:, 1], values[:, 0]], axis=1)  # latency, accuracy
        points = np.concatenate([self._front, new])
        self._front = points[pareto_front(points[:, 0], points[:, 1])]
        share = dominated_share(self._front[:, 0], self._front[:, 1], self._largest)
        return f"front of {len(self._front)}, hypervolume {share:.4f}"

"""Predictor: an accuracy estimate fitted beforehand on trained networks of a space, shipped as factors."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.cost.factors import Factor, Factors
from nas.errors import NasError
from nas.space.space import Population, Space

FOLDER = Path(__file__).parent
FORMAT = "nas-accuracy-factors/1"


@dataclass(frozen=True)
class Predictor:
    """Accuracy as one array a stage and one a pair of stages; calling it gives `float64[N]`, in percent.

    `experiments/predictor_fit.py` makes the arrays and says how.
    """

    name: str
    factors: Factors
    log_variance: Factors
    """Of the error on a network that was not fitted on: natural logarithm, in points squared."""
    meta: Mapping[str, Any]
    fingerprint: str
    """SHA-256 of its file."""
    unit: str = "%"

    @property
    def label(self) -> str:
        return "proxy top-1"

    @property
    def provenance(self) -> str:
        return (
            f"predictor fitted on {self.meta['networks']:,} networks of this space trained on ImageNet "
            f"({self.label}; 10-fold tau {self.meta['kendall_tau']:.3f}, "
            f"mean error {self.meta['mae_points']:.2f} points)"
        )

    def __call__(self, population: Population) -> NDArray[np.float64]:
        return self.factors(population)

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        return np.exp(self.log_variance(population) / 2)


@cache  # a search asks whether there is a predictor before it takes it
def load_predictor(name: str) -> Predictor:
    """The shipped predictor of a space, by the space's name. Raises `NasError` where there is none."""
    if name not in _shipped():
        raise NasError(f"No accuracy predictor named {name!r}; shipped: {', '.join(_shipped())}.")
    content = (FOLDER / f"{name}.npz").read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        meta = json.loads(str(arrays["meta"]))
        cardinalities = [len(options) for options in meta["options"]]
        stages = list(enumerate(map(tuple, meta["stages"]), 1))

        def factor(key: str, axes: tuple[int, ...]) -> Factor:
            return Factor(axes, arrays[key].reshape([cardinalities[axis] for axis in axes]))

        singles = [factor(f"stage_{i}", axes) for i, axes in stages]
        pairs = [factor(f"pair_{i}_{j}", left + right) for (i, left), (j, right) in combinations(stages, 2)]
        spreads = [factor(f"sigma_stage_{i}", axes) for i, axes in stages]
        return Predictor(
            name,
            Factors.of(cardinalities, float(arrays["constant"]), singles + pairs),
            Factors.of(cardinalities, float(arrays["sigma_constant"]), spreads),
            meta,
            hashlib.sha256(content).hexdigest(),
        )


def has_predictor(space: Space) -> bool:
    """Whether a predictor was fitted on networks of exactly this space."""
    return space.name in _shipped() and load_predictor(space.name).meta["space_fingerprint"] == space.fingerprint


def predictor_of(space: Space) -> Predictor:
    """The predictor fitted on networks of exactly this space. Raises `NasError` where there is none."""
    if has_predictor(space):
        return load_predictor(space.name)
    raise NasError(
        f"No accuracy predictor was fitted on the space {space.name!r} as it stands here; "
        f"there is one for the shipped: {', '.join(_shipped())}."
    )


def _shipped() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.npz"))

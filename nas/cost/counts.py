"""MACs and parameters of a space, as Factors."""

from __future__ import annotations

import numpy as np

from nas.cost.factors import Factors
from nas.space.space import Space


def macs(space: Space) -> Factors:
    """Multiply-accumulates of convolutions and linear layers, for one picture."""
    return Factors.compile(space, lambda layers: np.array([layer.macs for layer in layers], dtype=np.float64))


def params(space: Space) -> Factors:
    """Trainable parameters."""
    return Factors.compile(space, lambda layers: np.array([layer.params for layer in layers], dtype=np.float64))

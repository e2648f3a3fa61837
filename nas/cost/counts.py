"""Costs of a space that its layers alone say, as Factors."""

from __future__ import annotations

from nas.cost.cost import COSTS
from nas.cost.factors import Factors
from nas.space.space import Space


def macs(space: Space) -> Factors:
    """Multiply-accumulates of convolutions and linear layers, for one picture."""
    return COSTS["macs"].factors(space)


def params(space: Space) -> Factors:
    """Trainable parameters."""
    return COSTS["params"].factors(space)


def flash(space: Space) -> Factors:
    """Bytes of weights as they are deployed: see `nas.cost.memory.flash`."""
    return COSTS["flash"].factors(space)


def peak(space: Space) -> Factors:
    """Bytes of activations held at once, at most: see `nas.cost.memory.peak_of`."""
    return COSTS["peak"].factors(space)

"""Survey: which layers and networks of a space are measured for its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.blocks.precision import PRECISIONS
from nas.profiler.design import MOST, designed
from nas.profiler.fit import counts
from nas.profiler.networks import calibrating, random_networks, ranged
from nas.profiler.rounds import Workload
from nas.space.space import Space

CALIBRATING = 40
CALIBRATING_MANY = 100
"""Where only a part of the layers is measured alone."""
CHECKING = 20
REFERENCES = 8
"""Of the checking networks of the first space, those that are kept as references."""
SEED = 0
"""Of the choice of networks."""


@dataclass(frozen=True)
class Survey:
    """What is measured for a table; always the same of one space."""

    layers: tuple[Layer, ...]
    """All that do something."""
    alone: tuple[Layer, ...]
    """Those that are measured alone: all, or of a space with thousands a designed part."""
    calibrating: tuple[Architecture, ...]
    """Networks that the layers are corrected by."""
    checking: tuple[Architecture, ...]
    """Networks that the error is measured on; where a space has others, none that calibrate."""
    beside: tuple[Architecture, ...] = ()
    """Of a space in another precision, some of these in float32."""

    @classmethod
    def of(cls, space: Space) -> Survey:
        rngs = [np.random.default_rng([SEED, number]) for number in (0, 1)]
        layers = tuple(layer for layer in space.layers() if layer.graph.nodes)
        if len(layers) <= MOST:
            alone, calibrated = layers, calibrating(space, CALIBRATING, rngs[0])
            drawn = ranged(space, CHECKING, rngs[1])
            drawn = list(dict.fromkeys([*drawn, *random_networks(space, 3 * CHECKING, rngs[1])]))
        else:
            alone, known = tuple(designed(space, layers)), space.encode(list(space.references.values()))
            calibrated = [*map(space.decode, known), *ranged(space, CALIBRATING_MANY - len(known), rngs[0])]
            drawn = ranged(space, CHECKING, rngs[1])
        checking = [network for network in drawn if network not in set(calibrated)] or drawn
        beside: list[Architecture] = []
        if space.precision != PRECISIONS[0]:
            beside = [network.in_precision(PRECISIONS[0]) for network in checking[:REFERENCES]]
        return cls(layers, alone, tuple(calibrated), tuple(checking[:CHECKING]), tuple(beside))

    @cached_property
    def workload(self) -> Workload:
        """All of it, in the order of the fields."""
        networks = (*self.calibrating, *self.checking, *self.beside)
        return Workload([(layer,) for layer in self.alone] + [network.layers for network in networks])

    def counts(self, networks: Sequence[Architecture]) -> NDArray[np.float64]:
        """float64[N, L]: how often each network has each layer."""
        return counts([[layer for layer in network.layers if layer.graph.nodes] for network in networks], self.layers)

"""Pace: what training costs here, found out by a few steps whose weights are thrown away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nas.blocks.architecture import Architecture
from nas.data.data import Data
from nas.training.choices import REFERENCE_BATCH
from nas.training.fit import fit
from nas.training.network import untrained
from nas.training.recipe import Recipe

SLOW_S = 2.0
"""A first step that takes so long is the measurement; else three more are."""


def picture_seconds(network: Architecture, data: Data, seed: int) -> float:
    """Of a step of training, by picture; the network has at least as many classes as the data."""
    module = untrained(network, seed)
    nothing = data.validation.take(np.arange(0))
    pace = np.inf
    for batches in (1, 3):  # the first step is slower
        few = data.train.take(np.arange(min(len(data.train), batches * REFERENCE_BATCH)))
        [epoch] = fit(module, replace(data, train=few, validation=nothing), Recipe(epochs=1), seed=seed).history
        pace = 1 / epoch.pictures_per_second
        if epoch.seconds > SLOW_S:
            break
    return pace

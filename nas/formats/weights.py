"""Random weights without torch, so that an untrained model.onnx costs no import of it."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.op import Weight

Array = NDArray[np.float32]


def random_weights(architecture: Architecture, seed: int) -> dict[str, Array]:
    """Weights under the names of `nas.blocks.build.build(architecture).state_dict()`, drawn from `seed`.

    Normal with variance 2 / fan-in before an activation and 1 / fan-in elsewhere (arXiv:1502.01852,
    section 2.2), so that activations keep their scale and no device meets denormal numbers; batch
    normalisation is the identity, biases are zero.
    """
    rng = np.random.default_rng(seed)
    return {name: _first_values(weight, rng) for name, weight in named_weights(architecture)}


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights, in order, without drawing any."""
    return {name: weight.shape for name, weight in named_weights(architecture)}


def named_weights(architecture: Architecture) -> Iterator[tuple[str, Weight]]:
    """Every tensor of a network, in order: `layer.op.name`, the first two by their places."""
    for index, layer in enumerate(architecture.layers):
        for position, op in enumerate(layer.graph.ops()):
            for name, weight in op.weights().items():
                yield f"{index}.{position}.{name}", weight


def _first_values(weight: Weight, rng: Generator) -> Array:
    if not weight.gain:
        return np.full(weight.shape, weight.start, np.float32)
    return rng.standard_normal(weight.shape, dtype=np.float32) * np.float32(sqrt(weight.gain / weight.fan_in))

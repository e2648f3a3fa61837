"""Random weights without torch, so that an untrained model.onnx costs no import of it."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.kinds import ops
from nas.blocks.ops import Conv, Linear, Op, Pool, SqueezeExcite

Array = NDArray[np.float32]


def random_weights(architecture: Architecture, seed: int) -> dict[str, Array]:
    """Weights under the names of `nas.blocks.build.build(architecture).state_dict()`, drawn from `seed`.

    Normal with variance 2 / fan-in before an activation and 1 / fan-in elsewhere (arXiv:1502.01852,
    section 2.2), so that activations keep their scale and no device meets denormal numbers; batch
    normalisation is the identity, biases are zero.
    """
    rng = np.random.default_rng(seed)
    return {
        f"{index}.{position}.{name}": array
        for index, layer in enumerate(architecture.layers)
        for position, op in enumerate(ops(layer))
        for name, array in _op_weights(op, rng)
    }


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights, in order, without drawing any."""
    return {
        f"{index}.{position}.{name}": shape
        for index, layer in enumerate(architecture.layers)
        for position, op in enumerate(ops(layer))
        for name, shape in _op_shapes(op).items()
    }


def _op_shapes(op: Op) -> dict[str, tuple[int, ...]]:
    match op:
        case Conv():
            norm = ("weight", "bias", "running_mean", "running_var")
            return {
                "conv.weight": (op.out_channels, op.in_channels // op.groups, op.kernel, op.kernel),
                **{f"norm.{name}": (op.out_channels,) for name in norm},
            }
        case SqueezeExcite():
            return {
                "squeeze.weight": (op.squeezed, op.channels, 1, 1),
                "squeeze.bias": (op.squeezed,),
                "excite.weight": (op.channels, op.squeezed, 1, 1),
                "excite.bias": (op.channels,),
            }
        case Linear():
            return {"linear.weight": (op.out_features, op.in_features), "linear.bias": (op.out_features,)}
        case Pool():
            return {}


def _op_weights(op: Op, rng: Generator) -> Iterator[tuple[str, Array]]:
    match op:
        case Conv():
            shape = (op.out_channels, op.in_channels // op.groups, op.kernel, op.kernel)
            yield "conv.weight", _normal(rng, shape, op.activation != "none")
            yield "norm.weight", np.ones(op.out_channels, np.float32)
            yield "norm.bias", np.zeros(op.out_channels, np.float32)
            yield "norm.running_mean", np.zeros(op.out_channels, np.float32)
            yield "norm.running_var", np.ones(op.out_channels, np.float32)
        case SqueezeExcite():
            yield "squeeze.weight", _normal(rng, (op.squeezed, op.channels, 1, 1), True)
            yield "squeeze.bias", np.zeros(op.squeezed, np.float32)
            yield "excite.weight", _normal(rng, (op.channels, op.squeezed, 1, 1), False)
            yield "excite.bias", np.zeros(op.channels, np.float32)
        case Linear():
            yield "linear.weight", _normal(rng, (op.out_features, op.in_features), op.activation != "none")
            yield "linear.bias", np.zeros(op.out_features, np.float32)
        case Pool():
            return


def _normal(rng: Generator, shape: tuple[int, ...], activated: bool) -> Array:
    fan_in = int(np.prod(shape[1:]))
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(sqrt((2 if activated else 1) / fan_in))

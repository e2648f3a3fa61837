"""Probes: chains of layers, from one block to a whole network, as small ONNX models over one shared file of weights.

Blocks rather than single operators, so that a runtime's fusions are inside; weights as slices of one file, so that a
phone or a board gets megabytes, not gigabytes. The file is zeros, ones, then normal values of deviation 1/16. Batch
normalisation takes its mean and variance from the zeros and its scale from the ones; its epsilon stands for the
variance that a convolution of such weights gives, so that activations keep their scale however deep the chain is
and no device meets denormal numbers or infinities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from nas.blocks.architecture import Architecture
from nas.blocks.layer import MAX_DIMENSION, Layer
from nas.devices.device import Probe
from nas.errors import ArchitectureError
from nas.formats.onnx_graph import to_onnx
from nas.system.atomic import write_atomic

NORMALS = 8 << 20
"""Random values in the file of weights, 32 MB: a network of more parameters uses some of them twice."""
INPUT_SLICE = (2 * MAX_DIMENSION, 3 * 224 * 224)
"""First and number of the values that inputs are filled with."""
_DEVIATION = 1 / 16
_SEED = 20_190_404


def write_weights(path: Path) -> None:
    """Write the file of weights, the same everywhere."""
    write_atomic(path, _weights())


@cache
def _weights() -> bytes:
    normals = np.random.default_rng(_SEED).standard_normal(NORMALS, dtype=np.float32) * np.float32(_DEVIATION)
    constants = np.repeat(np.array([0, 1], np.float32), MAX_DIMENSION)
    return bytes(np.concatenate([constants, normals]).tobytes())


@cache
def _weights_digest() -> bytes:
    return hashlib.sha256(_weights()).digest()


def make_probe(layers: Sequence[Layer]) -> Probe:
    """A chain of layers as a model. Raises `ArchitectureError` for layers that do not fit, or are too large."""
    first = layers[0]
    chain = Architecture(first.in_channels, first.height, first.width, tuple(layers))
    model = to_onnx(chain, _Slices(), {}).SerializeToString(deterministic=True)
    name = hashlib.sha256(_weights_digest() + model).hexdigest()[:24]
    return Probe(name, model, (1, chain.channels, chain.height, chain.width))


class _Slices:
    """Weights of one model: slices of the shared file, one after the other, from its start again past its end."""

    def __init__(self) -> None:
        self.next = 0

    def tensor(self, name: str, shape: tuple[int, ...]) -> TensorProto:
        size = prod(shape)
        if size > NORMALS:
            raise ArchitectureError(f"A probe's tensor has at most {NORMALS:,} values, `{name}` has {size:,}.")
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "weights.bin"), ("offset", 4 * self._start(name, size)), ("length", 4 * size)):
            tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
        return tensor

    def norm_epsilon(self, fan_in: int, activated: bool, norm_eps: float) -> float:
        """The variance of a convolution's output: `fan_in` terms of variance 1/256, half of it lost before ReLU; 1
        where there is no convolution. The network's own does not matter to its time."""
        return fan_in * _DEVIATION**2 / (2 if activated else 1) if fan_in else 1.0

    def _start(self, name: str, size: int) -> int:
        if name.endswith(
            (".norm.weight", ".conv.bias")
        ):  # where nothing normalises, values would fade to denormal ones
            return MAX_DIMENSION
        if name.endswith((".norm.running_mean", ".norm.running_var", "bias")):
            return 0
        if self.next + size > NORMALS:
            self.next = 0
        start = 2 * MAX_DIMENSION + self.next
        self.next += size
        return start

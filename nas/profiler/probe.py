"""Probes: chains of layers, from one block to a whole network, as small ONNX models over one shared file of weights.

Blocks rather than single operators, so that a runtime's fusions are inside; weights as slices of one file, so that a
phone or a board gets megabytes, not gigabytes. The file is zeros, ones, then normal values of deviation 1/16. Batch
normalisation takes its mean and variance from the zeros and its scale from the ones; its epsilon stands for the
variance that a convolution of such weights gives, so that activations keep their scale however deep the chain is
and no device meets denormal numbers or infinities.

Layers of int8 are probes in 8 bits (`nas.formats.quantised`), whose weights are bytes of the same file and whose biases
are its zeros. Inside a network neighbours hand on 8-bit values: a block alone takes and gives such ones too, so that no
conversion is counted twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from nas.blocks.architecture import Architecture
from nas.blocks.block import is_head
from nas.blocks.layer import MAX_DIMENSION, Layer
from nas.blocks.precision import PRECISIONS
from nas.devices.device import Probe
from nas.errors import ArchitectureError
from nas.formats.onnx_graph import to_onnx
from nas.formats.quantised import quantised
from nas.system.atomic import write_atomic

NORMALS = 8 << 20
"""Random values in the file of weights, 32 MB: a network of more parameters uses some of them twice."""
INPUT_SLICE = (2 * MAX_DIMENSION, 3 * 224 * 224)
"""First and number of the values that inputs are filled with."""
PICTURE = 4
"""Channels of a picture, at most: it comes as float32 into a network of 8 bits."""
_DEVIATION = 1 / 16
_BYTE_DEVIATION = 74.0
"""Of the bytes of such values, taken as int8: about as if they were uniform."""
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
    """A chain of layers of one precision as a model. Raises `ArchitectureError` for layers that do not fit, are too
    large, or of a precision that no runtime here is given."""
    first, last = layers[0], layers[-1]
    chain = Architecture(first.in_channels, first.height, first.width, tuple(layers))
    shape, precisions = (1, chain.channels, chain.height, chain.width), {layer.precision for layer in layers}
    slices = _Slices()
    if precisions == {"int8"}:
        alone = len(layers) == 1
        takes = alone and chain.channels > PICTURE
        gives = alone and not is_head(last.kind) and bool(last.graph.nodes)
        graph = quantised(to_onnx(chain, slices, {}, folded=True), slices, takes, gives)
        shape = (1, chain.height, chain.width, chain.channels) if takes else shape
    elif precisions == {PRECISIONS[0]}:
        graph = to_onnx(chain, slices, {})
    else:
        raise ArchitectureError(f"A probe is in float32 or in int8, got {' and '.join(sorted(precisions))}.")
    model = graph.SerializeToString(deterministic=True)
    name = hashlib.sha256(_weights_digest() + model).hexdigest()[:24]
    return Probe(name, model, shape)


class _Slices:
    """Weights of one model: slices of the shared file, one after the other, from its start again past its end. Those of
    8 bits begin where the slice of their float32 ones would."""

    def __init__(self) -> None:
        self.next = 0

    def tensor(self, name: str, shape: tuple[int, ...]) -> TensorProto:
        size = prod(shape)
        if size > NORMALS:
            raise ArchitectureError(f"A probe's tensor has at most {NORMALS:,} values, `{name}` has {size:,}.")
        return self._external(TensorProto.FLOAT, shape, 4 * self._start(name, size), name)

    def weight(self, tensor: TensorProto) -> tuple[TensorProto, NDArray[np.float32]]:
        """See `nas.formats.quantised.Numbers`. Values grow up to the ends of their ranges: gates halve them, and what
        fades is 0 for good."""
        channels, *taken = tensor.dims
        scale = 2 / (_BYTE_DEVIATION * (prod(taken) / 2) ** 0.5)
        return self._external(TensorProto.INT8, tensor.dims, _offset(tensor)), np.full(channels, scale, np.float32)

    def bias(self, tensor: TensorProto, scale: NDArray[np.float32]) -> TensorProto:
        """See `nas.formats.quantised.Numbers`."""
        return self._external(TensorProto.INT32, tensor.dims, 0)

    def constant(self, tensor: TensorProto) -> tuple[TensorProto, float, int]:
        """See `nas.formats.quantised.Numbers`."""
        if tensor.data_location == TensorProto.EXTERNAL:
            return self._external(TensorProto.UINT8, tensor.dims, _offset(tensor)), 8 / 255, 128
        value = float(numpy_helper.to_array(tensor))  # a graph's own constants are numbers
        return numpy_helper.from_array(np.array(255 if value > 0 else 0, np.uint8)), abs(value) / 255, 255 * (value < 0)

    @staticmethod
    def _external(kind: int, shape: Sequence[int], offset: int, name: str = "") -> TensorProto:
        tensor = TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        length = onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize * prod(shape)
        for key, value in (("location", "weights.bin"), ("offset", offset), ("length", length)):
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


def _offset(tensor: TensorProto) -> int:
    """First byte in the file."""
    return next(int(entry.value) for entry in tensor.external_data if entry.key == "offset")

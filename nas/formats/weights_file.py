"""model.safetensors: the weights that belong to a config.

Names, types and shapes are checked against the architecture before a value is read, so that a file of any size costs no
more memory than the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from nas import __version__
from nas.blocks.architecture import Architecture
from nas.errors import ArchitectureError
from nas.formats.weights import weight_shapes
from nas.system.tensors import open_tensors
from nas.system.text import short

FILE = "model.safetensors"
MAX_HEADER = 8 << 20
"""Bytes; a network of a thousand layers needs a tenth of it."""
MAX_MARKS = 500_000
"""Commas and brackets of a header; likewise."""
COUNTER = "num_batches_tracked"
"""What torch's batch normalisation keeps besides; no network computes with it, so it may be there or not."""

Array = NDArray[np.float32]


def read_weights(config: Path, architecture: Architecture) -> dict[str, Array]:
    """The weights beside a config.json. Raises `ArchitectureError` where there are none, or of another network."""
    return read_file(config.parent / FILE, architecture)


def read_file(path: Path, architecture: Architecture) -> dict[str, Array]:
    """The weights in a safetensors file, under the names of `nas.blocks.build.build(architecture).state_dict()`.

    Raises `ArchitectureError` in one line unless names, shapes and types are exactly those of the network, and every
    value is finite.
    """
    try:
        with open_tensors(path, "np", max_header=MAX_HEADER, max_marks=MAX_MARKS) as file:
            return _read(file, architecture)
    except ArchitectureError as problem:
        raise ArchitectureError(f"{path}: {problem}") from None
    except OSError as problem:
        raise ArchitectureError(f"{path}: the weights cannot be read ({problem.strerror}).") from None
    except ValueError as problem:
        raise ArchitectureError(f"{path}: this is no whole safetensors file ({problem}).") from None


def write_file(weights: Mapping[str, Array], weights_from: str) -> bytes:
    """The content of a model.safetensors; equal weights give equal bytes."""
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    return _ordered(save(arrays, {"format": "pt", "weights": weights_from, "nas_version": __version__}))


def _ordered(content: bytes) -> bytes:
    """The same file with its header in one order: the library's changes from one call to the next."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def plain_weights(state: Mapping[str, Any]) -> dict[str, Array]:
    """Of a torch module's `state_dict()` what its network computes with, as arrays of their own."""
    return {
        name: np.array(tensor.detach().cpu().numpy(), np.float32)
        for name, tensor in state.items()
        if not name.endswith(COUNTER)
    }


def _read(file: Any, architecture: Architecture) -> dict[str, Array]:
    shapes = weight_shapes(architecture)
    names = set(file.keys())
    for name in names:
        if name not in shapes and not name.endswith(f".{COUNTER}"):
            raise ArchitectureError(f"this network has no weights {short(name, 80)}: the file is of another one.")
    weights: dict[str, Array] = {}
    for name, shape in shapes.items():
        if name not in names:
            raise ArchitectureError(f"the weights {name!r} are missing: the file is of another network.")
        stored = file.get_slice(name)
        dtype, found = stored.get_dtype(), stored.get_shape()
        if (dtype, found) != ("F32", list(shape)):
            raise ArchitectureError(f"{name!r} is F32 {list(shape)} in this network, got {dtype} {short(found, 80)}.")
        weights[name] = values = file.get_tensor(name)
        if not np.isfinite(values).all() or (name.endswith("running_var") and (values < 0).any()):
            raise ArchitectureError(f"{name!r} has values that no training gives: not finite, or a negative variance.")
    return weights

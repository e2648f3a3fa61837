"""model.safetensors: the weights that belong to a config, in the format of https://huggingface.co/docs/safetensors.

A file is the length of its header (8 bytes, little-endian), the header (JSON: name → dtype, shape, place) and the
values. The header is checked against the architecture before a value is read, so that a file of any size costs no
more memory than the network; nothing is ever unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from nas import __version__
from nas.blocks.architecture import Architecture
from nas.errors import ArchitectureError
from nas.formats.weights import weight_shapes
from nas.system.files import open_plain

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
        with open_plain(path) as file:
            return _read(file, os.fstat(file.fileno()).st_size, architecture)
    except ArchitectureError as problem:
        raise ArchitectureError(f"{path}: {problem}") from None
    except OSError as problem:
        raise ArchitectureError(f"{path}: the weights cannot be read ({problem.strerror}).") from None


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


def _read(file: BinaryIO, size: int, architecture: Architecture) -> dict[str, Array]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise ArchitectureError(
            f"a safetensors file begins with the length of its header, within the file and up to {MAX_HEADER:,}, "
            f"got {length:,}."
        )
    places = _places(file.read(length), size - 8 - length)
    shapes = weight_shapes(architecture)
    for name in places:
        if name not in shapes and not name.endswith(f".{COUNTER}"):
            raise ArchitectureError(f"this network has no weights {_short(name)}: the file is of another one.")
    weights: dict[str, Array] = {}
    for name, shape in shapes.items():
        if name not in places:
            raise ArchitectureError(f"the weights {name!r} are missing: the file is of another network.")
        dtype, found, begin, end = places[name]
        if (dtype, found) != ("F32", list(shape)) or end - begin != 4 * prod(shape):
            raise ArchitectureError(
                f"{name!r} is F32 {list(shape)} in this network, got {_short(dtype)} {_short(found)} in "
                f"{end - begin:,} bytes."
            )
        file.seek(8 + length + begin)
        values = np.frombuffer(file.read(end - begin), "<f4").astype(np.float32).reshape(shape)
        if not np.isfinite(values).all() or (name.endswith("running_var") and (values < 0).any()):
            raise ArchitectureError(f"{name!r} has values that no training gives: not finite, or a negative variance.")
        weights[name] = values
    return weights


def _places(header: bytes, size: int) -> dict[str, tuple[Any, Any, int, int]]:
    """Name → (dtype, shape, first byte, byte after the last) of each tensor, the last two within `size`."""
    if (marks := sum(map(header.count, (b",", b"[", b"{")))) > MAX_MARKS:
        raise ArchitectureError(f"the header of a safetensors file has at most {MAX_MARKS:,} values, got {marks:,}.")
    try:
        document = json.loads(header)
    except (ValueError, RecursionError):
        raise ArchitectureError("the header of a safetensors file is JSON, this one is not.") from None
    if not isinstance(document, dict):
        raise ArchitectureError("the header of a safetensors file is a mapping, this one is not.")
    document.pop("__metadata__", None)
    places = {}
    for name, entry in document.items():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(offset) is int for offset in offsets)):
            raise ArchitectureError(f"{_short(name)} has no `data_offsets`, its first and last byte.")
        begin, end = offsets
        if not 0 <= begin <= end <= size:
            raise ArchitectureError(
                f"{_short(name)} lies within the {size:,} bytes after the header, got {_short(offsets)}. Cut off?"
            )
        places[name] = (entry.get("dtype"), entry.get("shape"), begin, end)
    return places


def _short(value: object, most: int = 80) -> str:
    text = " ".join(ascii(value).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"

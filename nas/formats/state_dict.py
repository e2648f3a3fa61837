"""A state dict from elsewhere: the tensors of a safetensors file or of torch's, by the names that their authors gave.

Nothing is unpickled but tensors: torch files are read with `weights_only=True`.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import ArchitectureError
from nas.formats.weights_file import COUNTER, MAX_HEADER, MAX_MARKS
from nas.system.files import open_plain
from nas.system.tensors import open_tensors
from nas.system.text import short

MAX_BYTES = 4 << 30
TORCH = (".pth", ".pt", ".bin", ".ckpt", ".tar")
"""Endings of torch's files."""
WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network", "weights")
"""Under which a checkpoint keeps its tensors."""
COMPUTED = (COUNTER, "attention_bias_idxs")
"""Ends of names of what is no weight: counters of steps, and which learned position is of which pixels (timm)."""

Tensors = dict[str, NDArray[np.float32]]


def read_state_dict(path: Path) -> Tensors:
    """Float32 arrays by name, counters of steps left out and the common prefix of a wrapped module (`module.`) too.

    Half precision becomes float32. Raises `ArchitectureError` in one line for what is no file of tensors, has tensors
    of other types, or values that are not finite.
    """
    try:
        with open_plain(path) as file:
            file.seek(0, 2)
            if file.tell() > MAX_BYTES:
                raise ArchitectureError(f"{path}: weights have at most {MAX_BYTES >> 30} GiB, got more.")
        found = _torch_file(path) if path.suffix.lower() in TORCH else _safetensors_file(path)
    except OSError as problem:
        raise ArchitectureError(f"{path}: the weights cannot be read ({problem.strerror}).") from None
    tensors: Tensors = {}
    for name, array in found.items():
        if name.endswith(COMPUTED):
            continue
        if not np.isfinite(array).all():
            raise ArchitectureError(f"{path}: {short(name, 80)} has values that are not finite.")
        tensors[name] = array
    if not tensors:
        raise ArchitectureError(f"{path}: there are no tensors in this file.")
    while len(first := {name.partition(".")[0] for name in tensors}) == 1 and first <= {"module", "model", "_orig_mod"}:
        tensors = {name.partition(".")[2]: array for name, array in tensors.items()}
    return tensors


def _safetensors_file(path: Path) -> Tensors:
    try:
        with open_tensors(path, "pt", max_header=MAX_HEADER, max_marks=MAX_MARKS) as file:
            return {name: _array(path, name, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except ValueError as problem:
        raise ArchitectureError(
            f"{path}: this is no whole safetensors file ({problem}). A file of torch's ends in {', '.join(TORCH)}."
        ) from None


def _torch_file(path: Path) -> Tensors:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ArchitectureError(
            f"{path}: this file has more than tensors, and pickled objects are never read. "
            "Save `model.state_dict()` alone, best with safetensors."
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as problem:
        raise ArchitectureError(f"{path}: this is no file of torch's ({short(str(problem), 100)}).") from None
    return {name: _array(path, name, tensor) for name, tensor in _unwrapped(path, content).items()}


def _unwrapped(path: Path, content: Any) -> dict[str, Any]:
    """The one mapping of tensors in a checkpoint. Raises `ArchitectureError` where there is none, or more."""
    import torch

    def tensors(value: Any) -> bool:
        return isinstance(value, Mapping) and any(isinstance(entry, torch.Tensor) for entry in value.values())

    if tensors(content):
        return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    found = {str(name): value for name, value in content.items() if tensors(value)} if isinstance(content, dict) else {}
    usual = [name for name in WRAPPERS if name in found]
    if len(found) != 1 and len(usual) != 1:
        raise ArchitectureError(
            f"{path}: a checkpoint has one state dict, under {', '.join(WRAPPERS)}; "
            f"got {', '.join(short(name, 40) for name in found) or 'none'}."
        )
    chosen = found[usual[0]] if usual else next(iter(found.values()))
    return {str(name): value for name, value in chosen.items() if isinstance(value, torch.Tensor)}


def _array(path: Path, name: str, tensor: Any) -> NDArray[np.float32]:
    if not (tensor.is_floating_point() or name.endswith(COMPUTED)) or tensor.is_sparse:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ArchitectureError(f"{path}: weights are floating-point numbers, {short(name, 80)} is {kind}.")
    return np.ascontiguousarray(tensor.float().numpy())

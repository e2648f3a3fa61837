"""Checkpoint: tensors and the JSON that belongs to them, in one safetensors file, written as a whole.

Nothing in it is ever unpickled. A reader sees the previous checkpoint or the new one, never a part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from nas.errors import RunError
from nas.system.atomic import write_atomic
from nas.system.tensors import open_tensors

FORMAT = "nas-checkpoint/1"
MAX_HEADER = 64 << 20
"""Bytes of all but the tensors."""
MAX_MARKS = 4_000_000
"""Commas and brackets in them."""


def write_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors by name and a JSON mapping. Raises `OSError` where that cannot be done; the last one is kept."""
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "state": json.dumps(state)}
    write_atomic(path, save(own, metadata))


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `write_checkpoint` wrote. Raises `RunError` for anything else."""
    try:
        with open_tensors(path, "pt", max_header=MAX_HEADER, max_marks=MAX_MARKS) as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise RunError(f"{path}: a checkpoint has the format {FORMAT!r}, got {metadata.get('format')!r}.")
            state = json.loads(metadata.get("state", ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as problem:
        raise RunError(f"{path}: the checkpoint cannot be read ({problem.strerror}).") from None
    except (ValueError, RecursionError) as problem:
        raise RunError(f"{path}: this is no checkpoint of nas ({str(problem)[:200]}).") from None
    if not isinstance(state, dict):
        raise RunError(f"{path}: a checkpoint's state is a JSON mapping.")
    return tensors, state

"""Checkpoint: tensors and the JSON that belongs to them, in one safetensors file, written as a whole.

Nothing in it is ever unpickled. A reader sees the previous checkpoint or the new one, never a part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nas.errors import RunError
from nas.system.atomic import write_atomic
from nas.system.files import open_plain

FORMAT = "nas-checkpoint/1"
MAX_HEADER = 64 << 20
"""Bytes of all but the tensors."""
MAX_MARKS = 4_000_000
"""Commas and brackets in them: each may be a value, of up to a hundred bytes in memory."""


def write_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors by name and a JSON mapping. Raises `OSError` where that cannot be done; the last one is kept."""
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "state": json.dumps(state)}
    write_atomic(path, save(own, metadata))


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `write_checkpoint` wrote. Raises `RunError` for anything else."""
    try:
        _look(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise RunError(f"{path}: a checkpoint has the format {FORMAT!r}, got {metadata.get('format')!r}.")
            state = json.loads(metadata.get("state", ""))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as problem:
        raise RunError(f"{path}: the checkpoint cannot be read ({problem.strerror}).") from None
    except (SafetensorError, ValueError, RecursionError) as problem:
        raise RunError(f"{path}: this is no checkpoint of nas ({str(problem)[:200]}).") from None
    if not isinstance(state, dict):
        raise RunError(f"{path}: a checkpoint's state is a JSON mapping.")
    return tensors, state


def _look(path: Path) -> None:
    """Refuse what would be waited for, or take more memory than its tensors do."""
    with open_plain(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER:
            raise ValueError(f"its header has {length:,} bytes, at most {MAX_HEADER:,} are read")
        header = file.read(length)
    if (marks := sum(map(header.count, (b",", b"[", b"{")))) > MAX_MARKS:
        raise ValueError(f"its header has {marks:,} values, at most {MAX_MARKS:,} are read")

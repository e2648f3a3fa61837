"""Ranks: which of the processes that torchrun started this one is, as its environment says; the only one, without it.

All of them run the same command. The first one (rank 0) writes, prints, and tells what is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import Alone, Interrupted, NasError


def rank() -> int:
    """Of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def count() -> int:
    """Of processes."""
    return int(os.environ.get("WORLD_SIZE", 1))


def check_named(folder: Path | None) -> None:
    """Raise `NasError` where several processes have no folder in common."""
    if folder is None and count() > 1:
        raise NasError("Several processes need --out.")


@contextmanager
def told_once() -> Iterator[None]:
    """An error that all processes meet is raised by the first; the others exit with its code, silently."""
    try:
        yield
    except (NasError, Interrupted) as problem:
        if rank() == 0 or isinstance(problem, Alone):
            raise
        sys.exit(problem.exit_code)

"""FolderLock: one process at a time works in a folder.

The lock is the operating system's, on the folder itself. So it leaves no file behind, it is there before anything is
written, and it ends with its process, however that ends. It keeps out processes of one machine; on a network file
system those of other machines are kept out by the locks of ledgers and samples alone, if the server passes locks on.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from pathlib import Path

from nas.errors import NasError, RunError

TRIES, PAUSE_S = 6, 0.1
"""A process that was just killed takes a moment to end."""


class FolderLock:
    """Holds a folder until it is released, or until nobody has this object any more."""

    def __init__(self, folder: Path, busy: str, *, make: bool = True, error: type[NasError] = RunError) -> None:
        """Lock a folder, made where there is none unless `make` is False.

        Raises `error`, saying that another process is `busy`, where one holds it; `OSError` where it cannot be opened.
        """
        for attempt in range(TRIES):
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if _locked(handle, fcntl.LOCK_EX) and _is(folder, handle):
                self.release = weakref.finalize(self, os.close, handle)
                """Let go of the folder; it can be called twice."""
                return
            os.close(handle)
            if attempt < TRIES - 1:
                time.sleep(PAUSE_S)
        raise error(f"{folder}: another process {busy}. Wait for it, or stop it.")

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *problem: object) -> None:
        self.release()


def is_held(folder: Path) -> bool:
    """Whether a process works in a folder now."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        return not _locked(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _locked(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(folder: Path, handle: int) -> bool:
    """Whether a handle is that of a folder's present bearer: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False

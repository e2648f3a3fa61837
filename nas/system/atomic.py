"""Writing a file so that nobody ever sees a part of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PART = ".part"
"""How names of unfinished files end; a crash may leave one behind."""


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part.

    Bytes of file names that are no UTF-8 are written as `\\udcff`: in JSON they are read as they were. Raises `OSError`
    with `path` as its file name where it cannot be written; the old content is then still there.
    """
    write_all_atomic({path: data})


def write_all_atomic(files: Mapping[Path, str | bytes]) -> None:
    """Write some files, all of them or none, in their order; each as `write_atomic` does."""
    with ExitStack() as stack:
        for path, data in reversed(list(files.items())):  # the stack puts the last in place first
            with stack.enter_context(atomic(path)).open("wb") as file:
                file.write(data.encode(errors="backslashreplace") if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to be filled; then it takes its place. See `write_atomic`."""
    temporary = None
    try:
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, str(path)) from problem
        os.close(handle)
        yield Path(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as problem:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
        if isinstance(problem, OSError) and problem.filename in (None, temporary):
            raise OSError(problem.errno, problem.strerror, str(path)) from problem
        raise


def clear_parts(folder: Path, name: str = "*") -> None:
    """Remove what a killed process left half-written of a file, or of all, in a folder that is locked."""
    pattern = f".{name}.*{PART}"
    for part in (*folder.glob(pattern), *folder.glob(f"*/{pattern}")):
        with suppress(OSError):  # of a medium that is read-only they do no harm
            part.unlink()

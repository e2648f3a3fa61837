"""JsonLines: JSON documents in a file that grows by a line each, whole after a crash but for a last line cut off."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nas.errors import NasError, RunError

MAX_BYTES = 1 << 28


class JsonLines:
    """A file whose first line says what all others are of; each is there as soon as it is known."""

    def __init__(self, path: Path | None, head: Mapping[str, str], what: str, take: Callable[[Any], None]) -> None:
        """`take` is called with each document that is there already, and raises `ValueError` or the like for what is
        not `what`; without `path` nothing is kept.

        Raises `RunError` where the file is of other ones, or a line is none.
        """
        self._path = path
        if path is None:
            return
        whole = _read(path, head, what, take) if path.is_file() else 0
        with path.open("r+b" if path.is_file() else "x+b") as file:
            file.truncate(whole)
        if not whole:
            self.add(head)

    def add(self, document: Mapping[str, Any]) -> None:
        """Write one more."""
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(json.dumps(document).encode() + b"\n")


def _read(path: Path, head: Mapping[str, str], what: str, take: Callable[[Any], None]) -> int:
    """Take in the whole lines; returns their bytes."""
    if path.stat().st_size > MAX_BYTES:
        raise RunError(f"{path}: at most {MAX_BYTES:,} bytes of {what}s are read.")
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            document = json.loads(line)
            if number == 1 and document != head:
                raise RunError(f"{path}: these {what}s are of another request. Start a new run in another --out.")
            if number > 1:
                take(document)
        except RunError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError, NasError) as problem:
            raise RunError(f"{path}: line {number}: not a {what}: {str(problem)[:120]}") from None
    return whole

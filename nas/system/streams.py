"""Streams: what is printed on stdout and stderr, whatever becomes of who listens.

A terminal that is closed, a reader that has seen enough or a full disk behind `>` must not end the work.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

STANDARD = (0, 1, 2)


class Stream(io.FileIO):
    """A file handle that takes everything; the first `problem` in passing it on is kept."""

    problem: OSError | None = None

    def write(self, data: Any) -> int:
        """Write as much as can be written; returns the size of `data`."""
        size = memoryview(data).nbytes
        if self.problem is None:
            try:
                return super().write(data)
            except BlockingIOError:
                raise
            except OSError as problem:
                self.problem = problem
        return size


def open_streams() -> Stream | None:
    """Replace the process's stdout and stderr by such streams; returns stdout's, where it is the process's own.

    A standard handle that is closed is opened on the null device: otherwise the next file that is opened would get its
    number, and with it whatever a library prints.
    """
    for handle in STANDARD:
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    found = None
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # Python found it closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the process ends
        elif isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            raw = Stream(stream.fileno(), "w", closefd=False)
            errors = "surrogateescape" if stream.errors == "strict" else stream.errors  # names of files are any bytes
            text = io.TextIOWrapper(
                io.BufferedWriter(raw), stream.encoding, errors, line_buffering=stream.line_buffering
            )
            setattr(sys, name, text)
            found = raw if name == "stdout" else found
    return found

"""Tensors: a safetensors file (https://huggingface.co/docs/safetensors), opened with a bound on what its header takes.

The library holds the header against the file before a value is read: names, types, shapes and places agree, and cover
the file. What it does not bound is the memory that a header takes, ten times its bytes, so that is looked at first.
Nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from nas.system.files import open_plain


@contextmanager
def open_tensors(path: Path, framework: str, *, max_header: int, max_marks: int) -> Iterator[Any]:
    """What `safetensors.safe_open` gives for a plain file, whose tensors become those of a framework: `np` or `pt`.

    `max_header` is in bytes; `max_marks` bounds commas and brackets in them, each of which may be a value of up to a
    hundred bytes in memory. Raises `OSError`, and `ValueError` in one printable line for what is no safetensors file.
    """
    with open_plain(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > max_header:
            raise ValueError(f"its header has {length:,} bytes, at most {max_header:,} are read")
        header = file.read(length)
    if (marks := sum(map(header.count, (b",", b"[", b"{")))) > max_marks:
        raise ValueError(f"its header has {marks:,} values, at most {max_marks:,} are read")
    try:
        with safe_open(path, framework) as tensors:
            yield tensors
    except MemoryError:
        raise ValueError("it does not fit into the memory") from None
    except SafetensorError as problem:
        why = ascii(str(problem).removeprefix("Error while deserializing header: "))[1:-1]
        raise ValueError(why[:200]) from None

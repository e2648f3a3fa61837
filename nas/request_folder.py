"""A folder that begins with a request: what searches and trainings have in common.

`request.json` is written before anything else, so that whatever was begun can be gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import nas
from nas import ranks
from nas.atomic import PART, write_atomic
from nas.errors import RunError
from nas.files import read_json

FILE = "request.json"

R = TypeVar("R")


def begin(folder: Path, what: str, file_format: str, request: Mapping[str, Any]) -> None:
    """Make a new folder with a request in it; `what` it is a request for is what messages say.

    Of several processes the first one makes it. Raises `RunError` where something is there already, or nothing can be
    written.
    """
    if ranks.rank():
        return
    if (folder / FILE).exists():
        raise RunError(f"{folder}: there is a run here. Add --resume to go on with it, or choose another --out.")
    document = {
        "format": file_format,
        "request": request,
        "nas": nas.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        clear_parts(folder)
        if folder.exists() and any(folder.iterdir()):
            raise RunError(f"{folder}: a {what} is written into a new or empty folder. Choose another --out.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, document)
    except OSError as problem:
        raise RunError(f"{folder}: cannot be written ({problem.strerror}). Choose another --out.") from None


def recall(folder: Path, what: str, file_format: str, read: Callable[[Any], R], asked: Mapping[str, Any]) -> R:
    """The request in a folder, as `read` makes it of a JSON document; what is `asked` now must not contradict it.

    Raises `RunError` for what is not there, not a request, or contradicted.
    """
    file = folder / FILE
    if not file.is_file():
        raise RunError(f"{folder}: there is no {what} to resume. Leave out --resume to start one.")
    document = read_mapping(file)
    if document.get("format") != file_format:
        raise RunError(f"{file}: a {what}'s request has format {file_format!r}, got {document.get('format')!r}.")
    try:
        request = read(document.get("request"))
    except RunError as problem:
        raise RunError(f"{file}: {problem}") from None
    for name, value in asked.items():
        if getattr(request, name) != value:
            raise RunError(
                f"{folder}: this {what} has {name} {getattr(request, name)!r}, the request says {value!r}. "
                "Leave the option out, or choose another --out."
            )
    return request


def discard(folder: Path, *names: str) -> None:
    """Leave nothing behind of what was begun in vain: the request, these files, and the folder if that was all."""
    for name in (FILE, *names):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: not ours
        folder.rmdir()
        if folder.parent == Path("runs"):
            folder.parent.rmdir()


def clear_parts(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in (*folder.glob(f".*{PART}"), *folder.glob(f"winner/.*{PART}")):
        part.unlink(missing_ok=True)


def write_json(file: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, atomically."""
    write_atomic(file, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read_mapping(file: Path) -> dict[str, Any]:
    """The JSON mapping in a file. Raises `RunError` for anything else."""
    document = read_json(file, RunError)
    if not isinstance(document, dict):
        raise RunError(f"{file}: a JSON mapping is expected here.")
    return document

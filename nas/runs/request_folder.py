"""A folder that begins with a request: what searches and trainings have in common.

`request.json` is written before anything else, so that whatever was begun can be gone on with.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import nas
from nas.errors import Interrupted, Refused, RunError
from nas.system import files, ranks
from nas.system.atomic import clear_parts, write_atomic
from nas.system.files import check_plain_folder
from nas.system.folder_lock import FolderLock

FILE = "request.json"
MAX_BYTES = 1 << 20
"""Of it."""

R = TypeVar("R")

_CODE = {"data": "pictures are", "controller": "controller is", "accuracy": "accuracy is"}


def numbered(stem: str) -> Path:
    """`runs/STEM-N` with the first N that is free, made at once, so that no two processes get the same.

    Raises `RunError` where it cannot be made.
    """
    for number in count(1):
        folder = Path("runs") / f"{stem}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if folder.parent.is_dir():
                continue
            raise _unwritable(folder, "Not a directory") from None
        except OSError as problem:
            raise _unwritable(folder, problem.strerror) from None
        return folder
    raise AssertionError


def begin(folder: Path, what: str, file_format: str, request: Mapping[str, Any]) -> FolderLock | None:
    """Make a new folder with a request in it, and keep others out; `what` it is a request for is what messages say.

    Of several processes that train together the first one makes it; None for the others. Raises `RunError` where
    another process is in it, something is there already, or nothing can be written.
    """
    if ranks.rank():
        return None
    document = {
        "format": file_format,
        "request": request,
        "nas": nas.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        lock = FolderLock(folder, f"is working on this {what}")
    except OSError as problem:
        raise _unwritable(folder, problem.strerror) from None
    try:
        if (folder / FILE).exists():
            raise RunError(f"{folder}: there is a {what} here. Add --resume to go on with it, or choose another --out.")
        clear_parts(folder, FILE)
        if any(folder.iterdir()):
            raise RunError(f"{folder}: a {what} is written into a new or empty folder. Choose another --out.")
        try:
            write_json(folder / FILE, document)
        except BaseException:
            discard(folder)
            raise
    except BaseException as problem:
        lock.release()
        if isinstance(problem, OSError):
            raise _unwritable(folder, problem.strerror) from None
        raise
    return lock


def _unwritable(folder: Path, why: str | None) -> RunError:
    return RunError(f"{folder}: cannot be written ({why}). Choose another --out.")


def resumed(folder: Path, what: str) -> FolderLock | None:
    """Keep others out of a folder that is gone on with, and remove what a killed process left half-written there.

    Of several processes that train together the first one does; None for the others.
    Raises `RunError` where another process is in it, or there is nothing to go on with.
    """
    if not (folder / FILE).is_file():
        raise RunError(f"{folder}: there is no {what} to resume. Leave out --resume to start one.")
    if ranks.rank():
        return None
    lock = FolderLock(folder, f"is working on this {what}", make=False)
    clear_parts(folder)
    return lock


def recall(folder: Path, what: str, file_format: str, read: Callable[[Any], R], asked: Mapping[str, Any]) -> R:
    """The request in a folder, as `read` makes it of a JSON document; what is `asked` now must not contradict it.

    Raises `RunError` for what is not there, not a request, or contradicted.
    """
    file = folder / FILE
    if not file.is_file():
        raise RunError(f"{folder}: there is no {what} to resume. Leave out --resume to start one.")
    try:
        check_plain_folder(folder, f"the folder of a {what}", RunError)
    except OSError as problem:
        raise RunError(f"{folder}: cannot be read ({problem.strerror}).") from None
    document = read_mapping(file, MAX_BYTES)
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


def ask_for_code(folder: Path, code: Mapping[str, str], asked: Mapping[str, Any]) -> None:
    """Refuse to go on where that runs `code`, by option, which the folder names and nobody has `asked` for now.

    Whoever made the folder chose it, and a folder may come from a stranger. Raises `RunError`.
    """
    for option, place in code.items():
        if asked.get(option) != place:
            raise RunError(
                f"{folder}: its {_CODE[option]} {place!r}: to go on runs that code, which whoever made the folder "
                f"named. If you know it, say so:{code_option(code)}"
            )


def code_option(code: Mapping[str, str]) -> str:
    """The options by which one says again what is code, with a space before each."""
    return "".join(f" --{option} {shlex.quote(place)}" for option, place in code.items())


def discard(folder: Path, *names: str) -> None:
    """Leave nothing behind of what was begun in vain: the request, these files, and the folder if that was all."""
    for name in (FILE, *names):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # not empty: not ours
        folder.rmdir()
        if folder.parent == Path("runs"):
            folder.parent.rmdir()


def write_json(file: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, atomically."""
    write_atomic(file, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def resumable(folder: Path, command: str, option: str = "") -> Iterator[None]:
    """Whatever stops the work in a folder, the system's refusal or an interrupt, ends with how `command` goes on, with
    this `option` if any.

    Raises `Refused` for an `OSError`, and `Interrupted` for a `KeyboardInterrupt`.
    """
    go_on = f"{command} --resume --out {shlex.quote(str(folder))}{option}"
    try:
        yield
    except OSError as problem:
        check_present(folder)
        raise Refused.of(problem, f"go on: {go_on}", folder) from problem
    except Interrupted as interrupted:
        raise Interrupted(f"{interrupted} Go on: {go_on}") from None
    except KeyboardInterrupt:
        raise Interrupted(f"what was done is kept. Go on: {go_on}") from None


def check_present(folder: Path) -> None:
    """Raise `RunError` where the folder was removed meanwhile: what is written from now on would be lost."""
    if not (folder / FILE).is_file():
        raise RunError(f"{folder}: this folder was removed, and what was done so far with it. Start again.")


def read_mapping(file: Path, limit: int = files.MAX_FILE_BYTES) -> dict[str, Any]:
    """The JSON mapping in a file of at most `limit` bytes. Raises `RunError` for anything else."""
    document = files.read_json(file, RunError, limit)
    if not isinstance(document, dict):
        raise RunError(f"{file}: a JSON mapping is expected here.")
    return document

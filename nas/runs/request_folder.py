"""RequestFolder: a folder that begins with a request: what searches and trainings have in common.

`request.json` is written before anything else, so that whatever was begun can be gone on with.
"""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import nas
from nas.errors import Interrupted, Refused, RunError
from nas.system import files, ranks
from nas.system.atomic import clear_parts, write_atomic
from nas.system.files import check_plain_folder
from nas.system.folder_lock import FolderLock, is_held

FILE = "request.json"
MAX_BYTES = 1 << 20
"""Of request.json."""

_CODE = {"data": "pictures are", "controller": "controller is", "accuracy": "accuracy is"}


class Asked(Protocol):
    """A request: what a folder begins with."""

    @property
    def code(self) -> dict[str, str]:
        """The options that name code of one's own, which is run."""

    def to_json(self) -> dict[str, Any]:
        """The request as a JSON mapping."""

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """The inverse of `to_json`. Raises `RunError` where the document is no request."""


R = TypeVar("R", bound=Asked)


class RequestFolder(ABC, Generic[R]):
    """A folder and the request in it. `create` and `resume` make one for this process alone, until it is released."""

    what: ClassVar[str]
    """What is requested, as messages say it."""
    command: ClassVar[str]
    """The command that works in such a folder."""
    file_format: ClassVar[str]
    """The format that request.json names."""
    request_class: ClassVar[type[Any]]

    def __init__(self, path: Path, request: R, lock: FolderLock | None = None) -> None:
        self.path = path
        self.request = request
        self._lock = lock

    @classmethod
    def create(cls, path: Path | None, request: R) -> Self:
        """A new folder, by default `runs/STEM-N`, with its request in it.

        Raises `RunError` where another process is in it, something is there already, or nothing can be written.
        """
        ranks.check_named(path)
        folder = path or numbered(cls._stem(request))
        return cls(folder, request, cls._begin(folder, request))

    @classmethod
    def resume(cls, path: Path | None, asked: Mapping[str, Any]) -> Self:
        """The folder to go on with; `asked` must not contradict its request.

        What it would go on with as code of one's own (`python:` data) must be asked for again: see `ask_for_code`.
        Raises `RunError` where another process is in it, or there is nothing to go on with.
        """
        folder = path or cls._newest(asked)
        request = cls.recall(folder, asked)
        if not cls(folder, request).finished:
            ask_for_code(folder, request.code, asked)
        if ranks.rank():
            return cls(folder, request)
        lock = FolderLock(folder, f"is working on this {cls.what}", make=False)
        clear_parts(folder)  # what a killed process left half-written
        return cls(folder, request, lock)

    @classmethod
    def load(cls, path: Path) -> Self:
        """A finished one. Raises `RunError` where there is none, or it is not finished."""
        found = cls(path, cls.recall(path, {}))
        if not found.finished:
            if is_held(path):
                raise RunError(f"{path}: this {cls.what} is not finished: a process is working on it. Wait for it.")
            raise RunError(f"{path}: this {cls.what} is not finished. Go on with it: {found.go_on}")
        return found

    @classmethod
    def is_at(cls, path: Path) -> bool:
        """Whether this is such a folder, by the format in its request.json. Raises `RunError` where that is broken."""
        file = path / FILE
        return file.is_file() and read_mapping(file, MAX_BYTES).get("format") == cls.file_format

    @classmethod
    @abstractmethod
    def _stem(cls, request: R) -> str:
        """What the names of folders begin with that nobody has named."""

    @classmethod
    @abstractmethod
    def _newest(cls, asked: Mapping[str, Any]) -> Path:
        """The folder to go on with where none is named. Raises `NasError` where that is not known."""

    @classmethod
    def _begin(cls, folder: Path, request: R) -> FolderLock | None:
        """Make a new folder with a request in it, and keep others out.

        Of several processes that train together the first one makes it; None for the others.
        """
        if ranks.rank():
            return None
        document = {
            "format": cls.file_format,
            "request": request.to_json(),
            "nas": nas.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        what = cls.what
        try:
            lock = FolderLock(folder, f"is working on this {what}")
        except OSError as problem:
            raise _unwritable(folder, problem.strerror) from None
        try:
            if (folder / FILE).exists():
                raise RunError(
                    f"{folder}: there is a {what} here. Add --resume to go on with it, or choose another --out."
                )
            clear_parts(folder, FILE)
            if any(folder.iterdir()):
                raise RunError(f"{folder}: a {what} is written into a new or empty folder. Choose another --out.")
            fresh = cls(folder, request)
            try:
                fresh.write(FILE, document)
            except BaseException:
                fresh.discard()
                raise
        except BaseException as problem:
            lock.release()
            if isinstance(problem, OSError):
                raise _unwritable(folder, problem.strerror) from None
            raise
        return lock

    @classmethod
    def recall(cls, folder: Path, asked: Mapping[str, Any]) -> R:
        """The request in a folder; what is `asked` now must not contradict it.

        Raises `RunError` for what is not there, not a request, or contradicted.
        """
        file, what = folder / FILE, cls.what
        if not file.is_file():
            raise RunError(f"{folder}: there is no {what} to resume. Leave out --resume to start one.")
        try:
            check_plain_folder(folder, f"the folder of a {what}", RunError)
        except OSError as problem:
            raise RunError(f"{folder}: cannot be read ({problem.strerror}).") from None
        document = read_mapping(file, MAX_BYTES)
        if document.get("format") != cls.file_format:
            raise RunError(
                f"{file}: a {what}'s request has format {cls.file_format!r}, got {document.get('format')!r}."
            )
        try:
            request: R = cls.request_class.from_json(document.get("request"))
        except RunError as problem:
            raise RunError(f"{file}: {problem}") from None
        for name, value in asked.items():
            if getattr(request, name) != value:
                raise RunError(
                    f"{folder}: this {what} has {name} {getattr(request, name)!r}, the request says {value!r}. "
                    "Leave the option out, or choose another --out."
                )
        return request

    def release(self) -> None:
        """Let other processes work in the folder."""
        if self._lock is not None:
            self._lock.release()

    @property
    def go_on(self) -> str:
        """What to type to go on with it."""
        return f"{self.command} --resume --out {shlex.quote(str(self.path))}{code_option(self.request.code)}"

    @property
    def document(self) -> dict[str, Any]:
        """The content of request.json: the request, and when and by which version it was made."""
        return read_mapping(self.path / FILE, MAX_BYTES)

    @property
    def finished(self) -> bool:
        """Whether the result was written."""
        return (self.path / "result.json").is_file()

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file, atomically."""
        write_atomic(self.path / name, json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    def discard(self, *names: str) -> None:
        """Leave nothing behind of what was begun in vain: the request, these files, and the folder if that was all."""
        for name in (FILE, *names):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: not ours
            self.path.rmdir()
            if self.path.parent == Path("runs"):
                self.path.parent.rmdir()

    @contextmanager
    def resumable(self, option: str = "") -> Iterator[None]:
        """Whatever stops the work, the system's refusal or an interrupt, ends with how to go on, with this `option` of
        the command if any.

        Raises `Refused` for an `OSError`, and `Interrupted` for a `KeyboardInterrupt`.
        """
        go_on = f"{self.go_on}{option}"
        try:
            yield
        except OSError as problem:
            self.check_present()
            raise Refused.of(problem, f"go on: {go_on}", self.path) from problem
        except Interrupted as interrupted:
            raise Interrupted(f"{interrupted} Go on: {go_on}") from None
        except KeyboardInterrupt:
            raise Interrupted(f"what was done is kept. Go on: {go_on}") from None

    def check_present(self) -> None:
        """Raise `RunError` where the folder was removed meanwhile: what is written from now on would be lost."""
        if not (self.path / FILE).is_file():
            raise RunError(f"{self.path}: this folder was removed, and what was done so far with it. Start again.")


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


def read_mapping(file: Path, limit: int = files.MAX_FILE_BYTES) -> dict[str, Any]:
    """The JSON mapping in a file of at most `limit` bytes. Raises `RunError` for anything else."""
    document = files.read_json(file, RunError, limit)
    if not isinstance(document, dict):
        raise RunError(f"{file}: a JSON mapping is expected here.")
    return document


def _unwritable(folder: Path, why: str | None) -> RunError:
    return RunError(f"{folder}: cannot be written ({why}). Choose another --out.")

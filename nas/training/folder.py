"""Folder: where one training is kept.

request.json            what was asked for, written first     config.json        the network, with what it achieved
checkpoint.safetensors  where it stands                       model.safetensors  its weights
metrics.csv             an epoch a line                       result.json        all of it, written last
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nas
from nas.atomic import PART, write_atomic
from nas.errors import NasError, RunError
from nas.files import read_json
from nas.training.request import FORMAT, Request


class Folder:
    """One training's folder. `Folder.create` and `Folder.resume` make one."""

    def __init__(self, path: Path, request: Request) -> None:
        self.path = path
        self.request = request

    @classmethod
    def create(cls, path: Path | None, request: Request) -> Folder:
        """A new folder, by default `runs/train-DATA-N`, with its request in it."""
        place = path or _numbered(request)
        if (place / "request.json").exists():
            raise RunError(f"{place}: there is a run here. Add --resume to go on with it, or choose another --out.")
        try:
            _clear_parts(place)
            if place.exists() and any(place.iterdir()):
                raise RunError(f"{place}: a training is written into a new or empty folder. Choose another --out.")
            place.mkdir(parents=True, exist_ok=True)
            folder = cls(place, request)
            folder.write(
                "request.json",
                {
                    "format": FORMAT,
                    "request": request.to_json(),
                    "nas": nas.__version__,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                },
            )
        except OSError as problem:
            raise RunError(f"{place}: cannot be written ({problem.strerror}). Choose another --out.") from None
        return folder

    @classmethod
    def resume(cls, path: Path | None, asked: Mapping[str, Any]) -> Folder:
        """The training in a folder; what is `asked` must not contradict it."""
        if path is None:
            raise NasError("--resume needs --out, the folder of the training to go on with.")
        file = path / "request.json"
        if not file.is_file():
            raise RunError(f"{path}: there is no training to resume. Leave out --resume to start one.")
        document = read_json(file, RunError)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise RunError(f"{file}: this is not the request of a training, which has format {FORMAT!r}.")
        try:
            request = Request.from_json(document.get("request"))
        except RunError as problem:
            raise RunError(f"{file}: {problem}") from None
        for name, value in asked.items():
            if getattr(request, name) != value:
                raise RunError(
                    f"{path}: this training has {name} {getattr(request, name)!r}, the request says {value!r}. "
                    "Leave the option out, or choose another --out."
                )
        return cls(path, request)

    @property
    def finished(self) -> bool:
        """Whether the result was written."""
        return (self.path / "result.json").is_file()

    @property
    def result(self) -> dict[str, Any]:
        """Everything that `nas train --json` prints."""
        document = read_json(self.path / "result.json", RunError)
        if not isinstance(document, dict):
            raise RunError(f"{self.path}/result.json: a JSON mapping is expected here.")
        return {**document, "training": str(self.path)}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out. Raises `RunError` where one is in."""
        with (self.path / "request.json").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"{self.path}: another process trains here. Wait for it, or stop it.") from None
            _clear_parts(self.path)
            yield

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file, atomically."""
        write_atomic(self.path / name, json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    def discard_unless_begun(self) -> None:
        """Leave nothing behind of a training whose request turned out wrong before a checkpoint was written."""
        if not (self.path / "checkpoint.safetensors").exists():
            for name in ("request.json", "metrics.csv"):
                (self.path / name).unlink(missing_ok=True)
            with suppress(OSError):  # not empty: not ours
                self.path.rmdir()
                if self.path.parent == Path("runs"):
                    self.path.parent.rmdir()


def _clear_parts(place: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in place.glob(f".*{PART}"):
        part.unlink(missing_ok=True)


def _numbered(request: Request) -> Path:
    kind, _, argument = request.data.partition(":")
    word = Path(argument).stem if argument else kind
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", word).strip("-") or "own"
    return next(p for n in range(1, 10**9) if not (p := Path("runs") / f"train-{stem}-{n}").exists())

"""Folder: where one training is kept.

request.json            what was asked for, written first     config.json        the network, with what it achieved
checkpoint.safetensors  where it stands                       model.safetensors  its weights
metrics.csv             an epoch a line                       result.json        all of it, written last
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas import ranks
from nas.errors import NasError, RunError
from nas.request_folder import begin, clear_parts, discard, read_mapping, recall, write_json
from nas.training.request import FORMAT, Request


class Folder:
    """One training's folder. `Folder.create` and `Folder.resume` make one."""

    def __init__(self, path: Path, request: Request) -> None:
        self.path = path
        self.request = request

    @classmethod
    def create(cls, path: Path | None, request: Request) -> Folder:
        """A new folder, by default `runs/train-DATA-N`, with its request in it."""
        ranks.check_named(path)
        place = path or _numbered(request)
        begin(place, "training", FORMAT, request.to_json())
        return cls(place, request)

    @classmethod
    def resume(cls, path: Path | None, asked: Mapping[str, Any]) -> Folder:
        """The training in a folder; what is `asked` must not contradict it."""
        if path is None:
            raise NasError("--resume needs --out, the folder of the training to go on with.")
        return cls(path, recall(path, "training", FORMAT, Request.from_json, asked))

    @property
    def finished(self) -> bool:
        """Whether the result was written."""
        return (self.path / "result.json").is_file()

    @property
    def result(self) -> dict[str, Any]:
        """Everything that `nas train --json` prints."""
        return {**read_mapping(self.path / "result.json"), "training": str(self.path)}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out. Raises `RunError` where one is in."""
        with (self.path / "request.json").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"{self.path}: another process trains here. Wait for it, or stop it.") from None
            clear_parts(self.path)
            yield

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file, atomically."""
        write_json(self.path / name, document)

    def discard_unless_begun(self) -> None:
        """Leave nothing behind of a training whose request turned out wrong before a checkpoint was written."""
        if not (self.path / "checkpoint.safetensors").exists():
            discard(self.path, "metrics.csv")


def _numbered(request: Request) -> Path:
    kind, _, argument = request.data.partition(":")
    word = Path(argument).stem if argument else kind
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", word).strip("-") or "own"
    return next(p for n in range(1, 10**9) if not (p := Path("runs") / f"train-{stem}-{n}").exists())

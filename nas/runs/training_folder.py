"""Folder: where one training is kept.

request.json            what was asked for, written first     config.json        the network, with what it achieved
checkpoint.safetensors  where it stands                       model.safetensors  its weights
metrics.csv             an epoch a line                       result.json        all of it, written last
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.runs.request_folder import ask_for_code, begin, discard, numbered, read_mapping, recall, resumed, write_json
from nas.runs.training_request import FORMAT, Request
from nas.system import ranks
from nas.system.folder_lock import FolderLock


class Folder:
    """One training's folder. `Folder.create` and `Folder.resume` make one, for this process alone until it is
    released."""

    def __init__(self, path: Path, request: Request, lock: FolderLock | None = None) -> None:
        self.path = path
        self.request = request
        self._lock = lock

    @classmethod
    def create(cls, path: Path | None, request: Request) -> Folder:
        """A new folder, by default `runs/train-DATA-N`, with its request in it."""
        ranks.check_named(path)
        place = path or numbered(_stem(request))
        return cls(place, request, begin(place, "training", FORMAT, request.to_json()))

    @classmethod
    def resume(cls, path: Path | None, asked: Mapping[str, Any]) -> Folder:
        """The training in a folder; what is `asked` must not contradict it, and must name code that it runs."""
        if path is None:
            raise NasError("--resume needs --out, the folder of the training to go on with.")
        request = recall(path, "training", FORMAT, Request.from_json, asked)
        if not cls(path, request).finished:
            ask_for_code(path, request.code, asked)
        return cls(path, request, resumed(path, "training"))

    def release(self) -> None:
        """Let other processes work in the folder."""
        if self._lock is not None:
            self._lock.release()

    @property
    def finished(self) -> bool:
        """Whether the result was written."""
        return (self.path / "result.json").is_file()

    @property
    def result(self) -> dict[str, Any]:
        """Everything that `nas train --json` prints."""
        return {**read_mapping(self.path / "result.json"), "training": str(self.path)}

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file, atomically."""
        write_json(self.path / name, document)

    def discard_unless_begun(self) -> None:
        """Leave nothing behind of a training whose request turned out wrong before a checkpoint was written."""
        if not (self.path / "checkpoint.safetensors").exists():
            discard(self.path, "metrics.csv")


def _stem(request: Request) -> str:
    kind, _, argument = request.data.partition(":")
    word = Path(argument).stem if argument else kind
    return f"train-{re.sub(r'[^A-Za-z0-9_-]+', '-', word).strip('-') or 'own'}"

"""TrainingFolder: where one training is kept.

request.json            what was asked for, written first     config.json        the network, with what it achieved
checkpoint.safetensors  where it stands                       model.safetensors  its weights
metrics.csv             an epoch a line                       answers.json       what it says of the test pictures
result.json             all of it, written last
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.runs.request_folder import FILE, RequestFolder, read_mapping
from nas.runs.training_request import TrainingRequest


class TrainingFolder(RequestFolder[TrainingRequest]):
    """One training's folder, with its result once that is there."""

    what = "training"
    command = "nas train"
    file_format = "nas-training/1"
    request_class = TrainingRequest

    @property
    def result(self) -> dict[str, Any]:
        """Everything that `nas train --json` prints."""
        return {**read_mapping(self.path / "result.json"), "training": str(self.path)}

    def discard_unless_begun(self) -> None:
        """Leave nothing behind of a training whose request turned out wrong before a checkpoint was written."""
        if not (self.path / "checkpoint.safetensors").exists():
            self.discard("metrics.csv")

    @classmethod
    def newest_from(cls, run: Path) -> TrainingFolder | None:
        """The newest of the finished trainings beside a run that began from its winner; None without one."""
        place, found = run.resolve(), []
        starts = {str(each) for each in (place, place / "winner", place / "winner" / "config.json")}
        parent = run.parent if run.name not in ("", "..") else place.parent
        for file in parent.glob(f"*/{FILE}"):
            with suppress(NasError, OSError):
                training = cls(file.parent, cls.recall(file.parent, {}))
                if training.finished and training.request.config in starts:
                    found.append(((file.parent / "result.json").stat().st_mtime_ns, training))
        return max(found, key=lambda each: each[0])[1] if found else None

    @classmethod
    def _stem(cls, request: TrainingRequest) -> str:
        kind, _, argument = request.data.partition(":")
        word = Path(argument).stem if argument else kind
        return f"train-{re.sub(r'[^A-Za-z0-9_-]+', '-', word).strip('-') or 'own'}"

    @classmethod
    def _newest(cls, asked: Mapping[str, Any]) -> Path:
        raise NasError("--resume needs --out, the folder of the training to go on with.")

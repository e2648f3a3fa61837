"""TrainingFolder: where one training is kept.

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
from nas.runs.request_folder import RequestFolder, read_mapping
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
    def _stem(cls, request: TrainingRequest) -> str:
        kind, _, argument = request.data.partition(":")
        word = Path(argument).stem if argument else kind
        return f"train-{re.sub(r'[^A-Za-z0-9_-]+', '-', word).strip('-') or 'own'}"

    @classmethod
    def _newest(cls, asked: Mapping[str, Any]) -> Path:
        raise NasError("--resume needs --out, the folder of the training to go on with.")

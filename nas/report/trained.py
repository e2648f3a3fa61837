"""Trained: all that a report says of a training, read from its folder and checked once.

Nothing is trained or loaded again, and no pictures are needed: what the network said of them lies in answers.json.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import RunError
from nas.formats.answers import Answers, read_answers
from nas.formats.config import Config, read_config, told_latencies
from nas.runs.training_folder import TrainingFolder
from nas.runs.training_request import TrainingRequest
from nas.system.files import lines, read_text

Floats = NDArray[np.float64]

COLUMNS = ("epoch", "train_loss", "train_top1", "validation_loss", "validation_top1", "learning_rate")
"""Of metrics.csv, those that are shown."""
MAX_METRICS = 32 << 20
"""Bytes of metrics.csv."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training."""

    path: Path
    request: TrainingRequest
    created: str
    nas: str
    """The version that trained."""
    config: Config
    result: Mapping[str, Any]
    """The content of result.json."""
    top1: float
    """Of the test pictures, in percent, as is its standard `error`."""
    error: float
    count: int
    """Test pictures."""
    epochs: Mapping[str, Floats]
    """The columns of metrics.csv, an epoch an entry; not a number where it has none."""
    answers: Answers | None
    """None where an earlier version trained, which kept none."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the outputs."""
        pictures, count = self.config.pictures, self.config.architecture.num_classes
        return pictures.classes if pictures and pictures.classes else tuple(map(str, range(count)))

    @property
    def known(self) -> list[dict[str, Any]]:
        """What the config says of its latency on each target, at least one; empty where it says nothing."""
        return told_latencies(self.config.metrics) or [{}]

    def confusion(self, shown: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[n, n]: of the classes `shown`, those that pictures have by those that they are taken for."""
        place = np.full(len(self.classes), -1)
        place[shown] = np.arange(len(shown))
        counts = self.counts
        rows, columns = place[counts[:, 0]], place[counts[:, 1]]
        both = (rows >= 0) & (columns >= 0)
        matrix = np.zeros((len(shown), len(shown)), np.int64)
        np.add.at(matrix, (rows[both], columns[both]), counts[both, 2])
        return matrix

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64[P, 3]: true class, class that it is taken for, pictures."""
        return np.array(self.answers.counts if self.answers else [], np.int64).reshape(-1, 3)


def read_trained(folder: TrainingFolder) -> Trained:
    """Read a finished training. Raises `NasError` where a file of it is missing or something else."""
    config = read_config(folder.path / "config.json")
    result, head = folder.result, folder.document
    try:
        test = result["test"]
        top1, error, count = float(test["top1"]), float(test["standard_error"]), int(test["count"])
        created, version = str(head["created"]), str(head["nas"])
    except (KeyError, TypeError, ValueError, OverflowError) as problem:
        raise RunError(f"{folder.path}/result.json: this is no result of nas ({problem!r}).") from None
    return Trained(
        path=folder.path,
        request=folder.request,
        created=created,
        nas=version,
        config=config,
        result=result,
        top1=top1,
        error=error,
        count=count,
        epochs=_epochs(folder.path / "metrics.csv"),
        answers=read_answers(folder.path, config.architecture.num_classes),
    )


def _epochs(path: Path) -> dict[str, Floats]:
    """Columns of metrics.csv. Raises `RunError` where it is something else."""
    reader = csv.DictReader(lines(read_text(path, RunError, MAX_METRICS), path, RunError), strict=True)
    try:
        rows = [[float(row.get(name) or "nan") for name in COLUMNS] for row in reader]
    except (ValueError, csv.Error):
        raise RunError(f"{path}: an epoch is a line of numbers named {', '.join(COLUMNS)}.") from None
    table = np.array(rows, np.float64).reshape(-1, len(COLUMNS))
    return dict(zip(COLUMNS, table[np.isfinite(table[:, 0])].T, strict=True))

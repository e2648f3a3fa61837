"""History: an epoch a line, as metrics.csv and in checkpoints."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch. Training figures are of the weights as they were at each step, on augmented pictures."""

    epoch: int
    """From 1."""
    step: int
    """Steps made by its end."""
    train_loss: float
    train_top1: float
    """Percent; of mixed pictures the larger share counts."""
    validation_top1: float | None
    """Percent, of the averaged weights; None without validation pictures."""
    validation_loss: float | None = None
    """Likewise, in nats; None also in trainings that version 0.1 began."""
    learning_rate: float
    """Of its last step."""
    seconds: float
    """Of its training steps."""
    pictures_per_second: float


History = tuple[Epoch, ...]


def to_csv(history: Sequence[Epoch]) -> str:
    """The content of metrics.csv."""
    text = io.StringIO()
    known = all(epoch.validation_loss is not None for epoch in history)
    names = [field.name for field in fields(Epoch) if known or field.name != "validation_loss"]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in history)
    return text.getvalue()


def to_rows(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    """As JSON values."""
    return [asdict(epoch) for epoch in history]

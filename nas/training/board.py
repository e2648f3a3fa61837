"""TensorBoard, where it was asked for: metrics.csv as curves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.errors import NasError
from nas.training.history import Epoch


def board(folder: Path) -> Callable[[Epoch], None]:
    """What writes an epoch's figures into `folder`/tensorboard. Raises `NasError` where TensorBoard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise NasError("--tensorboard needs TensorBoard, which is not here: pip install 'nas[tensorboard]'") from None
    writer = SummaryWriter(str(folder / "tensorboard"))

    def write(epoch: Epoch) -> None:
        for name in (
            "train_loss",
            "train_top1",
            "validation_top1",
            "validation_loss",
            "learning_rate",
            "pictures_per_second",
        ):
            value = getattr(epoch, name)
            if value is not None:
                writer.add_scalar(name, value, epoch.epoch)
        writer.flush()

    return write

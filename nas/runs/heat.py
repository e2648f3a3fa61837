"""Heat: the training of one network for one round of a race, here or by a worker."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nas.accuracy.one_thread import one_thread
from nas.accuracy.short_training import top1_of
from nas.accuracy.trainings import Curve
from nas.blocks.architecture import Architecture
from nas.errors import Diverged, OutOfMemory
from nas.formats.weights import random_weights
from nas.formats.weights_file import Array, plain_weights
from nas.system.teller import Silent, Teller
from nas.training.choices import default_batch, default_rate
from nas.training.fit import fit
from nas.training.network import network_of
from nas.training.recipe import Recipe

if TYPE_CHECKING:
    from nas.data.data import Data


@dataclass(frozen=True, eq=False)
class Lap:
    """One network in one round."""

    key: str
    """Names it in the race."""
    architecture: Architecture
    weights: Mapping[str, Array] | None
    """What it has reached; None begins from scratch."""
    inherited: bool
    """Whether it began the race with weights that it inherited, which want a lower rate."""
    epochs: int
    round: int


@dataclass(frozen=True, eq=False)
class Heat:
    """Trains a network for a round: Lap → its top-1 on held-out pictures after each epoch, and its weights; or why it
    has none, where the training diverges or does not fit into memory.

    In a round all see the same pictures in the same order.
    """

    data: Mapping[tuple[int, int], Data]
    """By the size of the pictures that a network takes."""
    seed: int
    folder: Path | None
    """Where a training that is interrupted is kept; None keeps none."""
    teller: Teller = Silent()  # noqa: RUF009  # has no state

    def __call__(self, lap: Lap) -> tuple[Curve, dict[str, Array]] | str:
        """Raises `NasError` and `Interrupted` as `fit` does else."""
        architecture, batch = lap.architecture, default_batch(lap.inherited)
        weights = random_weights(architecture, self.seed) if lap.weights is None else lap.weights
        recipe = Recipe(epochs=lap.epochs, batch=batch, learning_rate=default_rate(batch, lap.inherited))
        folder = None if self.folder is None else self.folder / lap.key
        if folder is not None:
            folder.mkdir(exist_ok=True)
        alone = self.folder is not None or torch.cuda.is_available()  # a worker has one core of several
        with nullcontext() if alone else one_thread():
            try:
                fitted = fit(
                    network_of(architecture, weights),
                    self.data[architecture.height, architecture.width],
                    recipe,
                    seed=self.seed + lap.round,
                    folder=folder,
                    teller=self.teller,
                )
            except (Diverged, OutOfMemory) as problem:
                return reason(problem)
        return tuple(top1_of(epoch) for epoch in fitted.history), plain_weights(fitted.network.state_dict())

    def __reduce__(self) -> tuple[type[Heat], tuple[Mapping[tuple[int, int], Data], int, None]]:
        """To another process goes what it needs: not who watches, nor pictures that are for the end alone."""
        seen = {size: replace(data, test=data.test.take(np.arange(0))) for size, data in self.data.items()}
        return Heat, (seen, self.seed, None)


def reason(problem: Exception) -> str:
    """What happened, without what helps elsewhere."""
    return str(problem).partition(". ")[0]

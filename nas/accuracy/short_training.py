"""Short training: accuracy of each network after a few epochs by itself.

`--accuracy train[:EPOCHS]` trains each for all of them, `--accuracy asha[:EPOCHS]` leaves off with those that fall
behind (`halving.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from nas.accuracy.one_thread import one_thread
from nas.accuracy.trainings import FILE, Curve, Trainings
from nas.blocks.architecture import Architecture
from nas.data.data import Data
from nas.errors import Diverged, Interrupted, NasError
from nas.space.space import Population, Space
from nas.system.teller import Silent, Teller
from nas.training.fit import fit
from nas.training.history import Epoch
from nas.training.network import untrained
from nas.training.recipe import Recipe
from nas.training.score import standard_error
from nas.workers import Workers

VERSION = "train/2"
EPOCHS = 3
DIVERGED = 0.0
"""Top-1 of a network whose weights are no numbers any more, in percent: it answers nothing."""
GPU = True
"""A training takes one where there is one."""


@dataclass(frozen=True, eq=False)
class Training:
    """Trains a network from scratch: Architecture → its top-1 on held-out pictures after each epoch.

    The same seed for all: two networks see the same pictures in the same order. On a processor it runs on one thread,
    so that the figures are the same in this process as in a worker; several at once use several cores.
    """

    data: Data
    recipe: Recipe
    seed: int
    teller: Teller = Silent()  # noqa: RUF009  # has no state

    def __call__(self, architecture: Architecture, watch: Callable[[Epoch], object] = lambda epoch: None) -> Curve:
        """`watch` is called with every epoch that ends; one that diverges is the last, and `DIVERGED`. Raises what else
        `fit` does."""
        network, curve = untrained(architecture, self.seed), list[float]()

        def ended(epoch: Epoch) -> None:
            curve.append(top1_of(epoch))
            watch(epoch)

        with nullcontext() if torch.cuda.is_available() else one_thread():
            try:
                fit(network, self.data, self.recipe, seed=self.seed, teller=self.teller, watch=ended)
            except Diverged:
                curve.append(DIVERGED)
        return tuple(curve)

    def __reduce__(self) -> tuple[type[Training], tuple[Data, Recipe, int]]:
        """To another process goes what it needs: not who watches, nor pictures that are for the end alone."""
        nothing = self.data.test.take(np.arange(0))
        return Training, (replace(self.data, test=nothing), self.recipe, self.seed)


def top1_of(epoch: Epoch) -> float:
    """Of an epoch of a training with pictures held out."""
    return cast(float, epoch.validation_top1)


class Method(Protocol):
    """How the networks of a batch are trained."""

    @property
    def version(self) -> str:
        """Differs whenever the same network may get another accuracy."""

    @property
    def label(self) -> str:
        """What the accuracy is, as it is shown beside it."""

    def described(self, epochs: str) -> str:
        """What becomes of each network, as part of a sentence; `epochs` is their number in words."""

    def at_once(self) -> int:
        """How many networks are trained at the same time."""

    def trained(self, training: Training, networks: Sequence[Architecture]) -> Generator[tuple[int, Curve], None, None]:
        """The curve of every network, with its index, as they are finished. See `Workers.map` for what is raised."""


class Whole:
    """Each network is trained for all its epochs, here or by the workers."""

    version = VERSION
    label = "short-training top-1"

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def described(self, epochs: str) -> str:
        return f"each network trained for {epochs}"

    def at_once(self) -> int:
        return self._workers.at_once(GPU)

    def trained(self, training: Training, networks: Sequence[Architecture]) -> Generator[tuple[int, Curve], None, None]:
        return self._workers.map(training, networks, gpu=GPU)


@dataclass(eq=False)
class ShortTraining:
    """Accuracy on held-out pictures after training from scratch; calling it gives `float64[N]`, in percent."""

    unit: ClassVar[str] = "%"

    space: Space
    training: Training
    method: Method
    folder: Path | None
    """Where it is kept what was trained, from one process to the next."""
    teller: Teller

    @property
    def label(self) -> str:
        return self.method.label

    @property
    def classes(self) -> int:
        return len(self.training.data.classes)

    @property
    def provenance(self) -> str:
        data, epochs = self.training.data, self.training.recipe.epochs
        method = self.method.described(f"{epochs} epoch{'s' if epochs > 1 else ''}")
        return f"{method} on {data.name} at {data.seen}, on {len(data.validation):,} pictures held out"

    @property
    def fingerprint(self) -> str:
        recipe, data = self.training.recipe.to_json(), self.training.data.fingerprint
        parts = (self.method.version, recipe, self.training.seed, self.space.fingerprint, data, torch.__version__)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def at_once(self) -> int:
        return self.method.at_once()

    def __call__(self, population: Population) -> NDArray[np.float64]:
        """Top-1 after the last epoch that a network had, `float64[N]`."""
        return np.array([curve[-1] for curve in self.curves(population)])

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """Standard error by the number of pictures, in points; it says nothing of another seed."""
        count = len(self.training.data.validation)
        return np.array([standard_error(curve[-1], count) for curve in self.curves(population)])

    def curves(self, population: Population) -> list[Curve]:
        """Top-1 after each epoch of each network of a population `uint8[N, D]`; trains those that are not known."""
        canonical = self.space.canonical(population)
        rows = self._known.missing(canonical)
        networks = [self.space.decode(canonical[row]) for row in rows]
        try:
            with closing(self.method.trained(self.training, networks)) as trained:
                for done, (index, curve) in enumerate(trained, 1):
                    self._known.add(canonical[rows[index]], curve)
                    if curve[-1] == DIVERGED:
                        self.teller.say("0 % of the held-out pictures: a training seems to have diverged")
                    if len(rows) > 1:
                        self.teller.progress(done, len(rows), "networks")
        except Interrupted:
            raise Interrupted(f"{len(self._known):,} trainings are kept.") from None
        return self._known.of(canonical)

    @cached_property
    def _known(self) -> Trainings:
        return Trainings(self.space, None if self.folder is None else self.folder / FILE, self.fingerprint)


def epochs_of(name: str, argument: str, usual: int) -> int:
    """`EPOCHS`, or the usual ones for nothing. Raises `NasError` for anything else."""
    if argument and not (argument.isdecimal() and 1 <= int(argument) <= 10_000):
        raise NasError(f"`{name}:` takes a number of epochs from 1 to 10,000, got {argument[:40]!r}.")
    return int(argument or usual)

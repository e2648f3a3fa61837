"""Short training: accuracy of each network after a few epochs by itself (`--accuracy train[:EPOCHS]`)."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from nas.data.data import Data
from nas.errors import NasError
from nas.export.weights import random_weights
from nas.index import GenotypeIndex
from nas.space.space import Population, Space
from nas.teller import Teller
from nas.training.fit import fit
from nas.training.network import network_of
from nas.training.recipe import Recipe
from nas.training.score import Score, evaluate

VERSION = "train/1"
EPOCHS = 3


class ShortTraining:
    """Accuracy on held-out pictures after training from scratch; calling it gives `float64[N]`, in percent.

    The same seed for all: two networks see the same pictures in the same order.
    """

    label: ClassVar[str] = "short-training top-1"
    unit: ClassVar[str] = "%"

    def __init__(self, space: Space, epochs: int, data: Data, seed: int, teller: Teller) -> None:
        self.space = space
        self.data = data
        self.recipe = Recipe(epochs=epochs)
        self.seed = seed
        self._teller = teller
        self._index = GenotypeIndex(space.cardinalities)
        self._known: list[Score] = []

    @classmethod
    def parse(cls, space: Space, argument: str, data: Data, seed: int, teller: Teller) -> ShortTraining:
        """`EPOCHS`, or nothing. Raises `NasError` for anything else."""
        if argument and not (argument.isdecimal() and 1 <= int(argument) <= 10_000):
            raise NasError(f"`train:` takes a number of epochs from 1 to 10,000, got {argument[:40]!r}.")
        return cls(space, int(argument or EPOCHS), data, seed, teller)

    @property
    def provenance(self) -> str:
        """One line on what the estimate rests on."""
        epochs = f"{self.recipe.epochs} epoch{'s' if self.recipe.epochs > 1 else ''}"
        return (
            f"each network trained for {epochs} on {self.data.name} at {self.data.resolution} px, "
            f"on {len(self.data.validation):,} pictures held out"
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that an accuracy depends on."""
        parts = (VERSION, self.recipe.to_json(), self.seed, self.space.fingerprint, self.data.fingerprint)
        return hashlib.sha256(repr((*parts, torch.__version__)).encode()).hexdigest()

    def __call__(self, population: Population) -> NDArray[np.float64]:
        return np.array([score.top1 for score in self._scores(population)])

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """Standard error by the number of pictures, in points; it says nothing of another seed."""
        return np.array([score.standard_error for score in self._scores(population)])

    def _scores(self, population: Population) -> list[Score]:
        canonical = self.space.canonical(population)
        for row in np.flatnonzero(self._index.first_new(canonical)):
            self._known.append(self._trained(canonical[row]))
            self._index.add(canonical[row : row + 1])
        return [self._known[row] for row in self._index.find(canonical)]

    def _trained(self, genotype: NDArray[np.uint8]) -> Score:
        architecture = self.space.decode(genotype)
        network = network_of(architecture, random_weights(architecture, self.seed))
        fitted = fit(network, self.data, self.recipe, seed=self.seed, teller=self._teller)
        return evaluate(fitted.network, self.data, self.data.validation)

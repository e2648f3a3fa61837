"""Shared weights: accuracy of a network with the weights that it inherits from a supernet (`--accuracy supernet`).

`supernet:WORD,WORD,…` sets how it is trained: a number of steps, a rule (uniform, fair, sandwich, progressive) and a
kind (superkernel, multi-path). Every network evaluated gets statistics of its own for its batch normalisation.
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from nas.data.batches import picture_tensor
from nas.data.data import Split
from nas.formats.config import Pictures
from nas.formats.merged import merged
from nas.formats.weights_file import plain_weights
from nas.space.index import GenotypeIndex
from nas.space.space import Population
from nas.supernet.shared_weights import SharedWeights
from nas.supernet.subnet import CALIBRATION, recalibrate
from nas.supernet.supernet import Genotype
from nas.training.score import Score, evaluate

MOST_PICTURES = 2_000
"""Held-out pictures that a network is evaluated on, at most."""
BATCH = 128


class Shared:
    """Accuracy on held-out pictures with inherited weights; calling it gives `float64[N]`, in percent.

    The weights are trained at the first call, unless a policy has trained them before.
    """

    label: ClassVar[str] = "supernet top-1"
    unit: ClassVar[str] = "%"

    def __init__(self, weights: SharedWeights) -> None:
        self.shared = weights
        self.space = weights.space
        self.data = weights.data
        self._index = GenotypeIndex(self.space.cardinalities)
        self._known: list[Score] = []

    @property
    def classes(self) -> int:
        return len(self.data.classes)

    @property
    def provenance(self) -> str:
        return (
            f"weights inherited from a {self.shared.settings.kind} supernet trained on {self.data.name} at "
            f"{self.data.seen}, on {min(len(self.data.validation), MOST_PICTURES):,} pictures held out"
        )

    @property
    def fingerprint(self) -> str:
        return self.shared.fingerprint

    def __call__(self, population: Population) -> NDArray[np.float64]:
        return np.array([score.top1 for score in self._scores(population)])

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """Standard error by the number of pictures, in points; it says nothing of what training alone would give."""
        return np.array([score.standard_error for score in self._scores(population)])

    def network(self, genotype: Genotype) -> torch.nn.Sequential:
        """The network of a genotype `uint8[D]` with inherited weights and statistics of its own, ready to evaluate."""
        supernet = self.shared.trained
        with torch.no_grad():
            network = supernet.standalone(genotype)
        recalibrate(network, self._calibration)
        return network

    @property
    def pictures(self) -> Pictures:
        """What networks of these weights are to be shown, and what their outputs stand for."""
        return Pictures(self.data.mean, self.data.std, self.data.classes)

    def weights(self, genotype: Genotype) -> dict[str, NDArray[np.float32]]:
        """The state of that network, by the names of `nas.blocks.build.build(architecture).state_dict()`."""
        weights = plain_weights(self.network(genotype).state_dict())
        return merged(self.shared.trained.decode(genotype), weights)

    def _scores(self, population: Population) -> list[Score]:
        canonical = self.space.canonical(population)
        split = self.data.validation
        held_out = Split(split.pictures[:MOST_PICTURES], split.labels[:MOST_PICTURES])
        for row in np.flatnonzero(self._index.first_new(canonical)):
            self._known.append(evaluate(self.network(canonical[row]), self.data, held_out))
            self._index.add(canonical[row : row + 1])
        return [self._known[row] for row in self._index.find(canonical)]

    @cached_property
    def _calibration(self) -> list[torch.Tensor]:
        pictures = self.data.train.pictures[:CALIBRATION]
        starts = range(0, max(1, len(pictures) - 1), BATCH)  # never a batch of one picture
        return [picture_tensor(self.data, pictures[i : i + BATCH]).to(self.shared.training.device) for i in starts]

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
from nas.formats.weights_file import plain_weights
from nas.space.index import GenotypeIndex
<<<<<<< HEAD
from nas.space.space import Population
from nas.supernet.shared_weights import SharedWeights
=======
from nas.space.space import Population, Space
from nas.supernet import SUPERNETS
from nas.supernet.multi_path import check_branches
from nas.supernet.rules import RULES
>>>>>>> main
from nas.supernet.subnet import CALIBRATION, recalibrate
from nas.supernet.supernet import Genotype
from nas.training.score import Score, evaluate

MOST_PICTURES = 2_000
"""Held-out pictures that a network is evaluated on, at most."""
BATCH = 128


@dataclass(eq=False)
class Shared:
    """Accuracy on held-out pictures with inherited weights; calling it gives `float64[N]`, in percent.

    The weights are trained at the first call, unless a policy has trained them before.
    """

    label: ClassVar[str] = "supernet top-1"
    unit: ClassVar[str] = "%"

<<<<<<< HEAD
    def __init__(self, weights: SharedWeights) -> None:
        self.shared = weights
        self.space = weights.space
        self.data = weights.data
        self._index = GenotypeIndex(self.space.cardinalities)
        self._known: list[Score] = []
=======
    space: Space
    data: Data
    settings: SharedSettings
    seed: int
    folder: Path | None
    """Where the supernet's checkpoint is kept."""
    teller: Teller
    processes: Processes | None = None
    """Those that train together; None is this one alone."""

    def __post_init__(self) -> None:
        self.team = self.processes or alone()
        self.team.check_batch(SUPERNETS[self.settings.kind].load().batch)
        if self.settings.kind == "multi-path":
            check_branches(self.space, self.space.candidates)  # before a run is set up
        self._trained = False
        self._index = GenotypeIndex(self.space.cardinalities)
        self._known: list[Score] = []
        if self.data.resolution >= SLOW_PIXELS and not torch.cuda.is_available():
            self.teller.say(
                f"training on pictures of {self.data.resolution} px takes very long without a GPU; --proxy-resolution "
                "32 or 64 trains the supernet on small ones and leaves the network's own resolution as it is"
            )
>>>>>>> main

    @property
    def provenance(self) -> str:
        return (
            f"weights inherited from a {self.shared.settings.kind} supernet trained on {self.data.name} at "
            f"{self.data.resolution} px, on {min(len(self.data.validation), MOST_PICTURES):,} pictures held out"
        )

    @property
    def fingerprint(self) -> str:
<<<<<<< HEAD
        """SHA-256 of everything that the weights depend on."""
        return self.shared.fingerprint
=======
        parts = (VERSION, self.settings, self.seed, self.space.fingerprint, self.data.fingerprint)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @cached_property
    def training(self) -> WeightTraining:
        """The supernet and its optimiser, as far as they are trained."""
        return self.fresh_training(None if self.folder is None else self.folder / FILE)

    def fresh_training(self, path: Path | None = None) -> WeightTraining:
        """A supernet whose weights are drawn from the seed, and its optimiser; `path` is that of a checkpoint."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            supernet = SUPERNETS[self.settings.kind](self.space)
        return WeightTraining(
            supernet,
            self.data,
            self.settings.steps,
            self.seed,
            processes=self.team,
            path=path,
            fingerprint=self.fingerprint,
        )

    def plan(self, steps: int) -> None:
        """Set the number of steps, where it was not known at first."""
        self.settings = replace(self.settings, steps=steps)

    def trained_by_policy(self) -> None:
        """Take the weights as trained: a policy has trained them."""
        self._trained = True
        self.team.leave()
>>>>>>> main

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
        return plain_weights(self.network(genotype).state_dict())

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
<<<<<<< HEAD
        return [picture_tensor(self.data, pictures[i : i + BATCH]).to(self.shared.training.device) for i in starts]
=======
        return [picture_tensor(self.data, pictures[i : i + BATCH]).to(self.training.device) for i in starts]

    def train(self) -> None:
        """Train the supernet, from wherever its checkpoint stands. Raises `NasError` where the loss diverges or memory
        is short, `Interrupted` after SIGINT or SIGTERM; the last checkpoint is kept."""
        training, stepper, rule = self.training, self.training.stepper, RULES[self.settings.rule]
        stepper.restore()
        with interruptible() as interrupted, stepper.memory_told():
            for step in stepper.steps(self.teller, interrupted):
                x, y = training.batch(step)
                done = step / training.planned
                training.step(step, partial(rule, training.supernet, x, y, training.rng(step, 0), done))
        self._trained = True
        self.team.leave()
>>>>>>> main

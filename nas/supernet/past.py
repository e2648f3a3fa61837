"""Past: a trained network, which becomes the largest one of a supernet: tuned on the data, its channels put in order.

teacher/  in the folder of a run: the whole network, tuned, as config.json and model.safetensors
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from nas.blocks.architecture import Architecture
from nas.cost.counts import macs
from nas.data.batches import picture_tensor
from nas.data.data import Data
from nas.formats.config import Pictures, read_config
from nas.formats.kernels import Kernels, flat
from nas.formats.weights_file import Array, plain_weights, read_weights
from nas.formats.winner import export
from nas.space.space import Population, Space
from nas.supernet.channels import State, important_first
from nas.supernet.supernet import Supernet
from nas.system.places import TEACHER, public_data
from nas.system.teller import Teller
from nas.training.choices import default_batch, default_rate
from nas.training.fit import CHECKPOINT, fit
from nas.training.network import network_of, start
from nas.training.processes import Processes
from nas.training.recipe import Recipe
from nas.training.teacher import divergence

BATCH = default_batch(inherited=True)
RATE = default_rate(BATCH, inherited=True)
"""Peak learning rate of the whole network and of what is in it."""
TAYLOR_BATCHES = 16
"""Of training pictures, by which channels are put in order."""
NETWORKS = 3
"""Of a step of the supernet."""
LARGEST_EVERY = 4
"""Steps in which the whole network is trained too: it is slow, and its own tuned weights are kept apart."""


@dataclass(frozen=True, eq=False)
class Past:
    """A trained network, and how long it is tuned on new pictures."""

    architecture: Architecture
    weights: State
    mean: tuple[float, ...]
    """By colour, of the pictures that it was trained on, on the scale 0 to 1; `std` likewise."""
    std: tuple[float, ...]
    classes: tuple[str, ...]
    """Names of what its outputs stand for; () where that is not known."""
    epochs: int
    """Of tuning the whole network, before anything is taken from it."""
    share: float
    """Of the whole network's MACs that the networks have which its supernet is trained for."""
    kernels: Kernels = field(default_factory=dict)
    """What makes smaller kernels, where it has learned that."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256(repr((self.architecture, self.mean, self.std, self.epochs, self.share)).encode())
        for name, array in sorted((dict(self.weights) | flat(self.kernels)).items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def tuned(self, data: Data, seed: int, folder: Path | None, teller: Teller, team: Processes) -> Tuned:
        """The whole network, trained on the data for its epochs, or as an earlier call has left it in `folder`.

        Raises what `nas.training.fit.fit` does.
        """
        place = None if folder is None else folder / TEACHER
        if place is not None and (place / "config.json").is_file():
            architecture = read_config(place / "config.json").architecture
            return Tuned(architecture, read_weights(place / "config.json", architecture))
        begin = start(self.architecture, self.weights, data.classes, seed, self.classes or None)
        network, seconds = network_of(begin.architecture, begin.weights), 0.0
        if self.epochs:
            if place is not None:
                place.mkdir(exist_ok=True)
            teller.say(f"the whole network is tuned on {public_data(data.name)} first: {self.epochs} epochs")
            recipe = Recipe(epochs=self.epochs, batch=BATCH, learning_rate=RATE)
            fitted = fit(network, data, recipe, seed=seed, folder=place, teller=teller, processes=team, lines=True)
            network, seconds = fitted.network, fitted.seconds  # type: ignore[assignment]
        gradients = taylor(network, data)
        weights = important_first(begin.architecture, plain_weights(network.state_dict()), gradients)
        if place is not None and team.first:
            shown = Pictures(data.mean, data.std, data.classes)
            export(begin.architecture, place, ("config",), weights=weights, weights_from="trained", pictures=shown)
            (place / CHECKPOINT).unlink(missing_ok=True)
        return Tuned(begin.architecture, weights, seconds)


@dataclass(frozen=True, eq=False)
class Tuned:
    """The whole network as it is on the data, its most important channels first."""

    architecture: Architecture
    weights: dict[str, Array]
    seconds: float = 0.0
    """Of the tuning; 0 where it was done before."""

    def network(self) -> nn.Module:
        """As a torch module, to be asked."""
        network = network_of(self.architecture, self.weights).eval().requires_grad_(False)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Shrinking:
    """A training rule: networks learn from the labels and from what the whole one, as it was tuned, says.

    After the sandwich rule and distillation of BigNAS (arXiv:2003.11142, section 3.1); the networks are drawn around
    the size that is wanted, after AttentiveNAS (arXiv:2011.09011, section 3.2).
    """

    def __init__(self, space: Space, teacher: nn.Module, share: float) -> None:
        self.space, self.teacher, self.share = space, teacher, share
        self._macs = macs(space)
        self._largest = space.encode([next(iter(space.references.values()))])[0]
        self._most = float(self._macs(self._largest[None])[0])

    def __call__(
        self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator, progress: float = 1.0
    ) -> float:
        with torch.no_grad():
            aim = self.teacher(x)
        total, taught = 0.0, list(self.networks(NETWORKS, rng))
        if rng.integers(LARGEST_EVERY) == 0:
            taught.append(self._largest)
        for genotype in taught:
            logits = supernet(x, genotype)
            loss = (1 - Recipe.distillation) * cross_entropy(logits, y)
            loss = (loss + Recipe.distillation * divergence(logits, aim, Recipe.temperature)) / len(taught)
            torch.autograd.backward(loss)
            total += loss.item()
        return total

    def networks(self, n: int, rng: Generator) -> Population:
        """`uint8[n, D]`: around a common level of all decisions, with about the share of MACs that is wanted."""
        drawn = around(self.space, rng.random(64 * n), rng)
        far = np.abs(np.log(self._macs(drawn) / (self._most * self.share)))
        near = np.flatnonzero(far < np.log(1.5))
        if len(near) < n:
            near = np.argsort(far)[:n]
        chosen: Population = drawn[rng.permutation(near)[:n]]
        return chosen


def around(space: Space, levels: NDArray[np.float64], rng: Generator) -> Population:
    """Genotypes `uint8[N, D]` whose options lie about this far, 0 to 1, on the way from the smallest to the largest."""
    top = space.cardinalities - 1
    noisy = levels[:, None] + rng.normal(0, 0.25, (len(levels), len(top)))
    return np.rint(np.clip(noisy, 0, 1) * top).astype(np.uint8)


def taylor(network: nn.Module, data: Data) -> dict[str, NDArray[np.float64]]:
    """For each normalisation, under the name of its scale, the mean over batches of |scale · its gradient + shift · its
    gradient|, float64[C]."""
    network = network.eval().requires_grad_(True)
    device = next(network.parameters()).device
    parameters = dict(network.named_parameters())
    norms = [name for name in parameters if name.endswith("norm.weight")]
    found = {name: np.zeros(len(parameters[name])) for name in norms}
    for step in range(TAYLOR_BATCHES):
        begin = step * BATCH % max(1, len(data.train) - 1)
        pictures, labels = data.train.pictures[begin : begin + BATCH], data.train.labels[begin : begin + BATCH]
        network.zero_grad()
        logits = network(picture_tensor(data, pictures).to(device))
        loss = cross_entropy(logits, torch.from_numpy(labels.copy()).to(device))
        torch.autograd.backward(loss)
        for name in norms:
            scale, shift = parameters[name], parameters[name.removesuffix("weight") + "bias"]
            assert scale.grad is not None
            assert shift.grad is not None
            change = scale.detach() * scale.grad + shift.detach() * shift.grad
            found[name] += change.abs().double().cpu().numpy() / TAYLOR_BATCHES
    return found

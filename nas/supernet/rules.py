"""Training rules: which networks of a supernet a batch is for. `RULES` has them by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from nas.cost.counts import params
from nas.space.space import Space
from nas.supernet.supernet import Supernet

Rule = Callable[[Supernet, torch.Tensor, torch.Tensor, Generator, float], float]
"""Supernet, pictures float32[N,3,H,W], labels int64[N], generator, share of the training that is done → the loss shown;
leaves the gradients in the weights."""

SANDWICH_BETWEEN = 2
"""Random networks between the largest and the smallest."""
ALONE, OPENED = 0.15, 0.65
"""Shares of the training at which `progressive` begins to leave the middle network, and has left it."""


def uniform(supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator, progress: float = 1.0) -> float:
    """One network, uniform over raw genotypes (single path one-shot, arXiv:1904.00420, section 3.2)."""
    loss = cross_entropy(supernet(x, supernet.space.sample(1, rng)[0]), y)
    torch.autograd.backward(loss)
    return loss.item()


def fair(supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator, progress: float = 1.0) -> float:
    """As many networks as the decision with most options has, in which each option occurs as often as any other
    (FairNAS, arXiv:1907.01845, section 3.2). Fewer options than networks come again, in an order of their own."""
    cards = supernet.space.cardinalities
    paths = int(cards.max(initial=1))
    columns = [_repeated(n, paths, rng) for n in cards]
    total = 0.0
    for genotype in np.array(columns, np.uint8).reshape(len(cards), paths).T:
        loss = cross_entropy(supernet(x, genotype), y) / paths
        torch.autograd.backward(loss)
        total += loss.item()
    return total


def sandwich(supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator, progress: float = 1.0) -> float:
    """The largest network on the labels; the smallest and two random ones on what the largest says
    (in-place distillation; BigNAS, arXiv:2003.11142, section 3.1). The loss shown is the largest's."""
    smallest, largest = ends(supernet.space)
    logits = supernet(x, largest)
    loss = cross_entropy(logits, y)
    torch.autograd.backward(loss)
    taught = softmax(logits.detach(), 1)
    for genotype in (smallest, *supernet.space.sample(SANDWICH_BETWEEN, rng)):
        torch.autograd.backward(kl_div(log_softmax(supernet(x, genotype), 1), taught, reduction="batchmean"))
    return loss.item()


def progressive(supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator, progress: float = 1.0) -> float:
    """One network: the space's middle one at first, then ever more of its decisions are drawn, at last all of them.

    After the progressive shrinking of Once-for-All (arXiv:1908.09791, section 3.3), which begins at the largest
    network; the middle one costs less. Where networks are deep, drawing all decisions from the start learns nothing for
    long.
    """
    cards = supernet.space.cardinalities
    drawn = supernet.space.sample(1, rng)[0]
    free = rng.random(len(cards)) < (progress - ALONE) / (OPENED - ALONE)
    genotype = np.where(free, drawn, (cards - 1) // 2).astype(np.uint8)
    loss = cross_entropy(supernet(x, genotype), y)
    torch.autograd.backward(loss)
    return loss.item()


RULES: dict[str, Rule] = {"uniform": uniform, "fair": fair, "sandwich": sandwich, "progressive": progressive}


def ends(space: Space) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint8]], np.ndarray[tuple[int], np.dtype[np.uint8]]]:
    """Genotypes `uint8[D]` of the fewest and of the most parameters."""
    count = params(space)
    return count.cheapest(), (count * -1.0).cheapest()


def _repeated(options: int, paths: int, rng: Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    rounds = [rng.permutation(options) for _ in range(-(-paths // options))]
    return np.concatenate(rounds)[:paths]

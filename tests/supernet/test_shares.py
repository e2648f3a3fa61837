"""Shares of candidates are their exact probabilities, and expected costs exact means; both with right gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from odd_spaces import ODD, odd_space

from nas.cost.counts import macs, params
from nas.space.load import load_space
from nas.supernet.shares import shares_of

DRAWS = 40_000


def chances(sizes: list[int], seed: int = 0) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(n, generator=random, dtype=torch.float64).softmax(0) for n in sizes]


def draws(probabilities: list[torch.Tensor]) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([rng.choice(len(p), size=DRAWS, p=p.numpy()) for p in probabilities], axis=1).astype(np.uint8)


@pytest.mark.parametrize("name", ODD)
def test_shares_are_the_frequencies_of_candidates(name: str, tmp_path: Path) -> None:
    space = load_space(odd_space(name, tmp_path))
    probabilities = chances([int(n) for n in space.cardinalities])
    population = draws(probabilities)
    for choice in space.candidates:
        shares = shares_of(choice, probabilities).numpy()
        assert shares.sum() == pytest.approx(1, abs=1e-12)
        drawn = choice.code[tuple(population[:, axis] for axis in choice.decisions)]
        frequencies = np.bincount(np.atleast_1d(drawn), minlength=len(shares)) / np.size(drawn)
        error = np.sqrt(shares * (1 - shares) / DRAWS)  # of a frequency
        assert (np.abs(frequencies - shares) <= 5 * error + 1e-12).all()


def test_candidates_are_the_layers_of_the_genotype(tmp_path: Path) -> None:
    for name in ODD:
        space = load_space(odd_space(name, tmp_path))
        choices = space.candidates
        for genotype in space.sample(20, np.random.default_rng(0)):
            layers = [layer for choice in choices for layer in choice.chains[choice.candidate(genotype)]]
            assert tuple(layers) == space.decode(genotype).layers
        for choice in choices:
            assert len(set(choice.chains)) == len(choice.chains)


@pytest.mark.parametrize("name", ["mobile", "single-path", "fbnet", "nas-bench-macro"])
def test_the_expected_cost_is_the_mean_of_many_draws(name: str) -> None:
    space = load_space(name)
    probabilities = chances([int(n) for n in space.cardinalities], seed=2)
    population = draws(probabilities)
    for cost in (macs(space), params(space)):
        drawn = cost(population)
        expected = float(cost.expected_cost(probabilities))
        assert abs(drawn.mean() - expected) <= 4 * drawn.std() / np.sqrt(DRAWS)


def test_gradients_of_shares_and_of_expected_costs_are_right(tmp_path: Path) -> None:
    for name in ("widths", "kinds"):
        space = load_space(odd_space(name, tmp_path))
        probabilities = [p.requires_grad_() for p in chances([int(n) for n in space.cardinalities])]
        for choice in space.candidates:
            if choice.decisions:
                assert torch.autograd.gradcheck(lambda *p, c=choice: shares_of(c, p), probabilities)
        cost = macs(space) * 1e-5
        assert torch.autograd.gradcheck(lambda *p, c=cost: c.expected_cost(p), probabilities)

"""Training rules: which networks a batch trains, and that gradients are left in their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from odd_spaces import odd_space
from torch import nn
from torch.nn.functional import cross_entropy

from nas.cost.counts import params
from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet.rules import ALONE, OPENED, RULES, ends, fair, progressive, sandwich, uniform
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Genotype, Supernet

X, Y = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 5


class Noted(nn.Module):
    """A supernet that notes which networks it was asked for."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.weight = nn.Parameter(torch.randn(3, 5))
        self.seen: list[Genotype] = []

    def forward(self, x: torch.Tensor, genotype: Genotype) -> torch.Tensor:
        self.seen.append(genotype.copy())
        return x.mean((2, 3)) @ self.weight * (1 + float(genotype.sum()))


@pytest.fixture
def space(tmp_path: Path) -> Space:
    return load_space(odd_space("widths", tmp_path))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["widths", "kinds"])
def test_every_rule_leaves_finite_gradients_and_says_its_loss(name: str, rule: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    supernet = Superkernel(load_space(odd_space(name, tmp_path)))
    loss = RULES[rule](supernet, X, Y, np.random.default_rng(0))
    assert np.isfinite(loss)
    gradients = [p.grad for p in supernet.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_a_function_of_its_generator(space: Space, rule: str) -> None:
    seen = []
    for seed in (3, 3, 4):
        supernet = Noted(space)
        RULES[rule](supernet, X, Y, np.random.default_rng(seed))  # type: ignore[arg-type]
        seen.append(np.stack(supernet.seen))
    assert (seen[0] == seen[1]).all()
    assert (seen[0] != seen[2]).any()


@pytest.mark.parametrize("rule", RULES)
def test_a_space_with_nothing_to_choose_is_trained_too(tmp_path: Path, rule: str) -> None:
    path = tmp_path / "fixed.yaml"
    path.write_text(
        "format: nas-space/1\nname: fixed\nsource: test\nnum_classes: 5\ninput: {resolution: 16}\nactivation: relu\n"
        "stages:\n  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}\nhead: {width: 16}\n"
    )
    supernet = Superkernel(load_space(path))
    assert np.isfinite(RULES[rule](supernet, X, Y, np.random.default_rng(0)))


def test_uniform_trains_one_network_each_as_often_as_any(space: Space) -> None:
    supernet, rng = Noted(space), np.random.default_rng(0)
    steps = 3_000
    for _ in range(steps):
        uniform(supernet, X[:1, :, :1, :1], Y[:1], rng)  # type: ignore[arg-type]
    seen = np.stack(supernet.seen)
    assert len(seen) == steps
    for column, options in zip(seen.T, space.cardinalities, strict=True):
        share = 1 / options
        error = np.sqrt(share * (1 - share) / steps)
        assert (np.abs(np.bincount(column, minlength=options) / steps - share) < 4.5 * error).all()


def test_progressive_begins_at_the_middle_network_and_ends_uniform(space: Space) -> None:
    middle = (space.cardinalities - 1) // 2
    left = []
    for progress in (0.0, ALONE, (ALONE + OPENED) / 2, OPENED):
        supernet, rng = Noted(space), np.random.default_rng(0)
        for _ in range(2_000):
            progressive(supernet, X[:1, :, :1, :1], Y[:1], rng, progress)  # type: ignore[arg-type]
        left.append((np.stack(supernet.seen) != middle).mean(0))
    away = 1 - 1 / space.cardinalities
    assert (left[0] == 0).all()
    assert (left[1] == 0).all()
    for share, found in ((0.5, left[2]), (1.0, left[3])):
        assert (np.abs(found - share * away) < 4.5 * np.sqrt(0.25 / 2_000)).all()


def test_fair_trains_each_option_equally_often_and_the_loss_is_their_mean(space: Space) -> None:
    supernet = Noted(space)
    most = int(space.cardinalities.max())  # 3
    rounds = 400
    for seed in range(rounds):
        supernet.seen.clear()
        supernet.weight.grad = None
        loss = fair(supernet, X, Y, np.random.default_rng(seed))  # type: ignore[arg-type]
        seen = np.stack(supernet.seen)
        assert len(seen) == most
        for column, options in zip(seen.T, space.cardinalities, strict=True):
            counts = np.bincount(column, minlength=options)
            if options == most:
                assert (counts == 1).all()
            assert counts.max() - counts.min() <= 1
    with torch.no_grad():
        own = [float(cross_entropy(supernet(X, genotype), Y)) for genotype in seen]
    assert loss == pytest.approx(np.mean(own), rel=1e-5)
    (gradient,) = torch.autograd.grad(
        sum((cross_entropy(supernet(X, genotype), Y) for genotype in seen), torch.zeros(())) / most, supernet.weight
    )
    assert supernet.weight.grad is not None
    assert torch.allclose(supernet.weight.grad, gradient, atol=1e-6)


def test_fair_pairs_options_of_different_decisions_at_random(space: Space) -> None:
    supernet = Noted(space)
    pairs = set()
    names = [decision.name for decision in space.decisions]
    one, other = names.index("body.kernel"), names.index("body.expansion")
    for seed in range(60):
        supernet.seen.clear()
        fair(supernet, X[:1, :, :1, :1], Y[:1], np.random.default_rng(seed))  # type: ignore[arg-type]
        pairs |= {(int(g[one]), int(g[other])) for g in supernet.seen}
    assert len(pairs) == 9


def test_the_ends_have_the_fewest_and_the_most_parameters(space: Space) -> None:
    count = params(space)(space.enumerate())
    smallest, largest = ends(space)
    assert space.decode(smallest).params == count.min()
    assert space.decode(largest).params == count.max()


def test_sandwich_teaches_the_small_what_the_largest_says(space: Space) -> None:
    supernet = Noted(space)
    loss = sandwich(supernet, X, Y, np.random.default_rng(0))  # type: ignore[arg-type]
    smallest, largest = ends(space)
    assert len(supernet.seen) == 1 + 1 + 2
    assert (supernet.seen[0] == largest).all()
    assert (supernet.seen[1] == smallest).all()
    with torch.no_grad():
        logits = supernet(X, largest)
        assert loss == pytest.approx(float(cross_entropy(logits, Y)))
    target = logits.softmax(1)
    total = cross_entropy(supernet(X, largest), Y)
    for genotype in supernet.seen[1:4]:
        own = supernet(X, genotype).log_softmax(1)
        total = total + (target * (target.log() - own)).sum() / len(X)  # KL(largest ‖ own), a mean over pictures
    (gradient,) = torch.autograd.grad(total, supernet.weight)
    assert supernet.weight.grad is not None
    assert torch.allclose(supernet.weight.grad, gradient, atol=1e-5)


def test_uniform_learns(tmp_path: Path) -> None:
    """Forty steps on eight pictures halve the loss."""
    torch.manual_seed(0)
    supernet: Supernet = Superkernel(load_space(odd_space("squeezes", tmp_path)))
    optimiser = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9)
    losses = []
    rule: Callable[..., float] = uniform
    for step in range(40):
        optimiser.zero_grad()
        losses.append(rule(supernet, X, Y, np.random.default_rng(step)))
        optimiser.step()
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])

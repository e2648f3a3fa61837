"""FBNet's loss by hand arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from nas.cost.counts import macs
from nas.policies.fbnet import FBNet
from nas.policies.policy import Policy
from nas.space.space import Space
from nas.supernet.multi_path import MultiPath
from nas.supernet.shares import shares_of

Pair = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture
def both(tiny: Space) -> tuple[FBNet, MultiPath]:
    torch.manual_seed(0)
    return FBNet(tiny, macs(tiny) * 1e-5), MultiPath(tiny)


def draw(policy: FBNet, seed: int) -> list[torch.Tensor]:
    """The Gumbel-softmax of eq. 5 and 6 of arXiv:1812.03443, decision by decision."""
    rng, chances = np.random.default_rng(seed), []
    for logits in policy.logits():
        noise = torch.tensor(rng.gumbel(size=len(logits)), dtype=torch.float32)
        chances.append(((logits.detach().log_softmax(0) + noise) / policy.temperature).softmax(0))
    return chances


def test_the_loss_is_ce_times_alpha_log_latency_to_the_beta(
    both: tuple[FBNet, MultiPath], pictures: Pair, randomised: Callable[[Policy, int], None]
) -> None:
    policy, supernet = both
    randomised(policy, 2)
    policy.begin_step(0.3)
    x, y = pictures
    with torch.no_grad():
        loss = float(policy.policy_loss(supernet, x, y, np.random.default_rng(4)))
        chances = draw(policy, 4)
        shares = [shares_of(choice, chances) for choice in supernet.choices]
        entropy = float(cross_entropy(supernet.mixed(x, shares), y))
        ms = float(policy.latency.expected_cost(chances))
        weights = float(policy.weights_loss(supernet, x, y, np.random.default_rng(4)))
    assert weights == pytest.approx(entropy, rel=1e-5)
    assert loss == pytest.approx(entropy * 0.2 * np.log(1000 * ms) ** 0.6, rel=1e-5)


def test_slower_options_get_the_steeper_gradient(both: tuple[FBNet, MultiPath], pictures: Pair) -> None:
    """Where the cross-entropy is the same for all, only the latency is left: its gradient lowers the slowest option."""
    policy, supernet = both
    x, y = pictures
    supernet.mixed = lambda x, shares, least=0.0: torch.zeros(len(x), 10)  # type: ignore[method-assign]
    place = next(i for i, d in enumerate(policy.space.decisions) if d.name == "top.expansion")
    total = torch.zeros(3)
    for seed in range(40):
        loss = policy.policy_loss(supernet, x, y, np.random.default_rng(seed))
        total += torch.autograd.grad(loss, list(policy.parameters()))[place]
    assert total[2] > 0 > total[0]  # 3 is slower than 1: descent makes it less likely


def test_it_cools_from_5_to_a_fifth(both: tuple[FBNet, MultiPath]) -> None:
    policy, _ = both
    temperatures = []
    for progress in (0.0, 0.5, 1.0):
        policy.begin_step(progress)
        temperatures.append(policy.temperature)
    assert temperatures[0] == 5
    assert temperatures[1] == pytest.approx(1)  # sqrt(5 * 0.2)
    assert temperatures[2] == pytest.approx(0.2)


def test_at_the_end_a_mixture_is_nearly_a_sample(both: tuple[FBNet, MultiPath]) -> None:
    policy, _ = both
    policy.begin_step(1.0)
    peaks = [float(max(p)) for seed in range(50) for p in draw(policy, seed)]
    assert np.mean(peaks) > 0.85

"""ProxylessNAS: two sampled networks, whose options trade chances with each other and with no others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from nas.policies.policy import Policy
from nas.policies.proxyless import Proxyless
from nas.space.space import Space
from nas.supernet.superkernel import Superkernel

Pair = tuple[torch.Tensor, torch.Tensor]


def test_the_two_sampled_trade_chances_and_the_others_keep_theirs(
    tiny: Space, pictures: Pair, randomised: Callable[[Policy, int], None]
) -> None:
    torch.manual_seed(0)
    policy, supernet = Proxyless(tiny), Superkernel(tiny)
    randomised(policy, 1)
    parameters = list(policy.parameters())
    moved = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first = policy.sample(rng)
        second = policy._other(first, policy.probabilities(), rng)
        assert (first != second)[policy.space.cardinalities > 1].all()
        loss = policy.policy_loss(supernet, *pictures, np.random.default_rng(seed))
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for one, two, gradient in zip(first, second, gradients, strict=True):
            if gradient is None:
                continue
            assert float(gradient.sum()) == pytest.approx(0, abs=1e-5)
            others = [option for option in range(len(gradient)) if option not in (one, two)]
            assert all(abs(float(gradient[option])) < 1e-5 for option in others)
            if one != two:
                assert float(gradient[one]) == pytest.approx(-float(gradient[two]), abs=1e-5)
                moved += abs(float(gradient[one])) > 1e-4
            else:
                assert abs(float(gradient[one])) < 1e-5
    assert moved > 20


def test_a_slots_weights_are_the_chances_scaled_to_1(
    tiny: Space, pictures: Pair, randomised: Callable[[Policy, int], None]
) -> None:
    policy, supernet = Proxyless(tiny), Superkernel(tiny)
    randomised(policy, 3)
    x, y = pictures
    rng = np.random.default_rng(2)
    with torch.no_grad():
        loss = float(policy.policy_loss(supernet, x, y, np.random.default_rng(2)))
        first = policy.sample(rng)
        second = policy._other(first, policy.probabilities(), rng)
        shares = []
        for choice in supernet.choices:
            one, two = (
                np.prod([float(policy.probabilities()[d][int(g[d])]) for d in choice.decisions])
                for g in (first, second)
            )
            shares.append(torch.tensor(one / (one + two), dtype=torch.float32))
        assert loss == pytest.approx(float(cross_entropy(supernet.paired(x, first, second, shares), y)), rel=1e-4)


def test_the_better_of_two_gains(tiny: Space, pictures: Pair) -> None:
    """Descent on a supernet whose skip passes the answer through moves chances to it."""
    policy = Proxyless(tiny)
    supernet = Superkernel(tiny)
    x, y = pictures

    def paired(x: torch.Tensor, first: np.ndarray, second: np.ndarray, shares: list[torch.Tensor]) -> torch.Tensor:
        right = 4 * torch.nn.functional.one_hot(y, 10).float()
        slot = next(s for s, choice in enumerate(supernet.choices) if choice.name == "body.layer1")
        good = [float(genotype[0] == 2) for genotype in (first, second)]
        return right * (shares[slot] * good[0] + (1 - shares[slot]) * good[1])

    supernet.paired = paired  # type: ignore[method-assign,assignment]
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.1)
    for step in range(100):
        optimiser.zero_grad()
        policy.policy_loss(supernet, x, y, np.random.default_rng(step)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    chances = policy.probabilities()
    assert float(chances[0][2].detach()) > 0.8
    assert float(chances[1].max().detach()) == pytest.approx(1 / 3, abs=1e-3)  # nothing was learnt there

"""REINFORCE with the absolute reward, on networks whose accuracy is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas.cost.factors import Factor, Factors
from nas.policies.reinforce import BETA, SAMPLES, Reinforce
from nas.space.space import Space


def constant(space: Space, ms: float) -> Factors:
    return Factors(tuple(int(n) for n in space.cardinalities), ms, ())


def train(policy: Reinforce, supernet: object, steps: int) -> None:
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.1)
    x, y = torch.zeros(24, 3, 4, 4), torch.zeros(24, dtype=torch.int64)
    for step in range(steps):
        optimiser.zero_grad()
        policy.policy_loss(supernet, x, y, np.random.default_rng(step)).backward()  # type: ignore[arg-type,no-untyped-call]
        optimiser.step()


def test_chances_move_to_the_options_that_answer_rightly(tiny: Space, oracle: type) -> None:
    best = np.array([1, 2, 0, 1, 2, 1], np.uint8)
    assert len(best) == len(tiny.decisions)
    policy = Reinforce(tiny, constant(tiny, 5.0), 5.0)
    train(policy, oracle(tiny, best), 300)
    assert (policy.argmax() == best).all()
    chances = [float(p[int(option)].detach()) for p, option in zip(policy.probabilities(), best, strict=True)]
    assert min(chances) > 0.6


def test_without_a_difference_in_accuracy_latency_is_driven_to_the_target(tiny: Space, oracle: type) -> None:
    """Reward is -0.07 |latency / target - 1|: options at the target win over faster and over slower ones."""
    expansions = Factor((4,), np.array([5.0, 10.0, 20.0]))
    assert tiny.decisions[4].name == "top.expansion"
    latency = Factors.of([int(n) for n in tiny.cardinalities], 0.0, [expansions])
    supernet = oracle(tiny, np.full(6, 255, np.uint8))  # no network is ever right
    for target, place in ((5.0, 0), (10.0, 1), (20.0, 2)):
        policy = Reinforce(tiny, latency, target)
        train(policy, supernet, 500)
        assert int(policy.argmax()[4]) == place


def test_the_loss_by_hand(tiny: Space, oracle: type) -> None:
    best = np.array([1, 2, 0, 1, 2, 1], np.uint8)
    supernet = oracle(tiny, best)
    policy = Reinforce(tiny, Factors.of([int(n) for n in tiny.cardinalities], 1.0, [Factor((4,), np.arange(3.0))]), 2.0)
    x, y = torch.zeros(24, 3, 4, 4), torch.zeros(24, dtype=torch.int64)
    loss = float(policy.policy_loss(supernet, x, y, np.random.default_rng(1)).detach())
    seen = supernet.seen
    assert len(seen) == SAMPLES
    rewards = [
        round((g == best).sum() / 6 * 24) / 24 + BETA * abs((1 + float(g[4])) / 2 - 1)  # accuracy, latency / target
        for g in seen
    ]
    log = -float(np.log(tiny.cardinalities).sum())  # all options alike
    baselines = [np.mean([r for j, r in enumerate(rewards) if j != i]) for i in range(SAMPLES)]
    advantages = np.array(rewards) - baselines
    assert loss == pytest.approx(-float((advantages * log).mean()), abs=1e-5)
    assert advantages.sum() == pytest.approx(0, abs=1e-9)
    assert np.ptp(rewards) > 0


def test_the_supernets_weights_learn_nothing_from_the_policys_loss(tiny: Space, oracle: type) -> None:
    supernet = oracle(tiny, np.zeros(6, np.uint8))
    policy = Reinforce(tiny, constant(tiny, 5.0), 5.0)
    x, y = torch.zeros(8, 3, 4, 4), torch.zeros(8, dtype=torch.int64)
    policy.policy_loss(supernet, x, y, np.random.default_rng(0)).backward()  # type: ignore[no-untyped-call]
    assert supernet.weight.grad is None

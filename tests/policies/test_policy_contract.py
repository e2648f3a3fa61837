"""What every policy promises; a new one joins by its line in `POLICIES`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.cost.counts import macs
from nas.errors import NasError
from nas.policies import POLICIES, check_policy
from nas.policies.policy import Policy
from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet import SUPERNETS
from nas.supernet.supernet import Supernet

Pair = tuple[torch.Tensor, torch.Tensor]
Randomise = Callable[[Policy, int], None]


@pytest.fixture(params=POLICIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str, space: Space, seed: int = 0) -> tuple[Policy, Supernet]:
    torch.manual_seed(seed)
    supernet = SUPERNETS[POLICIES[name].supernet](space)
    latency = macs(space) * 1e-5
    return POLICIES[name](space, supernet, latency, float(np.mean(latency.bounds()))), supernet


@pytest.mark.parametrize("space", ["tiny", "mobile", "nas-bench-macro"])
@torch.no_grad()
def test_at_first_nothing_is_decided_and_chances_sum_to_1(
    name: str, space: str, tiny: Space, randomised: Randomise
) -> None:
    loaded = tiny if space == "tiny" else load_space(space, classes=10)
    policy, _ = make(name, loaded)
    for round_ in range(2):
        chances = policy.probabilities()
        assert [len(p) for p in chances] == [len(decision.options) for decision in loaded.decisions]
        for p in chances:
            assert float(p.sum()) == pytest.approx(1, abs=1e-6)
            assert float(p.min()) > (0.1 / len(p) if not round_ else 0)  # every option has a chance worth the name
        assert 0 < float(policy.entropy()) <= 1 + 1e-6
        if not round_:
            assert float(policy.entropy()) > 0.75
        randomised(policy, 3)


def test_samples_come_as_often_as_their_chances_say(name: str, tiny: Space, randomised: Randomise) -> None:
    policy, _ = make(name, tiny)
    randomised(policy, 1)
    rng, draws = np.random.default_rng(2), 1_500
    population = np.stack([policy.sample(rng) for _ in range(draws)])
    assert population.dtype == np.uint8
    for column, p in zip(population.T, policy.probabilities(), strict=True):
        chances = p.detach().double().numpy()
        error = np.sqrt(chances * (1 - chances) / draws)
        assert (np.abs(np.bincount(column, minlength=len(p)) / draws - chances) < 5 * error + 1e-6).all()
    firsts, seconds = population[:, 0], population[:, 1]  # independent of each other
    joint = Counter(zip(firsts.tolist(), seconds.tolist(), strict=True))
    for (one, other), count in joint.items():
        expected = (firsts == one).mean() * (seconds == other).mean()
        assert abs(count / draws - expected) < 5 * np.sqrt(expected / draws)


def test_samples_and_losses_depend_on_the_generator_alone(name: str, tiny: Space, pictures: Pair) -> None:
    policy, supernet = make(name, tiny)
    same = [policy.sample(np.random.default_rng(5)) for _ in range(2)]
    assert (same[0] == same[1]).all()
    for loss in (policy.weights_loss, policy.policy_loss):
        values = [float(loss(supernet, *pictures, np.random.default_rng(seed)).detach()) for seed in (1, 1)]
        assert values[0] == values[1]


def test_argmax_and_log_probability_are_those_of_the_chances(name: str, tiny: Space, randomised: Randomise) -> None:
    policy, _ = make(name, tiny)
    randomised(policy, 4)
    chances = [p.detach().double().numpy() for p in policy.probabilities()]
    assert policy.argmax().tolist() == [int(p.argmax()) for p in chances]
    population = tiny.sample(50, np.random.default_rng(0))
    by_hand = [sum(np.log(p[option]) for p, option in zip(chances, genotype, strict=True)) for genotype in population]
    assert policy.log_probability()(population) == pytest.approx(np.array(by_hand), abs=1e-6)
    everything = np.stack(np.meshgrid(*[np.arange(len(p)) for p in chances], indexing="ij"), -1).reshape(
        -1, len(chances)
    )
    total = np.exp(policy.log_probability()(everything.astype(np.uint8))).sum()
    assert total == pytest.approx(1, abs=1e-5)


def test_losses_are_finite_and_teach_whom_they_should(name: str, tiny: Space, pictures: Pair) -> None:
    policy, supernet = make(name, tiny)
    own = [p for p in policy.parameters() if p.requires_grad]
    weights = list(supernet.parameters())
    seen = [torch.zeros_like(p) for p in own]
    for seed in range(12):
        policy.begin_step(seed / 11)
        loss = policy.weights_loss(supernet, *pictures, np.random.default_rng(seed))
        assert loss.dim() == 0
        assert torch.isfinite(loss)
        assert any(g is not None and g.abs().max() > 0 for g in torch.autograd.grad(
            loss, weights, allow_unused=True, retain_graph=True
        ))  # fmt: skip
        gradients = torch.autograd.grad(loss, own, allow_unused=True)
        if policy.joint:
            for total, gradient in zip(seen, gradients, strict=True):
                total += 0 if gradient is None else gradient.abs()
            continue
        assert all(gradient is None for gradient in gradients)  # training pictures teach the policy nothing
        loss = policy.policy_loss(supernet, *pictures, np.random.default_rng(seed))
        assert torch.isfinite(loss)
        for total, gradient in zip(seen, torch.autograd.grad(loss, own, allow_unused=True), strict=True):
            if gradient is not None:
                assert torch.isfinite(gradient).all()
                total += gradient.abs()
    assert all(float(total.max()) > 0 for total in seen if total.numel())


def test_its_state_is_all_of_it(name: str, tiny: Space, randomised: Randomise, pictures: Pair) -> None:
    policy, supernet = make(name, tiny)
    randomised(policy, 5)
    with torch.no_grad():
        for weight in supernet.parameters():
            weight += 0.1 * torch.randn_like(weight)
    other, others = make(name, tiny, seed=9)
    others.load_state_dict(supernet.state_dict())
    other.load_state_dict(policy.state_dict())
    for one, two in zip(policy.probabilities(), other.probabilities(), strict=True):
        assert torch.equal(one, two)
    for each in (policy, other):
        each.begin_step(0.6)
    losses = [
        float(each.weights_loss(net, *pictures, np.random.default_rng(3)).detach())
        for each, net in ((policy, supernet), (other, others))
    ]
    assert losses[0] == losses[1]


def test_entropy_is_1_undecided_0_decided_and_its_gradient_is_right(tiny: Space) -> None:
    policy, _ = make("reinforce", tiny)
    assert policy.entropy().item() == pytest.approx(1, abs=1e-6)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter[0] = 30
    assert policy.entropy().item() == pytest.approx(0, abs=1e-6)
    policy.double()
    with torch.no_grad():
        for n, parameter in enumerate(policy.parameters()):
            parameter.copy_(torch.linspace(-1, 1, len(parameter)) * (n + 1) / 4)
    by_hand = [-(p * p.log()).sum().item() / np.log(len(p)) for p in policy.probabilities()]
    assert policy.entropy().item() == pytest.approx(np.mean(by_hand), abs=1e-12)
    parameters = list(policy.parameters())

    def entropy(*values: torch.Tensor) -> torch.Tensor:
        policy.logits = lambda: list(values)  # type: ignore[method-assign]
        return policy.entropy()

    assert torch.autograd.gradcheck(entropy, [p.detach().requires_grad_() for p in parameters])


def test_several_resolutions_are_refused_where_feature_maps_would_be_added(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sizes.yaml"
    path.write_text(
        "format: nas-space/1\nname: sizes\nsource: test\nnum_classes: 5\ninput: {resolution: {choice: [16, 32]}}\n"
        "activation: relu\nstages:\n  - {name: stem, block: conv, width: 8, stride: 2, kernel: {choice: [3, 5]}}\n"
        "head: {width: 16}\n"
    )
    if name in ("fbnet", "proxyless"):
        with pytest.raises(NasError, match="sizes has several resolutions"):
            check_policy(name, load_space(path))
    else:
        check_policy(name, load_space(path))
        make(name, load_space(path))

"""Single-Path NAS: gates on the norms of what options add to a superkernel."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from nas.policies.single_path import SHARPNESS, SinglePath
from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet.superkernel import Superkernel


def make(space: Space) -> tuple[SinglePath, Superkernel]:
    torch.manual_seed(0)
    supernet = Superkernel(space)
    return SinglePath(space, supernet), supernet


def index(space: Space, name: str) -> int:
    return [decision.name for decision in space.decisions].index(name)


def chances(policy: SinglePath, name: str) -> dict[object, float]:
    place = index(policy.space, name)
    p = policy.probabilities()[place].tolist()
    return dict(zip(policy.space.decisions[place].options, p, strict=True))


def depthwise(supernet: Superkernel, stage: str) -> list[torch.Tensor]:
    """The weights of the depthwise superkernels of a stage's layers."""
    slots = [slot for slot, choice in enumerate(supernet.choices) if choice.name.startswith(f"{stage}.")]
    banks = dict(supernet.banks.named_parameters())
    return [
        next(v for n, v in banks.items() if n.startswith(f"slot{s}_") and "depthwise.conv_weight" in n) for s in slots
    ]


def ring(weight: torch.Tensor) -> torch.Tensor:
    """A mask of the places that a kernel of 5 has and one of 3 has not."""
    mask = torch.ones_like(weight)
    mask[:, :, 1:-1, 1:-1] = 0
    return mask.bool()


def test_all_options_are_equally_likely_at_first(tiny: Space) -> None:
    policy, _ = make(tiny)
    for decision in tiny.decisions:
        count = len(decision.options)
        assert chances(policy, decision.name) == pytest.approx(dict.fromkeys(decision.options, 1 / count))


def test_a_larger_ring_makes_the_larger_kernel_likelier_by_the_logit(tiny: Space) -> None:
    policy, supernet = make(tiny)
    seen = [chances(policy, "top.kernel")[5]]
    for factor in (1.1, 1.2, 1.4):
        for weight in depthwise(supernet, "top"):
            with torch.no_grad():
                weight[ring(weight)] *= factor
        seen.append(chances(policy, "top.kernel")[5])
    assert seen == sorted(seen)
    grown = (1.1 * 1.2 * 1.4) ** 2  # the mean square, of which a gate is
    assert seen[-1] == pytest.approx(1 / (1 + np.exp(-SHARPNESS * (grown - 1))), rel=1e-4)


def test_the_inner_kernel_has_no_say_in_the_ring(tiny: Space) -> None:
    policy, supernet = make(tiny)
    before = chances(policy, "top.kernel")
    for weight in depthwise(supernet, "top"):
        with torch.no_grad():
            weight[~ring(weight)] *= 3
    assert chances(policy, "top.kernel") == pytest.approx(before)


def test_a_higher_threshold_makes_what_it_guards_less_likely(tiny: Space) -> None:
    policy, _ = make(tiny)
    for name, larger in (("top.kernel", 5), ("top.depth", 2), ("top.se", 0.5)):
        before = chances(policy, name)[larger]
        with torch.no_grad():
            policy.thresholds[index(tiny, name)] += 0.3
        after = chances(policy, name)[larger]
        assert after < before
        assert after == pytest.approx(1 / (1 + np.exp(0.3 * SHARPNESS)), rel=1e-4)


def test_gates_nest(tiny: Space) -> None:
    """An expansion of 3 needs the channels of 2: closing the first gate shuts out both."""
    policy, _ = make(tiny)
    place = index(tiny, "top.expansion")
    with torch.no_grad():
        policy.thresholds[place][0] += 2  # sigma(-10)
    assert chances(policy, "top.expansion")[1] > 0.999
    with torch.no_grad():
        policy.thresholds[place][0] -= 4
        policy.thresholds[place][1] += 2
    assert chances(policy, "top.expansion")[2] > 0.999


def test_the_norm_of_a_stage_is_the_mean_over_its_layers(tiny: Space) -> None:
    policy, supernet = make(tiny)
    place = index(tiny, "top.kernel")
    own = [weight[ring(weight)].square().mean().item() for weight in depthwise(supernet, "top")]
    assert len(own) == 2
    assert float(policy.first[place][0]) == pytest.approx(np.mean(own), rel=1e-5)


@pytest.mark.parametrize(
    ("space", "name", "gates"),
    [
        ("single-path", "rest2.layer1.block", 3),  # keep, kernel, expansion
        ("single-path", "stage2.block", 2),  # nothing to skip
        ("nas-bench-macro", "stage1.layer2.block", 2),  # keep; kernel and expansion change together, which is one
        ("mobile", "stage2.depth", 2),  # the second layer, the third
    ],
)
def test_options_are_told_apart_by_as_many_gates_as_it_takes(space: str, name: str, gates: int) -> None:
    policy, _ = make(load_space(space, classes=10))
    place = index(policy.space, name)
    assert len(policy._gates[place]) == gates
    assert len(policy.free[place]) == 0


def test_what_is_no_slice_has_free_logits() -> None:
    policy, _ = make(load_space("fbnet", classes=10))
    place = next(i for i, d in enumerate(policy.space.decisions) if "k3_e1_g2" in d.options)
    assert len(policy.free[place]) == len(policy.space.decisions[place].options)


def test_chances_follow_weights_and_thresholds_with_the_right_gradient(tiny: Space) -> None:
    torch.manual_seed(0)
    supernet = Superkernel(tiny).double()
    policy = SinglePath(tiny, supernet)
    policy.double()
    place = index(tiny, "top.kernel")
    weight = depthwise(supernet, "top")[0]
    (gradient,) = torch.autograd.grad(policy.probabilities()[place][1], weight)
    direction = torch.randn_like(weight)
    h = 1e-6

    def moved(step: float) -> float:
        with torch.no_grad():
            weight.add_(direction, alpha=step)
            value = policy.probabilities()[place][1].item()
            weight.add_(direction, alpha=-step)
        return value

    assert float((gradient * direction).sum()) == pytest.approx((moved(h) - moved(-h)) / (2 * h), rel=1e-5)
    threshold = cast(torch.Tensor, policy.thresholds[place])
    (gradient,) = torch.autograd.grad(policy.probabilities()[place][1], threshold)
    p = policy.probabilities()[place][1].item()
    assert float(gradient) == pytest.approx(-SHARPNESS * p * (1 - p), rel=1e-6)  # of sigma(kappa (n - t))

"""`gated` and `mixed`, `paired`: the networks that gradients of shares come from compute what they stand for.

All in float64, where equal means equal to 1e-9: in float32, normalisation over a few pixels magnifies rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from odd_spaces import ODD, odd_space

from nas.space.load import load_space
from nas.supernet.multi_path import MultiPath
from nas.supernet.shares import shares_of
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Supernet

Shipped = Callable[..., Supernet]


def chances(supernet: Supernet, seed: int = 0) -> list[torch.Tensor]:
    """Random probabilities of every decision's options, float64, with gradients."""
    random = torch.Generator().manual_seed(seed)
    sizes = [len(decision.options) for decision in supernet.space.decisions]
    return [torch.randn(n, generator=random).double().softmax(0).requires_grad_() for n in sizes]


def shares_everywhere(supernet: Supernet, probabilities: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [shares_of(choice, probabilities) for choice in supernet.choices]


def pictures(supernet: Supernet, side: int | None = None, batch: int = 4) -> torch.Tensor:
    side = side or supernet.space.resolution
    random = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, side, side, generator=random, dtype=torch.float64)


def check_gated(supernet: Superkernel, x: torch.Tensor, networks: int) -> None:
    for number, genotype in enumerate(supernet.space.sample(networks, np.random.default_rng(2))):
        with torch.no_grad():
            expected = supernet(x, genotype)
            for least in (0.0, 0.05, 0.9):  # forms that are left out weigh nothing
                gated = supernet.gated(x, genotype, shares_everywhere(supernet, chances(supernet, number)), least)
                assert torch.allclose(gated, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("space", "networks"), [("single-path", 4), ("mobile", 3), ("nas-bench-macro", 3), ("fbnet", 2), ("mnasnet", 1)]
)
def test_gated_equals_forward_in_shipped_spaces(space: str, networks: int) -> None:
    torch.manual_seed(0)
    supernet = Superkernel(load_space(space, classes=10)).double()
    check_gated(supernet, pictures(supernet, 32), networks)


@pytest.mark.parametrize("name", ODD)
def test_gated_equals_forward_whatever_is_chosen(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    supernet = Superkernel(load_space(odd_space(name, tmp_path))).double()
    check_gated(supernet, pictures(supernet), 20)


@pytest.mark.parametrize("name", [name for name in ODD if name != "resolutions"])
def test_the_loss_has_gradients_in_the_chances_of_every_decision(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    supernet = Superkernel(load_space(odd_space(name, tmp_path))).double()
    probabilities = chances(supernet)
    total = [torch.zeros_like(p) for p in probabilities]
    for genotype in supernet.space.sample(6, np.random.default_rng(3)):
        logits = supernet.gated(pictures(supernet), genotype, shares_everywhere(supernet, probabilities))
        gradients = torch.autograd.grad(logits.square().sum(), probabilities, allow_unused=True)
        for sum_, gradient in zip(total, gradients, strict=True):
            sum_ += 0 if gradient is None else gradient.abs()
    for decision, gradient in zip(supernet.space.decisions, total, strict=True):
        assert gradient.max() > 1e-9, decision.name


def test_a_skips_gradient_is_what_the_skip_would_add_against_the_block() -> None:
    """Where a slot has one block and a skip, y = x + s f(x): dy/ds is f(x), by finite difference of s from 1."""
    from nas.blocks.layer import Layer
    from nas.space.space import Decision, Slot, Space

    stem = Layer(kind="conv", in_channels=3, out_channels=4, kernel=3, height=8, width=8)
    block = Layer(
        kind="mbconv", in_channels=4, mid_channels=8, out_channels=4, kernel=3, residual=True, height=8, width=8
    )
    head = Layer(kind="head", in_channels=4, mid_channels=8, out_channels=3, height=8, width=8)
    space = Space(
        "skip",
        (Decision("block", ("on", "off")),),
        (
            Slot("stem", (), lambda: (stem,)),
            Slot("body", (0,), lambda option: (block,) if option == "on" else ()),
            Slot("head", (), lambda: (head,)),
        ),
    )
    torch.manual_seed(0)
    supernet = Superkernel(space).double()
    x, on = pictures(supernet, 8), np.array([0], np.uint8)
    shares = [torch.ones(1).double(), torch.tensor([0.7, 0.3]).double().requires_grad_(), torch.ones(1).double()]
    (gradient,) = torch.autograd.grad(supernet.gated(x, on, shares).square().sum(), shares[1])

    def loss(weight: float) -> float:
        with torch.no_grad():
            before = supernet.run(0, 0, x)
            body = before + weight * (supernet.run(1, 0, before) - before)
            return float(supernet.run(2, 0, body).square().sum())

    h = 1e-5
    assert float(gradient[0]) == pytest.approx((loss(1 + h) - loss(1 - h)) / (2 * h), rel=1e-5)
    assert float(gradient[1]) == pytest.approx(0, abs=1e-9)  # the input is added by both


def test_the_gradient_of_a_kernel_is_that_of_fading_its_ring() -> None:
    """With kernels 3 and 5 the ring counts as the share of 5: d loss / d share by finite difference of the ring."""
    from nas.blocks.layer import Layer
    from nas.space.space import Decision, Slot, Space

    def conv(kernel: int) -> Layer:
        return Layer(kind="conv", in_channels=3, out_channels=4, kernel=kernel, height=8, width=8)

    head = Layer(kind="head", in_channels=4, mid_channels=8, out_channels=3, height=8, width=8)
    space = Space(
        "kernels",
        (Decision("kernel", (3, 5)),),
        (Slot("stem", (0,), lambda kernel: (conv(kernel),)), Slot("head", (), lambda: (head,))),
    )
    torch.manual_seed(0)
    supernet = Superkernel(space).double()
    x = pictures(supernet, 8)
    shares = [torch.tensor([0.4, 0.6]).double().requires_grad_(), torch.ones(1).double()]
    (bank,) = [bank for bank, op in supernet.banks_of(0, 1)]
    weight = bank["conv.weight"].detach().clone()
    for option in (0, 1):
        logits = supernet.gated(x, np.array([option], np.uint8), shares)
        (gradient,) = torch.autograd.grad(logits.square().sum(), shares[0])

        def loss(ring: float) -> float:
            faded = weight * ring
            faded[:, :, 1:4, 1:4] = weight[:, :, 1:4, 1:4]
            with torch.no_grad():
                bank["conv.weight"].copy_(faded)
                value = float(supernet(x, np.array([1], np.uint8)).square().sum())
                bank["conv.weight"].copy_(weight)
            return value

        h = 1e-5
        assert float(gradient[1] - gradient[0]) == pytest.approx(
            (loss(option + h) - loss(option - h)) / (2 * h), rel=1e-4, abs=1e-7
        )


@pytest.mark.parametrize("name", [name for name in ODD if name != "resolutions"])
def test_mixed_with_one_hot_shares_and_paired_equal_forward(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    space = load_space(odd_space(name, tmp_path))
    branches, kernels = MultiPath(space).double(), Superkernel(space).double()
    x = pictures(branches)
    rng = np.random.default_rng(4)
    for one, other in zip(space.sample(6, rng), space.sample(6, rng), strict=True):
        with torch.no_grad():
            hot = [torch.eye(len(c.chains))[c.candidate(one)].double() for c in branches.choices]
            assert torch.allclose(branches.mixed(x, hot), branches(x, one), atol=1e-9, rtol=0)
            for supernet in (branches, kernels):
                first = [torch.ones(()).double() for _ in supernet.choices]
                second = [torch.zeros(()).double() for _ in supernet.choices]
                assert torch.allclose(supernet.paired(x, one, other, first), supernet(x, one), atol=1e-9, rtol=0)
                assert torch.allclose(supernet.paired(x, one, other, second), supernet(x, other), atol=1e-9, rtol=0)
                assert torch.allclose(supernet.paired(x, one, one, second), supernet(x, one), atol=1e-9, rtol=0)


def test_mixed_is_the_weighted_sum_of_branches(shipped: Shipped) -> None:
    """One slot by hand: eq. 4 of arXiv:1812.03443."""
    supernet = shipped("nas-bench-macro", "multi-path")
    hot = [torch.eye(len(c.chains))[0] for c in supernet.choices]
    slot = next(s for s, c in enumerate(supernet.choices) if len(c.chains) == 3)
    hot[slot] = torch.tensor([0.2, 0.3, 0.5])
    with torch.no_grad():
        x = before = torch.randn(2, 3, 16, 16)
        for s in range(slot):
            before = supernet.run(s, 0, before)
        y = sum(share * supernet.run(slot, c, before) for c, share in enumerate((0.2, 0.3, 0.5)))
        for s in range(slot + 1, len(supernet.choices)):
            y = supernet.run(s, 0, y)
        assert isinstance(supernet, MultiPath)
        assert torch.allclose(supernet.mixed(x, hot), y, atol=1e-5)


def test_what_both_networks_of_a_pair_have_runs_once(shipped: Shipped, monkeypatch: pytest.MonkeyPatch) -> None:
    supernet = shipped("nas-bench-macro")
    runs: Counter[int] = Counter()
    run = type(supernet).run
    monkeypatch.setattr(type(supernet), "run", lambda self, slot, c, x: (runs.update([slot]), run(self, slot, c, x))[1])
    rng = np.random.default_rng(6)
    one, other = supernet.space.sample(2, rng)
    other[:4] = one[:4]
    with torch.no_grad():
        supernet.paired(torch.randn(2, 3, 16, 16), one, other, [torch.tensor(0.5)] * len(supernet.choices))
    for slot, choice in enumerate(supernet.choices):
        assert runs[slot] == (1 if choice.candidate(one) == choice.candidate(other) else 2)
    assert 1 in runs.values()
    assert 2 in runs.values()

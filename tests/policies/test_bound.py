"""Bounds in the loss, by hand arithmetic; and what is derived under them."""

from __future__ import annotations

from dataclasses import replace
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nas.cost import counts
from nas.cost.factors import Factor, Factors
from nas.errors import Unattainable
from nas.policies.bound import DAMPING, RATE, Bounds
from nas.policies.descent import derive
from nas.policies.policy import Logits, Policy
from nas.policies.reinforce import Reinforce
from nas.runs.policy_search import PolicySearch
from nas.runs.request import Request
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.teller import Silent
from nas.tables.table import latency, load_table
from nas.testing import line


def sums(cards: tuple[int, ...], *arrays: list[float], constant: float = 0.0) -> Factors:
    terms = [Factor((axis,), np.array(array)) for axis, array in enumerate(arrays)]
    return Factors.of(cards, constant, terms)


LATENCY = sums((2, 2), [2.0, 4.0], [1.0, 5.0])  # ms
MACS = sums((2, 2), [10.0, 30.0], [0.0, 20.0])


def chances(one: float, other: float) -> list[torch.Tensor]:
    """Of the first options of two decisions; with gradients."""
    return [torch.tensor([p, 1 - p], dtype=torch.float64, requires_grad=True) for p in (one, other)]


def test_excesses_are_logarithms_of_the_exact_expectation_over_the_bound() -> None:
    bounds = Bounds({"latency_ms": LATENCY, "macs": MACS, "params": MACS}, {"latency_ms": 5.0, "macs": 40.0})
    excesses = bounds.excesses(chances(0.25, 0.5))
    assert excesses.keys() == {"latency_ms", "macs"}  # no bound on params
    # 0.25 * 2 + 0.75 * 4 + 0.5 * 1 + 0.5 * 5 = 6.5; 0.25 * 10 + 0.75 * 30 + 0.5 * 20 = 35
    assert excesses["latency_ms"].item() == pytest.approx(log(6.5 / 5))
    assert excesses["macs"].item() == pytest.approx(log(35 / 40))


def test_latency_is_two_sided_and_macs_are_one_sided() -> None:
    bounds = Bounds({"latency_ms": LATENCY, "macs": MACS}, {"latency_ms": 13.0, "macs": 70.0})
    excesses = bounds.excesses(chances(0.25, 0.5))  # half of either bound
    expected = DAMPING / 2 * log(0.5) ** 2  # of latency alone: multipliers are 0 at first
    assert bounds.term(excesses).item() == pytest.approx(expected)
    bounds.ascend(excesses)
    assert bounds.multipliers["latency_ms"] == pytest.approx(RATE * log(0.5))  # below 0: more latency is wanted
    assert bounds.multipliers["macs"] == 0
    assert bounds.term(excesses).item() == pytest.approx(expected + RATE * log(0.5) ** 2)


def test_over_both_bounds_multipliers_grow_and_push_down() -> None:
    bounds = Bounds({"latency_ms": LATENCY, "macs": MACS}, {"latency_ms": 3.25, "macs": 17.5})
    p = chances(0.25, 0.5)
    for step in (1, 2):
        bounds.ascend(bounds.excesses(p))  # both costs are twice their bounds
        assert bounds.multipliers == pytest.approx({"latency_ms": step * RATE * log(2), "macs": step * RATE * log(2)})
    term = bounds.term(bounds.excesses(p))
    assert term.item() == pytest.approx(2 * (2 * RATE * log(2) ** 2 + DAMPING / 2 * log(2) ** 2))
    gradients = torch.autograd.grad(term, p)
    for gradient in gradients:
        assert gradient[1] > gradient[0]  # the second options cost more of both: descent leaves them
    # d/dp of (multiplier + DAMPING * excess) * log(E): times cost / E
    weight = 2 * RATE * log(2) + DAMPING * log(2)
    assert gradients[1][1].item() == pytest.approx(weight * (5 / 6.5 + 20 / 35))


def test_below_the_bound_latency_pulls_up() -> None:
    bounds = Bounds({"latency_ms": LATENCY}, {"latency_ms": 8.0})
    p = chances(0.25, 0.5)
    gradients = torch.autograd.grad(bounds.term(bounds.excesses(p)), p)
    for gradient in gradients:
        assert gradient[1] < gradient[0]


def test_a_multiplier_of_macs_comes_back_to_0_and_stays_there() -> None:
    bounds = Bounds({"macs": MACS}, {"macs": 40.0})
    bounds.multipliers["macs"] = 1.5 * RATE * log(40 / 35)
    for expected in (0.5 * RATE * log(40 / 35), 0.0, 0.0):
        bounds.ascend(bounds.excesses(chances(0.25, 0.5)))
        assert bounds.multipliers["macs"] == pytest.approx(expected)


PEAK = Factors.of((2, 2), 0.0, [Factor((0,), np.array([1.0, 8.0])), Factor((0, 1), np.array([[2, 9], [3, 7]]))], "max")


def test_the_excess_over_a_bound_on_a_maximum_is_how_many_places_are_expected_over_it() -> None:
    """The first term is within that with both axes: maxima 2, 9, 8, 8. Under 8.5 one of the four is over."""
    p = chances(0.25, 0.6)
    excesses = Bounds({"peak_bytes": PEAK}, {"peak_bytes": 8.5}).excesses(p)
    assert excesses["peak_bytes"].item() == pytest.approx(0.25 * 0.4)
    (first, second) = torch.autograd.grad(excesses["peak_bytes"], p)
    assert (first[0] > first[1], second[1] > second[0]) == (True, True)  # descent leaves the pair that does not fit
    assert Bounds({"peak_bytes": PEAK}, {"peak_bytes": 9.0}).excesses(p)["peak_bytes"].item() == 0


@pytest.mark.parametrize("bound", [2.5, 8.5])
def test_a_loss_that_wants_what_does_not_fit_learns_what_does(bound: float) -> None:
    """Of both last options the loss wants the more; within 2.5 only the first ones fit."""
    logits = Logits(line((2, 2)))
    bounds = Bounds({"peak_bytes": PEAK}, {"peak_bytes": bound})
    optimiser = torch.optim.Adam(logits.parameters(), lr=0.05, betas=(0.5, 0.999))
    for _ in range(500):
        optimiser.zero_grad()
        p = [v.softmax(0) for v in logits()]
        excesses = bounds.excesses(p)
        (bounds.term(excesses) - 0.1 * p[0][0] - 0.2 * p[1][1]).backward()
        optimiser.step()
        bounds.ascend(excesses)
    likeliest = np.array([[int(v.argmax()) for v in logits()]], dtype=np.uint8)
    assert PEAK(likeliest)[0] <= bound
    assert excesses["peak_bytes"].item() < 0.1


def test_dual_ascent_ends_at_the_bound() -> None:
    """A loss that wants the slow options: with the bound it ends where the expectation is the bound."""
    cards = (3,) * 6
    space = line(cards)
    cost = sums(cards, *[[1.0, 2.0, 4.0]] * 6)  # 6 to 24 ms
    logits = Logits(space)
    bounds = Bounds({"latency_ms": cost}, {"latency_ms": 13.0})
    optimiser = torch.optim.Adam(logits.parameters(), lr=0.02, betas=(0.5, 0.999))
    for _ in range(500):
        optimiser.zero_grad()
        p = [v.softmax(0) for v in logits()]
        excesses = bounds.excesses(p)
        loss = -0.1 * sum((q[2] for q in p), torch.zeros(()))
        (loss + bounds.term(excesses)).backward()
        optimiser.step()
        bounds.ascend(excesses)
    assert float(cost.expected_cost([v.softmax(0) for v in logits()]).detach()) == pytest.approx(13.0, rel=0.01)
    assert bounds.multipliers["latency_ms"] > 0


def random_policy(space: Space, cost: Factors, seed: int, scale: float = 2.0) -> Policy:
    policy = Reinforce(space, cost, 1.0)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random) * scale)
    return policy


@pytest.mark.parametrize("seed", range(25))
def test_derived_networks_of_small_spaces_are_the_likeliest_of_those_allowed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cards = tuple(int(n) for n in rng.integers(2, 5, size=rng.integers(2, 6)))
    space = line(cards)
    costs = {name: sums(cards, *[rng.uniform(0.5, 3, n).tolist() for n in cards]) for name in ("latency_ms", "macs")}
    everything = np.stack(np.meshgrid(*map(np.arange, cards), indexing="ij"), -1).reshape(-1, len(cards))
    everything = everything.astype(np.uint8)
    found = {name: cost(everything) for name, cost in costs.items()}
    bounds = {"latency_ms": float(np.quantile(found["latency_ms"], rng.uniform(0.02, 1)))}
    if seed % 2:
        bounds["macs"] = float(np.quantile(found["macs"], rng.uniform(0.3, 1)))
    if seed % 3 == 0:
        costs["peak_bytes"] = replace(sums(cards, *[rng.uniform(0.5, 3, n).tolist() for n in cards]), fold="max")
        found["peak_bytes"] = costs["peak_bytes"](everything)
        bounds["peak_bytes"] = float(np.quantile(found["peak_bytes"], rng.uniform(0.3, 1)))
    policy = random_policy(space, costs["latency_ms"], seed)
    allowed = np.all([found[name] <= bound for name, bound in bounds.items()], axis=0)
    if not allowed.any():
        with pytest.raises(Unattainable):
            derive(space, policy, costs, bounds)
        return
    used = allowed & (found["latency_ms"] >= 0.95 * bounds["latency_ms"])
    derived = derive(space, policy, costs, bounds)
    log_chances = policy.log_probability()(everything)
    best = log_chances[used if used.any() else allowed].max()
    assert derived.floored == used.any()
    assert derived.solution.value == pytest.approx(best, abs=1e-9)
    assert derived.solution.proven
    for name, bound in bounds.items():
        assert costs[name](derived.solution.genotype[None])[0] <= bound
    assert (derived.argmax == everything[log_chances.argmax()]).all()
    assert derived.argmax_ms["latency_ms"] == pytest.approx(costs["latency_ms"](derived.argmax[None])[0])
    assert derived.changed == (derived.argmax != derived.solution.genotype).sum()
    weights = np.exp(log_chances)
    expected = (weights * found["latency_ms"]).sum() / weights.sum()
    assert derived.expected_ms["latency_ms"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "policies"),
    [
        ("nas-bench-macro", 2),
        pytest.param("single-path", 3, marks=pytest.mark.slow),
        pytest.param("mobile", 3, marks=pytest.mark.slow),
    ],
)
def test_derived_networks_of_large_spaces_keep_to_95_to_100_percent(name: str, policies: int) -> None:
    space = load_space(name)
    own_table = name != "nas-bench-macro"
    costs = {
        "latency_ms": latency(space, load_table("pixel-cpu")) if own_table else counts.macs(space) * 1e-7,
        "macs": counts.macs(space),
        "params": counts.params(space),
    }
    low, high = costs["latency_ms"].bounds()
    for seed in range(policies):
        policy = random_policy(space, costs["latency_ms"], seed)
        for share in (0.1, 0.4, 0.9):
            bounds = {"latency_ms": low + share * (high - low)}
            derived = derive(space, policy, costs, bounds)
            ms = costs["latency_ms"](derived.solution.genotype[None])[0]
            assert 0.95 * bounds["latency_ms"] <= ms <= bounds["latency_ms"]
            assert derived.floored
            if share != 0.4 or seed:
                continue
            bound = 0.9 * costs["params"](derived.solution.genotype[None])[0]
            both = derive(space, policy, costs, bounds | {"params": bound})
            assert costs["params"](both.solution.genotype[None])[0] <= bound
            assert costs["latency_ms"](both.solution.genotype[None])[0] <= bounds["latency_ms"]
            assert both.solution.value <= derived.solution.value + 1e-9


def test_where_all_networks_are_faster_than_the_bound_the_argmax_stands() -> None:
    cards = (2, 2)
    policy = random_policy(line(cards), LATENCY, 3)
    derived = derive(line(cards), policy, {"latency_ms": LATENCY}, {"latency_ms": 100.0})  # the slowest takes 9 ms
    assert not derived.floored
    assert derived.changed == 0
    assert (derived.solution.genotype == policy.argmax()).all()


def test_a_bound_that_falls_into_a_gap_is_kept_without_the_floor() -> None:
    """3, 5, 7 and 9 ms: under 6.9 ms nothing takes 6.555 ms or more."""
    space = line((2, 2))
    policy = random_policy(space, LATENCY, 3)
    derived = derive(space, policy, {"latency_ms": LATENCY}, {"latency_ms": 6.9})
    assert not derived.floored
    assert LATENCY(derived.solution.genotype[None])[0] in (3.0, 5.0)


def test_bounds_that_nothing_meets() -> None:
    with pytest.raises(Unattainable):
        derive(line((2, 2)), random_policy(line((2, 2)), LATENCY, 0), {"latency_ms": LATENCY}, {"latency_ms": 2.9})


def test_bounds_that_do_not_meet_are_refused_before_anything_is_trained(tiny: Space) -> None:
    latency = counts.macs(tiny) * 1e-5
    least, most = latency.bounds()
    bounds = {"latency_ms": (least + most) / 2, "params": -(least + most) / 2 - 1e-6}
    problem = SimpleNamespace(
        space=tiny,
        factors={"latency_ms": latency, "params": latency * -1.0},
        objective=SimpleNamespace(bounds=bounds, accuracy=None),
        weights=None,
    )
    with pytest.raises(Unattainable, match="the least params within the bound on latency_ms is"):
        PolicySearch(Request(space="tiny", target="t", controller="reinforce", data="digits"), problem, Silent())  # type: ignore[arg-type]

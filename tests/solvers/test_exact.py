"""The exact solver against brute force, and against the evolution that it does not need."""

from itertools import pairwise

import numpy as np
import pytest

import nas
from nas.cost import counts
from nas.cost.cost import Fold
from nas.cost.factors import Factor, Factors
from nas.errors import NasError, Unattainable
from nas.solvers.exact import WORK, attain, solve
from nas.testing import line


def random_factors(
    cards: tuple[int, ...], arity: int, rng: np.random.Generator, positive: bool = False, fold: Fold = "sum"
) -> Factors:
    terms = []
    for _ in range(len(cards) + 3):
        scope = tuple(sorted(rng.choice(len(cards), size=rng.integers(1, arity + 1), replace=False).tolist()))
        array = rng.normal(size=[cards[a] for a in scope])
        terms.append(Factor(scope, np.abs(array) + 0.1 if positive else array))
    return Factors.of(cards, float(rng.normal()), terms, fold)


@pytest.mark.parametrize("seed", range(20))
def test_brute_force_agrees_on_small_spaces(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.solvers.exact.ENUMERATED", 20)  # so that bounding and branching do the work
    rng = np.random.default_rng(seed)
    cards = tuple(int(n) for n in rng.integers(2, 5, size=rng.integers(3, 8)))
    space, value = line(cards), random_factors(cards, 3, rng)
    costs = {name: random_factors(cards, 2, rng, positive=True) for name in ("latency_ms", "macs")[: 1 + seed % 2]}
    everything = space.enumerate()
    bounds = {name: float(np.quantile(cost(everything), 0.4)) for name, cost in costs.items()}
    meets = np.all([cost(everything) <= bounds[name] for name, cost in costs.items()], axis=0)
    if not meets.any():
        with pytest.raises(Unattainable):
            solve(space, value, costs, bounds)
        return
    best = value(everything)[meets].max()
    for known in (None, everything[:1]):  # with a good start, and with next to none
        found = solve(space, value, costs, bounds, known=known)
        assert found.proven
        assert found.value == pytest.approx(best, abs=1e-8)
        assert found.upper_bound == pytest.approx(best, abs=1e-8)
        assert value(found.genotype[None])[0] == pytest.approx(best, abs=1e-8)
        assert all(costs[name](found.genotype[None])[0] <= bounds[name] for name in costs)


@pytest.mark.parametrize("seed", range(20))
def test_brute_force_agrees_with_both_folds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One or two maxima, whose terms are of one decision to three, beside no sum or one; bounds of all tightness."""
    monkeypatch.setattr("nas.solvers.exact.ENUMERATED", 20)
    rng = np.random.default_rng(seed)
    cards = tuple(int(n) for n in rng.integers(2, 5, size=rng.integers(3, 8)))
    space, value = line(cards), random_factors(cards, 3, rng)
    folds: dict[str, Fold] = {"peak": "max", "other": "max", "latency_ms": "sum"}
    chosen = (["peak"], ["peak", "latency_ms"], ["latency_ms", "peak", "other"])[seed % 3]
    costs = {name: random_factors(cards, 1 + seed % 3, rng, positive=True, fold=folds[name]) for name in chosen}
    everything = space.enumerate()
    columns = {name: cost(everything) for name, cost in costs.items()}
    for share in (0.1, 0.3, 0.6, 0.95):
        bounds = {name: float(np.quantile(column, share)) for name, column in columns.items()}
        meets = np.all([columns[name] <= bound for name, bound in bounds.items()], axis=0)
        if not meets.any():
            for decide in (attain, lambda *problem: solve(space, value, *problem[1:])):
                with pytest.raises(Unattainable, match=r"over its own\. Loosen one of them"):
                    decide(space, costs, bounds)
            continue
        some = attain(space, costs, bounds)
        assert all(costs[name](some[None])[0] <= bound for name, bound in bounds.items())
        best = value(everything)[meets].max()
        for known in (None, everything[:1]):
            found = solve(space, value, costs, bounds, known=known)
            assert found.proven
            assert found.value == pytest.approx(best, abs=1e-8)
            assert found.upper_bound == pytest.approx(best, abs=1e-8)
            assert all(costs[name](found.genotype[None])[0] <= bounds[name] for name in costs)


@pytest.mark.parametrize("seed", range(20))
def test_whether_all_bounds_can_be_met_is_decided(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.solvers.exact.ENUMERATED", 20)
    rng = np.random.default_rng(100 + seed)
    cards = tuple(int(n) for n in rng.integers(2, 5, size=rng.integers(3, 7)))
    space = line(cards)
    costs = {name: random_factors(cards, 2, rng) for name in ("one", "two", "three")}
    everything = space.enumerate()
    columns = np.stack([cost(everything) for cost in costs.values()], axis=1)
    some = columns[rng.integers(len(columns))]  # attained by one at least, and mostly by few
    for bounds in (some, some - 1e-6, columns.min(axis=0) + 1e-6):
        named = dict(zip(costs, map(float, bounds), strict=True))
        if (columns <= bounds).all(axis=1).any():
            found = attain(space, costs, named)
            assert all(costs[name](found[None])[0] <= bound for name, bound in named.items())
        else:
            with pytest.raises(Unattainable, match=r"over its own\. Loosen one of them"):
                attain(space, costs, named)


def test_two_bounds_that_hardly_meet_are_decided_at_once() -> None:
    """Looking for the likeliest architecture within these gave up after a minute."""
    space = nas.load_space("mobile")
    costs = {"latency_ms": nas.latency(space, nas.load_table("pixel-cpu")) * -1.0, "macs": counts.macs(space)}
    bounds = {"latency_ms": -39.6893, "macs": 100e6}  # the slowest network of 100 M MACs takes 39.68934 ms
    found = attain(space, costs, bounds)
    assert all(costs[name](found[None])[0] <= bound for name, bound in bounds.items())
    with pytest.raises(Unattainable, match=r"least macs within the bound on latency_ms is .* % over its own"):
        attain(space, costs, bounds | {"latency_ms": -39.6894})


def test_what_is_not_known_in_time_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.solvers.exact.ENUMERATED", 1)
    rng, cards = np.random.default_rng(0), (4,) * 6
    space = line(cards)
    costs = {name: random_factors(cards, 3, rng, positive=True) for name in ("one", "two")}
    one, two = (cost(space.enumerate()) for cost in costs.values())
    bound = float(np.quantile(one, 0.2))
    bounds = {"one": bound, "two": float(two[one <= bound].min()) - 1e-6}
    with pytest.raises(NasError, match="nor a proof that there is none: the least") as told:
        attain(space, costs, bounds, work=-1)
    assert not isinstance(told.value, Unattainable)


@pytest.mark.parametrize("bound", [40.0, 60.0, 75.0, 100.0])
def test_mobile_is_proved_and_evolution_is_close(bound: float) -> None:
    space = nas.load_space("mobile")
    value = nas.load_predictor("mobile").factors
    latency = nas.latency(space, nas.load_table("pixel-cpu"))
    found = solve(space, value, {"latency_ms": latency}, {"latency_ms": bound})
    assert found.proven
    assert found.seconds < 10
    assert latency(found.genotype[None])[0] <= bound


@pytest.mark.slow
def test_the_proof_does_not_lean_on_a_good_start() -> None:
    """From the cheapest network alone, the same optimum at 75 ms."""
    space = nas.load_space("mobile")
    value = nas.load_predictor("mobile").factors
    latency = nas.latency(space, nas.load_table("pixel-cpu"))
    problem = (space, value, {"latency_ms": latency}, {"latency_ms": 75.0})
    quick, slow = solve(*problem), solve(*problem, known=latency.cheapest()[None])
    assert slow.proven
    assert slow.value == pytest.approx(quick.value, abs=1e-9)


def test_several_bounds_at_once() -> None:
    space = nas.load_space("mobile")
    value = nas.load_predictor("mobile").factors
    costs = {"latency_ms": nas.latency(space, nas.load_table("pixel-cpu")), "macs": counts.macs(space)}
    found = solve(space, value, costs, {"latency_ms": 75.0, "macs": 200e6})
    assert found.proven
    alone = solve(space, value, {"latency_ms": costs["latency_ms"]}, {"latency_ms": 75.0})
    assert found.value < alone.value
    assert costs["macs"](found.genotype[None])[0] <= 200e6


def test_a_bound_on_peak_memory_is_kept_and_proved() -> None:
    space = nas.load_space("mobile", resolution=96, strides="drop")
    value = nas.load_predictor("mobile").factors
    costs = {"macs": counts.macs(space), "peak_bytes": counts.peak(space), "flash_bytes": counts.flash(space)}
    bounds = {"macs": 300e6, "peak_bytes": 2500 << 10, "flash_bytes": 24 << 20}
    found = solve(space, value, costs, bounds)
    assert found.proven
    assert all(costs[name](found.genotype[None])[0] <= bound for name, bound in bounds.items())
    loose = solve(space, value, costs, {"macs": 300e6})
    assert costs["peak_bytes"](loose.genotype[None])[0] > bounds["peak_bytes"]
    assert found.value < loose.value


def test_a_larger_bound_is_never_worse() -> None:
    space = nas.load_space("mobile")
    value = nas.load_predictor("mobile").factors
    latency = nas.latency(space, nas.load_table("pixel-cpu"))
    values = [solve(space, value, {"l": latency}, {"l": bound}).value for bound in (30.0, 50.0, 80.0, 120.0)]
    assert all(low <= high for low, high in pairwise(values))


def test_out_of_time_the_bound_still_holds() -> None:
    space = nas.load_space("mobile")
    value = nas.load_predictor("mobile").factors
    latency = nas.latency(space, nas.load_table("pixel-cpu"))
    problem = (space, value, {"latency_ms": latency}, {"latency_ms": 75.0})
    best, cut = solve(*problem), solve(*problem, work=0)
    assert cut.value <= best.value <= cut.upper_bound + 1e-9


def test_nothing_meets_both_bounds() -> None:
    value = Factors.of((2, 2), 0.0, [Factor((0, 1), np.ones((2, 2)))])
    one = Factors.of((2, 2), 0.0, [Factor((0,), np.array([1.0, 3.0]))])
    other = Factors.of((2, 2), 0.0, [Factor((0,), np.array([3.0, 1.0]))])
    with pytest.raises(Unattainable):
        solve(line((2, 2)), value, {"a": one, "b": other}, {"a": 2.0, "b": 2.0})


def test_many_independent_decisions() -> None:
    """A knapsack of 300 decisions: the gap is small where it is not closed."""
    rng = np.random.default_rng(0)
    cards = (3,) * 300
    value = Factors.of(cards, 0.0, [Factor((i,), np.sort(rng.random(3))) for i in range(300)])
    cost = Factors.of(cards, 0.0, [Factor((i,), np.sort(rng.random(3))) for i in range(300)])
    found = solve(line(cards), value, {"c": cost}, {"c": 120.0}, work=WORK // 20)
    assert cost(found.genotype[None])[0] <= 120.0
    assert found.value <= found.upper_bound <= found.value * 1.02

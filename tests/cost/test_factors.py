"""Compiled costs against decoding and adding up, on random genotypes and spaces."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.cost import counts
from nas.cost.cost import COSTS, Fold, counted
from nas.cost.factors import Factor, Factors
from nas.errors import NasError
from nas.space.load import load_space
from nas.space.space import Space
from nas.tables.table import latency, load_table

ELASTIC = """
format: nas-space/1
name: elastic
source: test
input: {resolution: {choice: [64, 96]}}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: {choice: [8, 16]}, stride: 2}
  - {name: a, block: mbconv, width: {choice: [8, 16, 24]}, stride: 2, depth: {choice: [1, 2, 3]},
     kernel: {choice: [3, 5], per: layer}, expansion: {choice: [1, 3]}}
  - {name: b, block: {choice: [mbconv, fused, conv], per: layer}, width: {choice: [16, 32]}, stride: 1, depth: 2,
     expansion: {choice: [2, 4]}, se: {choice: [0, 0.25], per: layer}}
head: {width: {choice: [32, 64]}}
"""


@pytest.fixture(scope="module", params=["mobile", "elastic"])
def space(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Space:
    if request.param == "mobile":
        return load_space("mobile")
    path: Path = tmp_path_factory.mktemp("elastic") / "elastic.yaml"
    path.write_text(ELASTIC)
    return load_space(path)


@pytest.mark.parametrize("name", counted())
def test_costs_equal_decode_and_fold(space: Space, name: str) -> None:
    population = space.sample(300, np.random.default_rng(0))
    expected = [COSTS[name].of(space.decode(genotype)) for genotype in population]
    assert COSTS[name].factors(space)(population) == pytest.approx(expected, rel=1e-12)


def test_counts_are_those_of_a_network(space: Space) -> None:
    network = space.decode(space.sample(1, np.random.default_rng(0))[0])
    assert (COSTS["macs"].of(network), COSTS["params"].of(network)) == (network.macs, network.params)


def test_latency_equals_decode_and_sum() -> None:
    space, table = load_space("mobile"), load_table("pixel-cpu")
    population = space.sample(300, np.random.default_rng(0))
    expected = [table.lookup(space.decode(genotype).layers).ms.sum() for genotype in population]
    assert np.abs(latency(space, table)(population) - expected).max() < 1e-9


def test_mobile_compiles_to_one_small_array_a_stage() -> None:
    factors = counts.macs(load_space("mobile"))
    assert [term.array.size for term in factors.terms] == [36, 36, 36, 36, 36, 48, 36]


def test_expected_cost_is_the_sum_over_all_genotypes(tmp_path: Path) -> None:
    """Two decisions by hand, then the elastic space by enumeration of one part."""
    factors = Factors.of(
        (2, 3), 5.0, [Factor((0,), np.array([1.0, 2.0])), Factor((0, 1), np.arange(6.0).reshape(2, 3))]
    )
    p, q = torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.3, 0.2])
    # 5 + (0.25·1 + 0.75·2) + 0.25·(0.3·1 + 0.2·2) + 0.75·(0.5·3 + 0.3·4 + 0.2·5)
    assert float(factors.expected_cost([p, q])) == pytest.approx(5 + 1.75 + 0.175 + 2.775)


def test_expected_cost_at_a_corner_is_the_cost(space: Space) -> None:
    factors = counts.macs(space)
    for genotype in space.sample(5, np.random.default_rng(1)):
        corner = [
            torch.eye(int(n), dtype=torch.float64)[int(g)] for n, g in zip(space.cardinalities, genotype, strict=True)
        ]
        assert float(factors.expected_cost(corner)) == pytest.approx(factors(genotype[None])[0], rel=1e-12)


def test_expected_cost_is_the_monte_carlo_mean(space: Space) -> None:
    factors = counts.macs(space)
    rng = np.random.default_rng(2)
    chances = [rng.dirichlet(np.ones(n)) for n in space.cardinalities]
    draws = np.stack([rng.choice(len(p), size=40_000, p=p) for p in chances], axis=1).astype(np.uint8)
    costs = factors(draws)
    expected = float(factors.expected_cost([torch.from_numpy(p) for p in chances]))
    assert abs(costs.mean() - expected) < 4 * costs.std() / 200  # 4 standard errors


def test_expected_cost_has_a_true_gradient() -> None:
    factors = Factors.of((2, 3), 1.0, [Factor((0, 1), np.arange(6.0).reshape(2, 3) ** 2), Factor((1,), np.ones(3))])
    logits = [torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (2, 3)]
    assert torch.autograd.gradcheck(lambda *ls: factors.expected_cost([torch.softmax(x, 0) for x in ls]), logits)


def test_expected_cost_refuses_other_shapes() -> None:
    with pytest.raises(NasError, match="one probability per option"):
        counts.macs(load_space("mobile")).expected_cost([torch.ones(2)])


@pytest.mark.parametrize("fold", ["sum", "max"])
def test_bounds_are_exact_by_brute_force(fold: Fold) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        cards = tuple(int(n) for n in rng.integers(1, 5, size=6))
        scopes = [tuple(sorted(rng.choice(6, size=rng.integers(1, 4), replace=False).tolist())) for _ in range(6)]
        terms = [Factor(s, rng.normal(size=[cards[a] for a in s])) for s in scopes]
        factors = Factors.of(cards, 1.5 if fold == "sum" else -1.5, terms, fold)
        everything = np.stack(np.unravel_index(np.arange(np.prod(cards)), cards), axis=1).astype(np.uint8)
        costs = factors(everything)
        values = [term.array[tuple(everything[:, list(term.axes)].T)] for term in terms]
        assert costs == pytest.approx(1.5 + sum(values) if fold == "sum" else np.maximum(-1.5, np.max(values, axis=0)))
        assert factors.bounds() == pytest.approx((costs.min(), costs.max()))
        assert factors(factors.cheapest()[None])[0] == pytest.approx(costs.min())


def test_bounds_of_a_space_hold_for_samples_and_are_attained(space: Space) -> None:
    factors = counts.params(space)
    least, largest = factors.bounds()
    costs = factors(space.sample(20_000, np.random.default_rng(4)))
    assert least <= costs.min() <= costs.max() <= largest
    assert factors(factors.cheapest()[None])[0] == least


@pytest.mark.parametrize("fold", ["sum", "max"])
def test_the_least_cost_within_a_bound_on_a_maximum(fold: Fold) -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        cards = tuple(int(n) for n in rng.integers(2, 5, size=5))
        scopes = [tuple(sorted(rng.choice(5, size=rng.integers(1, 4), replace=False).tolist())) for _ in range(10)]
        terms = [Factor(s, rng.normal(size=[cards[a] for a in s])) for s in scopes]
        cost, peak = Factors.of(cards, -9.0, terms[:5], fold), Factors.of(cards, -9.0, terms[5:], "max")
        everything = np.stack(np.unravel_index(np.arange(np.prod(cards)), cards), axis=1).astype(np.uint8)
        bound = float(np.quantile(peak(everything), 0.2))
        expected = np.where(peak(everything) <= bound, cost(everything), np.inf)
        within = cost.restricted([(peak, bound)])
        assert within(everything) == pytest.approx(expected)
        assert within.bounds()[0] == pytest.approx(expected.min())
        assert (peak.excess(bound)(everything) > 0).tolist() == (peak(everything) > bound).tolist()
        assert cost.restricted([(peak, peak.bounds()[0] - 1e-6)]).bounds()[0] == np.inf


def test_a_maximum_has_no_expectation_and_is_not_added() -> None:
    peak = Factors.of((2,), 0.0, [Factor((0,), np.array([1.0, 3.0]))], "max")
    with pytest.raises(NasError, match="The expectation of a maximum is not compiled"):
        peak.expected_cost([torch.tensor([0.5, 0.5])])
    with pytest.raises(NasError, match="maxima cannot"):
        peak + peak
    with pytest.raises(NasError, match="scaled by a positive number"):
        peak * -1.0
    assert (peak * 2.0).bounds() == (2.0, 6.0)


def test_bounds_refuse_what_elimination_cannot_do() -> None:
    cards = (50,) * 6
    pairs = [Factor((i, j), np.zeros((50, 50))) for i in range(6) for j in range(i + 1, 6)]
    with pytest.raises(NasError, match="entangle"):
        Factors.of(cards, 0.0, pairs).bounds()


def test_sum_and_multiple_of_factors(space: Space) -> None:
    macs, params = counts.macs(space), counts.params(space)
    population = space.sample(100, np.random.default_rng(5))
    assert (macs * 2.0 + params)(population) == pytest.approx(2 * macs(population) + params(population))


def test_empty_population(space: Space) -> None:
    assert counts.macs(space)(space.sample(0, np.random.default_rng(0))).shape == (0,)

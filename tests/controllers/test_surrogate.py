"""The surrogate: its Gaussian process against plain formulas, and what it finds with few evaluations."""

import numpy as np
import pytest
from scipy.stats import norm

import nas
from nas.accuracy.tabular import Tabular
from nas.controllers.gaussian_process import (
    CONSTANT,
    JITTER,
    Encoding,
    Kernel,
    Posterior,
    Process,
    default_kernel,
    fit_kernel,
)
from nas.controllers.surrogate import Surrogate, SurrogateConfig, censored, log_improvement, warped
from nas.controllers.unique import Unique
from nas.space.index import GenotypeIndex
from nas.space.space import Population
from nas.testing import line

CARDINALITIES = np.array([2, 3, 4])


def drawn(n: int, seed: int = 0) -> tuple[Population, np.ndarray]:
    rng = np.random.default_rng(seed)
    population = (rng.random((n, 3)) * CARDINALITIES).astype(np.uint8)
    return population, Encoding(CARDINALITIES)(population)


def kernel() -> Kernel:
    return Kernel(2.0, 0.1, np.array([0.3, 0.5, 0.7])[Encoding(CARDINALITIES).owners])


def test_the_kernel_decays_with_the_weighted_number_of_differences() -> None:
    features = Encoding(CARDINALITIES)(np.array([[0, 0, 0], [0, 2, 0], [1, 2, 3]], dtype=np.uint8))
    expected = CONSTANT + 2 * np.exp(-np.array([[0, 0.5, 1.5], [0.5, 0, 1.0], [1.5, 1.0, 0]]))
    np.testing.assert_allclose(kernel()(features, features), expected)


def test_posteriors_are_those_of_the_textbook_however_they_were_built() -> None:
    _, points = drawn(12)
    _, pool = drawn(7, seed=1)
    values = np.random.default_rng(2).normal(size=12)
    k = kernel()
    covariance = k(points, points) + (k.noise + JITTER) * np.eye(12)
    mean = k(pool, points) @ np.linalg.solve(covariance, values)  # GPML eq. 2.25 and 2.26
    variance = k.variance - (k(pool, points) * np.linalg.solve(covariance, k(points, pool)).T).sum(axis=1)
    at_once = Posterior.of(Process.prior(k).extended(points), pool)
    by_rows = Posterior.of(Process.prior(k).extended(points[:3]), pool).extended(points[3:4]).extended(points[4:])
    for posterior in (at_once, by_rows):
        np.testing.assert_allclose(posterior.mean(values), mean, atol=1e-9)
        np.testing.assert_allclose(posterior.variance, variance, atol=1e-9)
    smoothed = k(points, points) @ np.linalg.solve(covariance, values)
    np.testing.assert_allclose(at_once.process.smoothed(values), smoothed, atol=1e-6)
    others = np.arange(12) != 5
    left_out = k(points[5:6], points[others]) @ np.linalg.solve(covariance[np.ix_(others, others)], values[others])
    assert values[5] - at_once.process.residual[5] @ values == pytest.approx(left_out[0], abs=1e-7)
    np.testing.assert_allclose(at_once.among(np.array([4, 2])).mean(values), mean[[4, 2]], atol=1e-9)


def test_the_fit_finds_what_matters_and_how_noisy_it_is() -> None:
    population = (np.random.default_rng(0).random((200, 6)) * 3).astype(np.uint8)
    encoding = Encoding(np.full(6, 3))
    signal = population[:, 0] * 1.0 + population[:, 1] * (population[:, 2] == 1)  # decisions 3 to 5 do nothing
    signal = (signal - signal.mean()) / signal.std()
    noise = np.random.default_rng(1).normal(size=200)
    for deviation in (0.05, 0.5):
        found = fit_kernel(encoding(population), signal + deviation * noise, encoding.owners)
        assert found.rates[:9].min() > 2 * found.rates[9:].max()
        assert found.noise == pytest.approx(deviation**2, rel=0.5)


def test_log_improvement_is_the_logarithm_of_the_expected_improvement() -> None:
    ahead, deviation = np.array([3.0, 0.0, -0.9, -1.1, -5.0]), np.array([1.0, 2.0, 1.0, 1.0, 1.0])
    u = ahead / deviation
    expected = np.log(deviation * (norm.pdf(u) + u * norm.cdf(u)))
    np.testing.assert_allclose(log_improvement(ahead, deviation), expected, rtol=1e-7)
    far = log_improvement(-np.array([1e1, 1e2, 1e3, 1e4, 1e5]), np.ones(5))
    assert (np.diff(far) < 0).all()
    tens = np.arange(1, 6)
    np.testing.assert_allclose(far, -0.5 * 100.0**tens - 2 * np.log(10) * tens - 0.5 * np.log(2 * np.pi), rtol=1e-3)


def test_the_warp_keeps_the_order_and_is_finest_around_the_best_that_meets_the_bounds() -> None:
    values, violations = np.array([10.0, 60.0, 70.0, 71.0, 72.0, 80.0]), np.array([0, 0, 0, 0, 0, 0.1])
    scaled = warped(values, violations)
    assert (np.diff(scaled) > 0).all()
    assert scaled.mean() == pytest.approx(0)
    slopes = np.diff(scaled) / np.diff(values)
    assert slopes.argmax() == 3  # from 71 to 72, the best within the bounds
    assert np.isfinite(warped(np.full(4, 3.0), np.zeros(4))).all()


def test_violations_are_continued_below_zero() -> None:
    population = (np.random.default_rng(3).random((80, 8)) * 3).astype(np.uint8)
    encoding = Encoding(np.full(8, 3))
    excess = population.sum(axis=1) / 6 - 1
    process = Process.prior(default_kernel(encoding.owners)).extended(encoding(population))
    found = censored(process, np.maximum(excess, 0))
    met = excess <= 0
    assert (found[met] <= 0).all()
    assert (found[~met] > 0).all()
    assert np.corrcoef(found[met], excess[met])[0, 1] > 0.8  # though it was told 0 for all of them


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_few_evaluations_find_a_good_genotype_within_the_bound(noise: float) -> None:
    space, rng = line([3] * 30), np.random.default_rng(5)
    weights = rng.normal(size=(30, 3))
    cost = rng.random((30, 3))
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(Surrogate.sized(space, np.zeros((0, 30), np.uint8), 150), space, known)
    columns = np.arange(30)
    truth, feasible = [], []
    for batch in range(30):
        population = controller.ask(5, np.random.default_rng([6, batch]))
        known.add(population)
        value = weights[columns, population].sum(axis=1)
        violation = np.maximum(cost[columns, population].sum(axis=1) / 13 - 1, 0)
        controller.tell(population, (value + noise * rng.normal(size=5))[:, None], violation)
        truth += value.tolist()
        feasible += (violation == 0).tolist()
    sample = space.sample(20_000, rng)
    allowed = cost[columns, sample].sum(axis=1) <= 13
    best_drawn = weights[columns, sample].sum(axis=1)[allowed].max()
    assert np.array(truth)[feasible].max() > best_drawn
    assert np.mean(feasible[75:]) > 0.5


def test_a_batch_is_diverse() -> None:
    space = line([3] * 6)
    controller = Surrogate(space, np.zeros((0, 6), np.uint8))
    told = space.sample(60, np.random.default_rng(7))
    controller.tell(told, told.sum(axis=1, dtype=np.float64)[:, None], np.zeros(60))
    batch = controller.ask(30, np.random.default_rng(8))
    assert len(np.unique(batch, axis=0)) == 30
    assert len({row.tobytes() for row in batch} & {row.tobytes() for row in told}) == 0


def test_nothing_is_lost_when_all_values_are_equal_or_nothing_is_feasible() -> None:
    for violation in (0.0, 1.0):
        space = line([3] * 5)
        controller = Surrogate(space, np.zeros((0, 5), np.uint8))
        for batch in range(6):
            population = controller.ask(7, np.random.default_rng(batch))
            controller.tell(population, np.zeros((7, 1)), np.full(7, violation))
        assert controller.ask(3, np.random.default_rng(9)).shape == (3, 5)


def test_long_histories_are_thinned() -> None:
    config = SurrogateConfig(points=40, fitted=20, candidates=30)
    space = line([3] * 20)
    live, replayed = (Surrogate(space, np.zeros((1, 20), np.uint8), config) for _ in range(2))
    for batch in range(12):
        population = live.ask(25, np.random.default_rng(batch))
        values = population.sum(axis=1, dtype=np.float64)[:, None]
        live.tell(population, values, np.zeros(25))
        replayed.tell(population, values, np.zeros(25))
    assert (live.ask(5, np.random.default_rng(99)) == replayed.ask(5, np.random.default_rng(99))).all()
    assert live._model is not None
    assert len(live._model.rows) <= 40 + 20 + 25


def test_on_a_smooth_table_fifty_evaluations_suffice() -> None:
    space = nas.load_space("nas-bench-macro")
    networks = space.enumerate()
    rng = np.random.default_rng(0)
    effects, pairs = rng.normal(size=(8, 3)), rng.normal(size=(7, 3, 3)) / 3
    accuracy = sum(effects[d, networks[:, d]] for d in range(8))
    accuracy = accuracy + sum(pairs[d, networks[:, d], networks[:, d + 1]] for d in range(7))
    index = GenotypeIndex(space.cardinalities)
    index.add(networks)
    table = Tabular(space, "made up", "made up", index, 50 + accuracy, np.zeros(len(networks)))
    found = []
    for seed in range(3):
        controller, best = Surrogate.sized(space, networks[:0], 50), -np.inf
        for number in range(50):
            population = controller.ask(1, np.random.default_rng([seed, number]))
            value = table(population)
            controller.tell(population, value[:, None], np.zeros(1))
            best = max(best, float(value[0]))
        found.append(best)
    ranks = [(table.accuracy > best).sum() for best in found]
    assert np.median(ranks) <= 2  # of 3,969


@pytest.mark.parametrize("budget", [1, 4, 300])
def test_all_initial_genotypes_are_asked_for_first(budget: int) -> None:
    """The last of them is the cheapest, with a tight bound the only one that meets it."""
    space = nas.load_space("mobile")
    initial = space.canonical(space.sample(3, np.random.default_rng(0)))
    controller = Surrogate.sized(space, initial, budget)
    for n, genotype in enumerate(initial):
        asked = controller.ask(1, np.random.default_rng(n))
        assert (asked == genotype).all()
        controller.tell(asked, np.zeros((1, 1)), np.ones(1))

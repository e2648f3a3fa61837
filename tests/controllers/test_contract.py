"""What every controller promises, checked on spaces of 1 and of 1,000 decisions, in batches of 1 and of 1,000."""

import numpy as np
import pytest
from lines import line

from nas.controllers import CONTROLLERS
from nas.controllers.controller import Controller
from nas.controllers.unique import Unique
from nas.space.index import GenotypeIndex
from nas.space.space import Population, Space

NAMES = sorted(name for name in CONTROLLERS if not name.startswith("optuna:"))  # those: test_optuna.py


SPACES = [line([3] * 1), line([3] * 8), line([3] * 600)]


def worth(population: Population) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the options, under the bound that at most a third of the largest possible sum is reached."""
    total = population.sum(axis=1, dtype=np.float64)
    return total[:, None], np.maximum(total / (2 * population.shape[1] / 3) - 1, 0)


def make(name: str, space: Space, budget: int | None = 2_000) -> Controller:
    return CONTROLLERS[name](space, np.zeros((1, len(space.decisions)), np.uint8), budget)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("batch", [1, 1_000])
def test_asks_are_canonical_genotypes_and_depend_on_history_and_seed_alone(name: str, space: Space, batch: int) -> None:
    live, replayed = make(name, space), make(name, space)
    for number in range(4):
        population = live.ask(batch, np.random.default_rng([7, number]))
        assert population.shape == (batch, len(space.decisions))
        assert (space.check(population) == space.canonical(population)).all()
        again = live.ask(batch, np.random.default_rng([7, number]))
        assert (again == population).all()  # asking changes nothing
        live.tell(population, *worth(population))
        replayed.tell(population, *worth(population))
    rng = np.random.default_rng([7, 99])
    assert (live.ask(batch, rng) == replayed.ask(batch, np.random.default_rng([7, 99]))).all()


def test_what_was_told_is_left_alone(name: str) -> None:
    space = line([3] * 8)
    controller = make(name, space)
    for number in range(3):
        population = controller.ask(50, np.random.default_rng(number))
        values, violations = worth(population)
        before = population.copy(), values.copy(), violations.copy()
        controller.tell(population, values, violations)
        controller.ask(50, np.random.default_rng(number))
        for then, now in zip(before, (population, values, violations), strict=True):
            assert (then == now).all()


@pytest.mark.parametrize("batch", [1, 100])
def test_with_unique_nothing_is_asked_for_twice(name: str, batch: int) -> None:
    space = line([3] * 8)
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(make(name, space), space, known)
    asked = 0
    for number in range(4_000 // batch if batch > 1 else 300):
        population = controller.ask(batch, np.random.default_rng([1, number]))
        known.add(population)
        asked += batch
        controller.tell(population, *worth(population))
        assert len(known) == asked


def test_a_small_space_is_searched_to_its_end(name: str) -> None:
    space = line([3] * 4)
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(make(name, space), space, known)
    for number in range(10):
        population = controller.ask(10, np.random.default_rng([2, number]))
        known.add(population)
        controller.tell(population, *worth(population))
    assert len(known) == space.size == 81


def test_the_bound_is_respected_by_the_best_found(name: str) -> None:
    space = line([3] * 40)
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(make(name, space), space, known)
    best = -np.inf
    for number in range(100):
        population = controller.ask(100, np.random.default_rng([3, number]))
        known.add(population)
        values, violations = worth(population)
        controller.tell(population, values, violations)
        best = max(best, values[violations == 0].max(initial=-np.inf))
    reached = {"evolution": 26, "random": 20}  # 26 of at most 26 2/3; a random sum is 40 ± 5
    assert best >= reached.get(name, 24)


def test_evolution_prefers_less_violation_then_more_value() -> None:
    from nas.controllers.controller import ranking

    values = np.array([5.0, 9.0, 1.0, 3.0])
    violations = np.array([0.0, 0.2, 0.1, 0.0])
    assert ranking(values, violations).tolist() == [0, 3, 2, 1]

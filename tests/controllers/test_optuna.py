"""Optuna's samplers behind ask and tell keep the contract of controllers, on small spaces and in small batches."""

import numpy as np
import optuna
import pytest

from nas.controllers import CONTROLLERS
from nas.controllers.optuna import SAMPLERS, OptunaSampler
from nas.controllers.unique import Unique
from nas.errors import NasError
from nas.space.index import GenotypeIndex
from nas.space.space import Population
from nas.testing import line


def worth(population: Population, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the options, its negative and the first option, under a bound on the sum."""
    total = population.sum(axis=1, dtype=np.float64)
    values = np.stack([total, -total, population[:, 0].astype(np.float64)], axis=1)
    return values[:, :columns], np.maximum(total / (2 * population.shape[1] / 3) - 1, 0)


def test_every_sampler_is_a_controller_by_name() -> None:
    assert {f"optuna:{name}" for name in SAMPLERS} == {n for n in CONTROLLERS if ":" in n}
    with pytest.raises(NasError, match="No Optuna sampler named 'cmaes' works here; known: gp, nsga2"):
        OptunaSampler("cmaes", line([3] * 2), np.zeros((0, 2), np.uint8))


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_asks_depend_on_history_and_seed_alone(name: str, columns: int) -> None:
    space = line([3] * 5)
    batch, rounds = (2, 6) if name == "gp" else (10, 12)  # more than two generations of 50
    live, replayed = (OptunaSampler(name, space, np.zeros((1, 5), np.uint8)) for _ in range(2))
    for number in range(rounds):
        population = live.ask(batch, np.random.default_rng([7, number]))
        assert (space.check(population) == space.canonical(population)).all()
        assert population.shape == (batch, 5)
        again = live.ask(batch, np.random.default_rng([7, number]))
        assert (again == population).all()
        live.tell(population, *worth(population, columns))
        replayed.tell(population, *worth(population, columns))
    expected = live.ask(batch, np.random.default_rng(99))
    assert (replayed.ask(batch, np.random.default_rng(99)) == expected).all()


def test_verbosity_is_left_as_it_was() -> None:
    before = optuna.logging.get_verbosity()
    controller = OptunaSampler("tpe", line([3] * 3), np.zeros((0, 3), np.uint8))
    controller.ask(2, np.random.default_rng(0))
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3"])
def test_constraints_reach_the_sampler(name: str) -> None:
    space = line([3] * 12)
    controller = OptunaSampler(name, space, np.zeros((0, 12), np.uint8))
    shares = []
    for number in range(30):
        population = controller.ask(10, np.random.default_rng(number))
        values, violations = worth(population, 1)
        controller.tell(population, values, violations)
        shares.append((violations == 0).mean())
    assert np.mean(shares[-10:]) > 0.3  # of random ones a tenth meets the bound


def test_unique_wraps_it_to_the_end_of_a_small_space() -> None:
    space = line([3] * 3)
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(OptunaSampler("tpe", space, np.zeros((0, 3), np.uint8)), space, known)
    for number in range(9):
        population = controller.ask(3, np.random.default_rng(number))
        known.add(population)
        controller.tell(population, *worth(population, 1))
    assert len(known) == space.size == 27

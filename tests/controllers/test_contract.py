"""What every controller promises (`nas.testing`), and that the best found keeps the bound."""

import numpy as np
import pytest

from nas.controllers import CONTROLLERS
from nas.controllers.controller import Values, ranking
from nas.controllers.unique import Unique
from nas.space.index import GenotypeIndex
from nas.space.space import Population
from nas.testing import CONTROLLER_CHECKS, line, worth
from nas.testing.controllers import Make

NAMES = sorted(name for name in CONTROLLERS if not name.startswith("optuna:"))  # those: test_optuna.py


def made(name: str) -> Make:
    """The controller of a name, for the bound that `worth` has."""
    kind = CONTROLLERS[name]
    if not kind.towards:
        return kind
    return lambda space, initial, budget: kind(space, initial, budget, excess)


def excess(population: Population) -> Values:
    """Of the bound that `worth` has."""
    return population.sum(axis=1, dtype=np.float64) / (2 * population.shape[1] / 3) - 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", CONTROLLER_CHECKS, ids=lambda check: check.__name__)
def test_every_controller_keeps_its_promises(name: str, check: Make) -> None:
    check(made(name))


class Sloppy:
    """A controller that changes with every ask and writes into what it is told."""

    def __init__(self, space, initial, budget) -> None:
        self.space, self.asked = space, 0

    def ask(self, n, rng):
        self.asked += 1
        return self.space.sample(n, np.random.default_rng(self.asked))

    def tell(self, population, values, violations) -> None:
        values += 1


@pytest.mark.parametrize("check", CONTROLLER_CHECKS[:2], ids=lambda check: check.__name__)
def test_a_broken_promise_is_told(check: Make) -> None:
    with pytest.raises(AssertionError, match=r"asking changes nothing|left as it was"):
        check(Sloppy)


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_is_respected_by_the_best_found(name: str) -> None:
    space = line([3] * 40)
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(made(name)(space, np.zeros((1, 40), np.uint8), 2_000), space, known)
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
    values = np.array([5.0, 9.0, 1.0, 3.0])
    violations = np.array([0.0, 0.2, 0.1, 0.0])
    assert ranking(values, violations).tolist() == [0, 3, 2, 1]

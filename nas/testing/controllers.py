"""What every controller promises, checked on spaces of 1 to 600 decisions, in batches of 1 to 1,000.

A check is a function of what makes the controller: of a space, genotypes worth asking for first (`uint8[M, D]`), and
the budget, as `nas search --controller module:Class` calls it. It raises `AssertionError` where a promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.layer import Layer
from nas.controllers.controller import Controller, Values
from nas.controllers.unique import Unique
from nas.space.index import GenotypeIndex
from nas.space.space import Decision, Population, Slot, Space

Make = Callable[[Space, Population, int | None], Controller]

BUDGET = 2_000


def line(cardinalities: Sequence[int]) -> Space:
    """A space of independent decisions of so many options each. Every genotype is a network of its own, though none
    that could be decoded: it does not matter what they are."""

    def wide(option: int) -> tuple[Layer]:
        return (Layer(kind="conv", in_channels=1, out_channels=1 + option, height=1, width=1),)

    decisions = tuple(Decision(f"d{i}", tuple(range(options))) for i, options in enumerate(cardinalities))
    slots = tuple(Slot(f"s{i}", (i,), wide) for i in range(len(cardinalities)))
    return Space(f"line-{len(cardinalities)}", decisions, slots)


def worth(population: Population) -> tuple[Values, Values]:
    """Sum of the options, `float64[n, 1]`, under the bound that at most a third of the largest possible sum is reached;
    and by how much it is broken, `float64[n]`."""
    total = population.sum(axis=1, dtype=np.float64)
    return total[:, None], np.maximum(total / (2 * population.shape[1] / 3) - 1, 0)


def asks_are_canonical_and_depend_on_history_and_seed_alone(make: Make) -> None:
    """Asking changes nothing, and the same history told again leads to the same proposals: so runs are resumed."""
    for decisions in (1, 8, 600):
        for batch in (1, 1_000):
            space = line([3] * decisions)
            live, replayed = _made(make, space), _made(make, space)
            for number in range(4):
                population = live.ask(batch, np.random.default_rng([7, number]))
                assert population.shape == (batch, decisions), "ask(n, rng) returns n genotypes, uint8[n, D]"
                assert np.array_equal(space.check(population), space.canonical(population)), "genotypes are canonical"
                again = live.ask(batch, np.random.default_rng([7, number]))
                assert np.array_equal(again, population), "asking changes nothing"
                live.tell(population, *worth(population))
                replayed.tell(population, *worth(population))
            asked, again = (each.ask(batch, np.random.default_rng([7, 99])) for each in (live, replayed))
            assert np.array_equal(asked, again), "what is asked for follows from what was told and from rng alone"


def what_was_told_is_left_alone(make: Make) -> None:
    """The arrays belong to who tells."""
    controller = _made(make, line([3] * 8))
    for number in range(3):
        population = controller.ask(50, np.random.default_rng(number))
        values, violations = worth(population)
        told: list[NDArray[Any]] = [population, values, violations]
        before = [array.copy() for array in told]
        controller.tell(population, values, violations)
        controller.ask(50, np.random.default_rng(number))
        for then, now in zip(before, told, strict=True):
            assert np.array_equal(then, now), "what was told is left as it was"


def with_unique_nothing_is_asked_for_twice(make: Make) -> None:
    """Wrapped as in a search, one at a time and many."""
    for batch, rounds in ((1, 300), (100, 40)):
        known = GenotypeIndex(line([3] * 8).cardinalities)
        controller = Unique(_made(make, line([3] * 8)), line([3] * 8), known)
        for number in range(rounds):
            _round(controller, known, batch, [1, number])
            assert len(known) == batch * (number + 1), "every proposal is new"


def a_small_space_is_searched_to_its_end(make: Make) -> None:
    """Whatever a controller prefers, all of 81 networks are asked for in 100 evaluations."""
    space = line([3] * 4)
    known = GenotypeIndex(space.cardinalities)
    controller = Unique(_made(make, space), space, known)
    for number in range(10):
        _round(controller, known, 10, [2, number])
    assert len(known) == space.size == 81, "a small space is searched to its end"


CONTROLLER_CHECKS: tuple[Callable[[Make], None], ...] = (
    asks_are_canonical_and_depend_on_history_and_seed_alone,
    what_was_told_is_left_alone,
    with_unique_nothing_is_asked_for_twice,
    a_small_space_is_searched_to_its_end,
)
"""All of them; they take seconds."""


def _made(make: Make, space: Space) -> Controller:
    return make(space, np.zeros((1, len(space.decisions)), np.uint8), BUDGET)


def _round(controller: Controller, known: GenotypeIndex, batch: int, seed: list[int]) -> None:
    population = controller.ask(batch, np.random.default_rng(seed))
    known.add(population)
    controller.tell(population, *worth(population))

"""Canonical forms are derived from the layers of slots: the same as those that files of version 0.1 declared."""

from __future__ import annotations

from hashlib import sha256
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.blocks.layer import Layer
from nas.errors import SpaceError
from nas.space.load import load_space
from nas.space.space import Decision, Population, Slot, Space

ROOT = Path(__file__).resolve().parents[2]
DECLARED = {
    "fbnet": "2a4d8f465a96b968",
    "mnasnet": "fddf615ca9aa79e2",
    "mobile": "25ac4c5eedbb74d0",
    "nas-bench-macro": "c2a53a396a5dd309",
    "single-path": "9aceee76a3903eb8",
    "docs/examples/small.yaml": "820c45ebd702e266",
    "tests/fixtures/0.1/tiny.yaml": "1cf139bba6c401f1",
}
"""Of 20,000 canonical genotypes, as version 0.1 had them: SHA-256, from its start."""


def layer(width: int) -> Layer:
    return Layer(kind="conv", in_channels=1, out_channels=width, height=1, width=1)


def networks(space: Space, population: Population) -> list[tuple[Layer, ...]]:
    """Layers of every genotype, also of those whose layers do not fit each other."""
    return [
        tuple(
            layer
            for slot in space.slots
            for layer in slot.layers(*(space.decisions[axis].options[row[axis]] for axis in slot.decisions))
        )
        for row in population
    ]


def everything(space: Space) -> Population:
    return np.array(list(product(*map(range, space.cardinalities))), dtype=np.uint8)


@pytest.mark.parametrize("name", DECLARED)
def test_forms_are_those_of_version_0_1(name: str) -> None:
    space = load_space(ROOT / name if "/" in name else name)
    canonical = space.canonical(space.sample(20_000, np.random.default_rng(7)))
    assert sha256(canonical.tobytes()).hexdigest().startswith(DECLARED[name])


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Decisions and slots whose layers are any function of them, of few values, so that many options have no effect."""
    cards = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    slots = []
    for index in range(draw(st.integers(1, 4))):
        axes = draw(st.lists(st.integers(0, len(cards) - 1), max_size=3, unique=True))
        shape = [cards[axis] for axis in axes]
        size = int(np.prod(shape))
        code = np.array(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))).reshape(shape)
        slots.append(
            Slot(
                f"s{index}",
                tuple(axes),
                lambda *options, code=code: (layer(int(code[options])),) if code[options] else (),
            )
        )
    return Space("any", tuple(Decision(f"d{i}", tuple(range(n))) for i, n in enumerate(cards)), tuple(slots))


@settings(max_examples=150, deadline=None)
@given(space=spaces())
def test_it_means_the_same_and_stays_for_any_layers(space: Space) -> None:
    population = everything(space)
    canonical = space.canonical(population)
    assert networks(space, canonical) == networks(space, population)
    assert (space.canonical(canonical) == canonical).all()
    assert (np.concatenate([space.canonical(row[None]) for row in population]) == canonical).all()


@settings(max_examples=150, deadline=None)
@given(space=spaces())
def test_what_is_canonical_has_the_first_of_equal_options(space: Space) -> None:
    for genotype in space.canonical(everything(space)):
        for decision in np.flatnonzero(genotype):
            others = np.repeat(genotype[None], 1 + genotype[decision], axis=0)
            others[:, decision] = np.arange(len(others))
            *earlier, own = [[slot.layers(*row[list(slot.decisions)]) for slot in space.slots] for row in others]
            assert own not in earlier


def test_options_that_come_to_the_same_in_some_places_are_one() -> None:
    """As two expansions that are rounded to one width: of the three options the last two, where `a` is 0."""
    body = Slot("body", (0, 1), lambda a, b: (layer(1 + (3 + b if a else min(b, 1))),))
    space = Space("rounded", (Decision("a", (0, 1)), Decision("b", (0, 1, 2))), (body,))
    assert space.canonical(everything(space)).tolist() == [[0, 0], [0, 1], [0, 1], [1, 0], [1, 1], [1, 2]]


def test_two_decisions_without_effect_one_by_one_are_not_both_changed() -> None:
    """At (1, 1) either could be anything, but (0, 0) is another network."""
    body = Slot("body", (0, 1), lambda a, b: (layer(1 if a == b == 0 else 2),))
    space = Space("or", (Decision("a", (0, 1)), Decision("b", (0, 1))), (body,))
    assert space.canonical(everything(space)).tolist() == [[0, 0], [0, 1], [1, 0], [0, 1]]


def test_what_a_later_decision_leaves_without_effect_is_found() -> None:
    """At (1, 1) `a` matters, until `b`, which does not, is 0."""
    body = Slot("body", (0, 1), lambda a, b: (layer(1 if a < b else 2),))
    space = Space("less", (Decision("a", (0, 1)), Decision("b", (0, 1))), (body,))
    assert space.canonical(everything(space)).tolist() == [[0, 0], [0, 1], [0, 0], [0, 0]]


def skips(*shapes: int, shared: bool = False) -> Space:
    """A slot for each number: a layer of that width or twice of it, or none."""
    decisions = tuple(Decision(f"d{i}", (0, 1, 2)) for i in range(len(shapes)))
    slots = tuple(
        Slot(f"s{i}", (i,), lambda option, width=width: (layer(option * width),) if option else ())
        for i, width in enumerate(shapes)
    )
    other = (Slot("other", (0,), lambda option: (layer(9 + option),)),) if shared else ()
    return Space("skips", decisions, (*slots, *other))


def test_skips_of_equal_slots_move_to_the_end_also_in_a_space_in_code() -> None:
    space = skips(3, 3, 3)
    canonical = space.canonical(everything(space))
    assert canonical[np.ravel_multi_index((0, 2, 1), (3, 3, 3))].tolist() == [2, 1, 0]
    assert len(np.unique(canonical, axis=0)) == len(set(networks(space, canonical))) == 1 + 2 + 4 + 8


def test_skips_of_slots_that_differ_stay() -> None:
    for space in (skips(3, 5), skips(3, 3, shared=True)):  # in the second, d0 is of another slot, too
        population = everything(space)
        assert (space.canonical(population) == population).all()


def test_runs_of_equal_slots_are_each_their_own() -> None:
    space = skips(3, 3, 5, 5)
    row = np.array([[0, 1, 0, 2]], dtype=np.uint8)
    assert space.canonical(row).tolist() == [[1, 0, 2, 0]]


def test_the_own_decisions_of_a_slot_move_together() -> None:
    """With a width that both slots share."""
    decisions = tuple(Decision(name, (0, 1)) for name in ("width", "on1", "double1", "on2", "double2"))

    def chain(width: int, on: int, double: int) -> tuple[Layer, ...]:
        return (layer((1 + width) * (3 + double)),) if on else ()

    space = Space("pairs", decisions, (Slot("s1", (0, 1, 2), chain), Slot("s2", (0, 3, 4), chain)))
    row = np.array([[1, 0, 1, 1, 1], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]], dtype=np.uint8)
    assert space.canonical(row).tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_groups_of_what_becomes_a_sepconv_have_no_effect(tmp_path: Path) -> None:
    """An mbconv of expansion 1 is a sepconv, which has no groups: version 0.1 told these apart."""
    path = tmp_path / "groups.yaml"
    path.write_text(
        "format: nas-space/1\nname: groups\nsource: test\ninput: {resolution: 16}\nnum_classes: 10\nactivation: relu\n"
        "stages:\n  - {name: body, block: mbconv, width: 8, expansion: {choice: [1, 2]}, groups: {choice: [1, 3]}}\n"
        "head: {width: 16}\n"
    )
    assert load_space(path).enumerate().tolist() == [[0, 0], [1, 0], [1, 1]]


def test_a_slot_names_a_decision_once() -> None:
    with pytest.raises(SpaceError, match="`s` names a decision once"):
        Space("twice", (Decision("d", (0, 1)),), (Slot("s", (0, 0), lambda a, b: (layer(1 + a),)),))


def test_the_largest_slot_takes_seconds() -> None:
    """1,000,000 combinations; 1.5 s here, most of it in making their layers."""
    made = [layer(1 + width) for width in range(10)]
    decisions = tuple(Decision(f"d{i}", tuple(range(10))) for i in range(6))
    slot = Slot("s", tuple(range(6)), lambda a, b, c, d, e, f: (made[f if a == b == 0 else e],))
    space = Space("large", decisions, (slot,))
    start = perf_counter()
    population = space.sample(1_000, np.random.default_rng(0))
    canonical = space.canonical(population)
    assert perf_counter() - start < 15
    assert (canonical[:, 2:4] == 0).all()
    assert (canonical[:, 4:] > 0).sum(axis=1).max() == 1

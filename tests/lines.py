"""A space of independent decisions, for tests to which it does not matter what its networks are."""

from __future__ import annotations

from collections.abc import Sequence

from nas.blocks.layer import Layer
from nas.space.space import Decision, Slot, Space


def wide(option: int) -> tuple[Layer]:
    return (Layer(kind="conv", in_channels=1, out_channels=1 + option, height=1, width=1),)


def line(cards: Sequence[int]) -> Space:
    """A decision of so many options each; a network for every genotype, though none that could be decoded."""
    decisions = tuple(Decision(f"d{i}", tuple(range(options))) for i, options in enumerate(cards))
    return Space(f"line-{len(cards)}", decisions, tuple(Slot(f"s{i}", (i,), wide) for i in range(len(cards))))

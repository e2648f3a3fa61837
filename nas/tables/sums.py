"""Rows that were found from whole networks of one space: what means something is a whole network's sum.

    latency = constant + Σ row(layer) + Σ joint(layer, next layer)

Every network of the space has, for example, one first block in each stage, so that a millisecond more in all of those
and one less in the constant changes no sum: rows by themselves are not known. Hence only networks of the space, and of
spaces within it, are answered for. A joint is what a layer takes more or less because of the one in front of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from math import prod

import numpy as np

from nas.blocks.layer import Layer
from nas.cost.factors import Factor, Factors
from nas.space.candidates import Candidates
from nas.space.load import load_space
from nas.space.space import MAX_COMBINATIONS, Space
from nas.system.places import space_names
from nas.tables.header import SumsHeader


@dataclass(frozen=True, eq=False)
class Sums:
    """What is added to the rows of a network, and which networks have a sum."""

    header: SumsHeader

    def added(self, layers: Sequence[Layer]) -> float:
        """ms beside the rows of a whole network."""
        return self.header.constant_ms + self._joints(layers)

    def add(self, space: Space, rows: Factors) -> Factors:
        """The latency of a space that `covers` is true of, from the sum of its rows."""
        cards, parts = rows.cardinalities, stages(space)
        terms = list(rows.terms)
        for part in parts:
            terms.append(Factor(part.decisions, np.array([self._joints(chain) for chain in part.chains])[part.code]))
        for before, after in pairwise(parts):
            between = np.array([[self._joints((a[-1], b[0])) for b in after.chains] for a in before.chains])
            if between.any():
                axes = (*before.decisions, *after.decisions)
                ends = before.code.reshape(*before.code.shape, *[1] * after.code.ndim)
                terms.append(Factor(axes, between[ends, after.code]))
        return Factors.of(cards, rows.constant + self.header.constant_ms, terms)

    def covers(self, space: Space) -> bool:
        """Whether every network of a space has a sum: it is the space of the rows, or each of its stages offers nothing
        that the same stage there does not."""
        theirs, (_, ours) = stages(space), self._shipped
        if not theirs or not all(chain for stage in theirs for chain in stage.chains):
            return False  # of what may be left out nothing is known
        if space.fingerprint == self.header.space_sha256:
            return True
        return len(theirs) == len(ours) and all(
            set(some.chains) <= set(those.chains) for some, those in zip(theirs, ours, strict=True)
        )

    def has(self, layers: Sequence[Layer]) -> bool:
        """Whether these are a network of the space, which has to be one that ships."""
        space, parts = self._shipped
        ends = {0}
        for stage in parts:
            ends = {
                end + len(chain) for end in ends for chain in stage.chains if layers[end : end + len(chain)] == chain
            }
        return space is not None and len(layers) in ends

    def refusal(self, name: str, what: str) -> str:
        """Why a table of this name does not answer for something else, and what it answers for."""
        limits, (space, _) = "", self._shipped
        if space is not None:
            limits = f", {space.resolution} px and {space.candidates[-1].chains[0][-1].out_channels} classes"
        return (
            f"{name} answers for networks of {self.header.space}{limits}, as a whole: its rows mean something only in "
            f"such sums. {what} `nas spaces list` says which targets answer a whole space."
        )

    @property
    def _shipped(self) -> tuple[Space | None, list[Candidates]]:
        return _shipped(self.header.space, self.header.space_sha256)

    @cached_property
    def _by_layers(self) -> dict[tuple[object, ...], float]:
        return {
            (j.after, j.residual, j.before, j.in_channels, j.out_channels, j.height): j.ms for j in self.header.joints
        }

    def _joints(self, layers: Sequence[Layer]) -> float:
        return sum(
            self._by_layers.get((a.kind, a.residual, b.kind, b.in_channels, b.out_channels, b.height), 0.0)
            for a, b in pairwise(layers)
        )


def stages(space: Space) -> list[Candidates]:
    """Slots in a row that share decisions, taken together: what a network has there is one chain of layers, and its
    stages choose independently. Empty where the options of one are too many to be listed."""
    last = {axis: place for place, slot in enumerate(space.candidates) for axis in slot.decisions}
    found: list[Candidates] = []
    run: list[Candidates] = []
    end = 0
    for place, slot in enumerate(space.candidates):
        run.append(slot)
        end = max(end, place, *(last[axis] for axis in slot.decisions))
        if place == end:
            axes = tuple(sorted({axis for slot in run for axis in slot.decisions}))
            if prod(len(space.decisions[axis].options) for axis in axes) > MAX_COMBINATIONS:
                return []
            found.append(_together(run, axes, space))
            run = []
    return found


@lru_cache(maxsize=4)  # tables of one space are often asked together
def _shipped(name: str, fingerprint: str) -> tuple[Space | None, list[Candidates]]:
    """The space that rows are of, where it is one that ships, and its stages."""
    space = load_space(name) if name in space_names() else None
    if space is None or space.fingerprint != fingerprint:
        return None, []
    return space, stages(space)


def _together(run: Sequence[Candidates], axes: tuple[int, ...], space: Space) -> Candidates:
    shape = tuple(len(space.decisions[axis].options) for axis in axes)
    options = dict(zip(axes, np.indices(shape), strict=True))
    codes = [slot.code[tuple(options[axis] for axis in slot.decisions)].ravel() for slot in run]
    chains = (
        tuple(layer for slot, code in zip(run, each, strict=True) for layer in slot.chains[code])
        for each in np.stack(np.broadcast_arrays(*codes), axis=1).tolist()
    )
    return Candidates.of(run[0].name, axes, chains, shape)

"""Which layers of a space with thousands are measured alone: a part that fills the space of what a layer can be.

First the layers of the space's references and the smallest and the largest of each slot; then slot by slot, so that
each part of a network gets as many, the layer that is farthest from all that are chosen (farthest-point design:
Gonzalez, Theoretical Computer Science 38, 1985), by `described`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from nas.blocks.layer import Layer
from nas.space.space import Space

MOST = 300
"""Distinct layers that are all measured; of a space with more it is `ALONE`."""
ALONE = 200
"""More of them made no difference to whole networks: see docs/decisions.md."""
VECTOR = 16
"""Channels that a runtime computes side by side: widths that are no multiple of it waste a part."""
_WIDTHS = ("in_channels", "out_channels", "mid_channels")


def described(layers: Sequence[Layer]) -> NDArray[np.float64]:
    """float64[L, F]: binary logarithms of what is a number, ones of what is a word or a flag, and a one for each width
    that is no multiple of `VECTOR`; likewise of the numbers that a block is `described` by. What is the same for all
    layers is left out."""
    rows = [{name: _number(value) for name, value in (layer.row | _further(layer)).items()} for layer in layers]
    columns: list[NDArray[np.float64]] = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name, 0) for row in rows]
        words = sorted({value for value in values if isinstance(value, str)})
        columns += [np.array([float(value == word) for value in values]) for word in words]
        numbers = np.array([0 if isinstance(value, str) else value for value in values], np.float64)
        columns.append(np.log2(1 + numbers))
        if name in _WIDTHS:
            columns.append((numbers % VECTOR > 0).astype(np.float64))
    kept = np.unique(np.column_stack(columns), axis=1)
    return kept[:, np.ptp(kept, axis=0) > 0]


def designed(space: Space, layers: Sequence[Layer]) -> list[Layer]:
    """`ALONE` of a space's layers, in their order."""
    index = {layer: number for number, layer in enumerate(layers)}
    places, macs = described(layers), np.array([layer.macs for layer in layers])
    slots = [
        np.array(sorted({index[layer] for chain in candidates.chains for layer in chain if layer in index}), np.int64)
        for candidates in space.candidates
    ]
    slots = [slot for slot in slots if len(slot)]
    ends = [int(slot[place]) for slot in slots for place in (macs[slot].argmin(), macs[slot].argmax())]
    networks = [space.decode(genotype) for genotype in space.encode(list(space.references.values()))]
    known = [index[layer] for network in networks for layer in network.layers if layer in index]
    chosen = list(dict.fromkeys([*known, *ends]))[:ALONE]
    apart = np.full(len(layers), np.inf)
    for number in chosen:
        apart = np.minimum(apart, ((places - places[number]) ** 2).sum(axis=1))
    for slot in cycle(slots):
        if len(chosen) >= ALONE or not apart.any():
            break
        number = int(slot[apart[slot].argmax()])
        if apart[number] > 0:
            chosen.append(number)
            apart = np.minimum(apart, ((places - places[number]) ** 2).sum(axis=1))
    return [layers[number] for number in sorted(chosen)]


def _further(layer: Layer) -> dict[str, int]:
    return dict(getattr(layer.block, "described", {}))


def _number(value: object) -> float | str:
    """A setting as a number; of several inputs their sum."""
    if isinstance(value, tuple):
        return float(sum(value))
    return value if isinstance(value, str) else float(value)  # type: ignore[arg-type]

"""Placed layers: each layer of the winner with its place in the space, for what is drawn layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from nas.blocks.layer import Layer
from nas.report.material import Material

MOST_LAYERS = 120
"""Layers that are drawn; a network may have a thousand."""


@dataclass(frozen=True)
class Placed:
    """A layer, the stage that it belongs to and its number there, from 1."""

    layer: Layer
    stage: str
    number: int

    @property
    def name(self) -> str:
        """`stage6.2`, or the stage alone where it is its only layer by nature: `head`."""
        return f"{self.stage}.{self.number}" if self.number else self.stage


def placed_layers(material: Material) -> list[Placed]:
    """All layers of the winner, first to last."""
    if material.published is not None:
        name = material.result.winner.name or ""
        return [Placed(layer, name, number) for number, layer in enumerate(material.published.layers, 1)]
    space, genotype = material.space, material.genotype
    found = []
    for slot in space.slots:
        options = (space.decisions[axis].options[genotype[axis]] for axis in slot.decisions)
        stage, layered, number = slot.name.rpartition(".layer")
        place = (stage, int(number)) if layered and number.isdigit() else (slot.name, 0)
        found += [Placed(layer, *place) for layer in slot.layers(*options)]
    return found

"""Channels of a network that can only be put in another order together, and putting the important ones first.

Where a smaller network keeps the first channels of a larger one, as in a superkernel, their order decides which ones it
keeps. Reordering changes nothing of what the whole network computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.graph import Node
from nas.errors import SpaceError
from nas.formats.weights_file import Array

State = Mapping[str, Array]
"""Weights under the names of `nas.blocks.build.build(architecture).state_dict()`."""


@dataclass(eq=False)
class Group:
    """Channels that several tensors have in common: those of a stage, or those inside a block."""

    channels: int
    fixed: bool = False
    """Whether their order stays: of pictures, of classes, and of convolutions in groups."""
    given: list[tuple[str, int]] = field(default_factory=list)
    """Tensors, with their axis, that have them as what is given."""
    taken: list[tuple[str, int]] = field(default_factory=list)
    """Likewise, as what is taken."""

    def join(self, other: Group) -> None:
        """Take over the other's tensors."""
        self.fixed |= other.fixed
        self.given += other.given
        self.taken += other.taken


def groups(network: Architecture) -> list[Group]:
    """All groups of a chain of layers, the picture's first. Raises `SpaceError` where the network is no chain."""
    if network.wires is not None:
        raise SpaceError("Channels are put in order in a chain of layers; this network has other wires.")
    found = [Group(network.channels, fixed=True)]
    current = found[0]
    for index, layer in enumerate(network.layers):
        values = {-1: current}
        for place, node in enumerate(layer.graph.nodes):
            values[place] = _given(f"{index}.{place}.", node, [values[source] for source in node.takes], found)
            for old, group in values.items():  # groups that an addition has joined are one
                values[old] = group if group in found else values[place]
        current = values[len(layer.graph.nodes) - 1]
    current.fixed = True
    return found


def _given(prefix: str, node: Node, taken: list[Group], found: list[Group]) -> Group:
    """The group of what a node gives; new ones are added to those that are found, joined ones leave them."""
    op, first = node.op, taken[0]
    if not op.weights():
        for other in taken[1:]:
            if other is not first:
                first.join(other)
                found.remove(other)
        first.fixed |= op.placed or node.shape[0] != first.channels
        return first
    first.fixed |= op.placed
    own = first if op.keeps or op.placed else Group(node.shape[0])
    if own is not first:
        found.append(own)
    for name, weight in op.weights().items():
        for axis, (letter, size) in enumerate(zip(weight.axes, weight.shape, strict=True)):
            if letter == "o":
                own.given.append((prefix + name, axis))
            elif letter == "i":
                first.taken.append((prefix + name, axis))
            elif letter == "." and size > 1:
                own.fixed = first.fixed = True
    return own


def by_norm(group: Group, state: State) -> NDArray[np.float64]:
    """float64[C]: of each channel the product of its normalisation's scales (absolute, summed over those that give it)
    and the norm of the weights that take it; the smaller matter least (arXiv:1708.06519, arXiv:1608.08710)."""
    scales = sum(np.abs(state[name].astype(np.float64)) for name, _ in group.given if name.endswith("norm.weight"))
    squares = np.zeros(group.channels)
    for name, axis in group.taken:
        squares += np.square(np.moveaxis(state[name].astype(np.float64), axis, 0).reshape(group.channels, -1)).sum(1)
    return np.asarray(scales * np.sqrt(squares))


def by_taylor(group: Group, gradients: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """float64[C]: how much the loss is expected to change without a channel, to first order: the mean over batches of
    |scale · its gradient + shift · its gradient| (arXiv:1906.10771, equation 8, on gates behind the normalisation).

    `gradients` has that mean for each normalisation, under the name of its scale.
    """
    return np.asarray(sum(gradients[name] for name, _ in group.given if name.endswith("norm.weight")))


def ordered(state: State, orders: Iterator[tuple[Group, NDArray[np.intp]]]) -> dict[str, Array]:
    """The state with the channels of each group in this order: what was at `order[k]` comes to `k`."""
    changed = dict(state)
    for group, order in orders:
        for name, axis in {*group.given, *group.taken}:
            changed[name] = np.ascontiguousarray(np.take(changed[name], order, axis))
    return changed


def important_first(
    network: Architecture, state: State, gradients: Mapping[str, NDArray[np.float64]] | None = None
) -> dict[str, Array]:
    """The same network with the most important channels of each group first: by Taylor's measure where there are
    `gradients`, else by norm. It computes what it did, up to rounding. float32 tensors in, float32 tensors out."""

    def orders() -> Iterator[tuple[Group, NDArray[np.intp]]]:
        for group in groups(network):
            normalised = any(name.endswith("norm.weight") for name, _ in group.given)
            if group.fixed or not normalised:
                continue
            worth = by_norm(group, state) if gradients is None else by_taylor(group, gradients)
            yield group, np.argsort(-worth, kind="stable")

    return ordered(state, orders())

"""Forms: the candidates of a slot that are slices of one largest layer, and the masks that tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from nas.blocks.graph import Node
from nas.blocks.layer import Layer
from nas.blocks.op import Op
from nas.supernet.banks import place_of


@dataclass(frozen=True, eq=False)
class Masks:
    """What the members of a form use of one op of its largest: indicators as products with `hot`."""

    levels: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """For each letter in which members differ, float[members, levels]: whether a member has a level, and int[places]:
    the level of each place along that axis; of `k`, of each place of the kernel, int[K, K] or int[K]."""
    has: torch.Tensor | None
    """float[members]: whether a member has the op at all; None where all have."""

    def mask(self, letter: str, hot: torch.Tensor) -> torch.Tensor | None:
        """Of the places along an axis, float[places], of a kernel float[K, K] or float[K]; None where all members have
        all."""
        if letter not in self.levels:
            return None
        members, levels = self.levels[letter]
        return (hot @ members.to(hot))[levels.to(hot.device)]

    def masked(self, op: Op, weights: Mapping[str, torch.Tensor], hot: torch.Tensor) -> dict[str, torch.Tensor]:
        """The op's weights with zeros where the members that `hot` selects have none."""
        masks = {letter: self.mask(letter, hot) for letter in self.levels}
        found = dict(weights)
        for name, letter, axes in masked_axes(op):
            mask = masks.get(letter)
            if mask is not None:
                found[name] = found[name] * _along(mask, letter, axes)
        return found

    def share(self, hot: torch.Tensor) -> torch.Tensor | None:
        """Of the members that have the op; a scalar."""
        return None if self.has is None else hot @ self.has.to(hot)


@cache
def masked_axes(op: Op) -> tuple[tuple[str, str, str], ...]:
    """Of an op's weights those in which zeros stand for a smaller op: name, letter, and all letters of its axes."""
    return tuple(
        (name, letter, weight.axes)
        for name, weight in op.weights().items()
        for letter in weight.masked
        if weight.trained
    )


def _along(mask: torch.Tensor, letter: str, axes: str) -> torch.Tensor:
    if letter == "k":
        return mask
    return mask.reshape([len(mask) if axis == letter else 1 for axis in axes])


@dataclass(frozen=True, eq=False)
class Form:
    """Candidates of a slot that are slices of one largest layer: a chain of ops, but for the input that it may add."""

    members: list[int]
    in_channels: int
    """Of that layer."""
    chain: list[tuple[str, Op]]
    """The ops of that layer with their banks; empty for a candidate that is run by itself."""
    masks: list[Masks]


def forms_of(slot: int, candidates: tuple[tuple[Layer, ...], ...]) -> list[Form]:
    """The forms of a slot's candidates, those without a layer left out."""
    found: list[tuple[list[int], list[Node]]] = []
    for index, candidate in enumerate(candidates):
        chain = _chain(candidate)
        for members, largest in found if chain else []:
            if not largest:  # no chain: it is run by itself
                continue
            merged = _merged(candidates[members[0]][0], largest, candidate[0], chain)
            if merged is not None:
                members.append(index)
                largest[:] = merged
                break
        else:
            if candidate:
                found.append(([index], chain))
    return [_form(slot, members, largest, candidates) for members, largest in found]


def _chain(candidate: tuple[Layer, ...]) -> list[Node]:
    """The ops of a candidate of one layer, without the input's addition; none where they are no chain."""
    if len(candidate) != 1:
        return []
    graph = candidate[0].graph
    nodes = graph.nodes[:-1] if graph.residual else graph.nodes
    chained = all(node.takes == (place - 1,) for place, node in enumerate(nodes))
    return nodes[:] if chained and len(nodes) + graph.residual == len(graph.nodes) else []


def _merged(one: Layer, largest: Sequence[Node], other: Layer, chain: Sequence[Node]) -> list[Node] | None:
    """The chain that both are slices of; None where there is none. An op that keeps shapes, whatever the widths, may be
    in one alone."""
    if (one.kind, one.height, one.width) != (other.kind, other.height, other.width):
        return None
    mine, theirs = {node.name: node for node in largest}, {node.name: node for node in chain}
    longer, shorter = (largest, chain) if len(largest) >= len(chain) else (chain, largest)
    if [node.name for node in longer if node.name in mine and node.name in theirs] != [node.name for node in shorter]:
        return None
    merged = []
    for node in longer:
        if node.name not in mine or node.name not in theirs:
            if not node.op.keeps or node.shapes != (node.shape,):
                return None
            merged.append(node)
            continue
        op = mine[node.name].op.larger(theirs[node.name].op)
        if op is None:
            return None
        merged.append(Node(node.name, op, node.takes, node.shapes, node.shape))
    return merged


def _form(slot: int, members: list[int], largest: list[Node], candidates: tuple[tuple[Layer, ...], ...]) -> Form:
    layers = [candidates[index][0] for index in members]
    widest = max(layer.graph.inputs[0].channels for layer in layers)
    chain = [(place_of(slot, 0, layers[0], node.name, node.op), node.op) for node in largest]
    if len(members) == 1:
        return Form(members, widest, chain, [Masks({}, None)] * len(chain))
    own = [{node.name: node.op for node in layer.graph.nodes} for layer in layers]
    everywhere = [all(node.name in mine for mine in own) for node in largest]
    mixes = [
        after.op.mixes or "o" not in after.op.extents or not always
        for after, always in zip(largest[1:], everywhere[1:], strict=True)
    ] + [True]
    masks = [
        _masks(node.op, [mine.get(node.name) for mine in own], channels=mixed)
        for node, mixed in zip(largest, mixes, strict=True)
    ]
    return Form(members, widest, chain, masks)


def _masks(largest: Op, own: list[Op | None], channels: bool) -> Masks:
    """Channels before an op that does not mix them need no mask, where all have it: it has its own."""
    has = None if all(op is not None for op in own) else torch.tensor([float(op is not None) for op in own])
    sizes = [(op or largest).extents for op in own]
    levels = {}
    for letter in {letter for weight in largest.weights().values() for letter in weight.masked}:
        if letter == "o" and not channels:
            continue
        most = largest.extents.get(letter)
        if most is None:
            continue
        if letter == "k":
            reach = (torch.arange(most) - most // 2).abs()
            flat = any(weight.axes.count("k") == 2 for weight in largest.weights().values())
            rings = torch.maximum(reach[:, None], reach[None, :]) if flat else reach
            found = _levels([size[letter] // 2 + 1 for size in sizes], rings)
        else:
            found = _levels([size[letter] for size in sizes], torch.arange(most))
        if found is not None:
            levels[letter] = found
    return Masks(levels, has)


def _levels(sizes: list[int], places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Members × levels, and the level of each place: place p is there for members of a size above p. None where all
    members have all."""
    steps = sorted(set(sizes))
    if len(steps) == 1:
        return None
    members = torch.tensor([[float(size >= step) for step in steps] for size in sizes])
    return members, torch.bucketize(places, torch.tensor(steps), right=True)

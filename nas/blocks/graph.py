"""Graph: the named ops that a block is made of, and which takes what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from nas.blocks.evonorm import EVONORM
from nas.blocks.join import Add
from nas.blocks.op import Op, Shape
from nas.errors import ArchitectureError


@dataclass(frozen=True)
class Wire:
    """A value on its way: an input of the graph (-1 the first, -2 the second) or what a node gives, and its shape."""

    place: int
    shape: Shape

    @property
    def channels(self) -> int:
        """Channels, or features once pooled."""
        return self.shape[0]


@dataclass(frozen=True)
class Node:
    """An op in its place."""

    name: str
    op: Op
    takes: tuple[int, ...]
    """Places of what it takes: see `Wire`."""
    shapes: tuple[Shape, ...]
    """Of what it takes."""
    shape: Shape
    """Of what it gives."""


class Graph:
    """Ops in the order in which they are run; the last one's value is the graph's, or the input where there is none."""

    def __init__(self, *inputs: Shape, conventions: Mapping[str, Any] | None = None) -> None:
        """`conventions` are fields that every op has so which has them."""
        self._conventions = conventions or {}
        self.inputs = tuple(Wire(-1 - place, shape) for place, shape in enumerate(inputs))
        self.nodes: list[Node] = []

    def add(self, name: str, op: Op, *takes: Wire) -> Wire:
        """An op that takes these values. Raises `ArchitectureError` where they do not fit, or for a name used twice."""
        wires = takes
        for ending, step in op.steps().items():
            wires = (self._added(name + ending, step, wires),)
        return wires[0]

    def _added(self, name: str, op: Op, takes: tuple[Wire, ...]) -> Wire:
        if getattr(op, "activation", None) == EVONORM:
            raise ArchitectureError(f"{EVONORM} takes the place of batch normalisation, and {name!r} has none.")
        if any(node.name == name for node in self.nodes):
            raise ArchitectureError(f"Ops of a block have different names, got {name!r} twice.")
        if self._conventions and (shared := {field.name for field in fields(op)} & self._conventions.keys()):
            op = replace(op, **{name: self._conventions[name] for name in shared})
        shapes = tuple(wire.shape for wire in takes)
        shape = op.shape(*shapes)
        self.nodes.append(Node(name, op, tuple(wire.place for wire in takes), shapes, shape))
        return Wire(len(self.nodes) - 1, shape)

    def closed(self, kind: str, output: Wire) -> None:
        """Check a finished graph. Raises `ArchitectureError` unless its last op gives `output`."""
        if output.place != (len(self.nodes) - 1 if self.nodes else -1):
            raise ArchitectureError(f"A {kind} block gives what its last op gives, or its input where it has none.")

    @property
    def output(self) -> Shape:
        """Shape of its value."""
        return self.nodes[-1].shape if self.nodes else self.inputs[0].shape

    @property
    def residual(self) -> bool:
        """Whether what it takes is added to what its ops give."""
        last = self.nodes[-1] if self.nodes else None
        return last is not None and isinstance(last.op, Add) and last.takes == (-1, len(self.nodes) - 2)

    @property
    def takes(self) -> dict[int, tuple[int, ...]]:
        """What nodes take that is not the value just before them (the first input, for the first node)."""
        return {place: node.takes for place, node in enumerate(self.nodes) if node.takes != (place - 1,)}

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one picture."""
        return sum(node.op.macs(*node.shapes) for node in self.nodes)

    @cached_property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(node.op.params for node in self.nodes)

    def ops(self) -> Iterator[Op]:
        """Its ops, in order."""
        return (node.op for node in self.nodes)

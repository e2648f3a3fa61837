"""Cells: nodes that are sums, and between each two of them one of a few operations (arXiv:2001.00326, section 2.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal, get_args

from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import Activate
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Add
from nas.blocks.mixing import LocalPool
from nas.blocks.zero import Zero
from nas.errors import ArchitectureError

Edge = Literal["none", "skip", "conv1x1", "conv3x3", "pool3x3"]
EDGES: tuple[str, ...] = get_args(Edge)
MOST_NODES = 5
PAIRS = tuple((source, node) for node in range(1, MOST_NODES) for source in range(node))
"""Source and target of each edge, in order: 01, 02, 12, 03, 13, 23, …"""
NAMES = tuple(f"edge{source}{node}" for source, node in PAIRS)
"""Fields of a `Cell`."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A directed acyclic graph: node 0 is what comes in, every other one the sum of what its edges bring, the last one
    what it gives (NAS-Bench-201, arXiv:2001.00326, figure 1).

    A convolution of an edge has its activation before it and batch normalisation behind it, and reads an activated
    value that is computed once a node; averages are of what lies on the picture. Edges that are on no way from the
    first node to the last have no effect, and are none whatever they are given as: cells that compute the same by that
    are equal. A cell without a way through gives zeros.
    """

    out_channels: int
    """Those of what comes in: a cell changes neither width nor size."""
    stride: int = 1
    nodes: int = 4
    activation: Activation = "relu"
    edge01: Edge = "none"
    """From node 0 to node 1; the others likewise."""
    edge02: Edge = "none"
    edge12: Edge = "none"
    edge03: Edge = "none"
    edge13: Edge = "none"
    edge23: Edge = "none"
    edge04: Edge = "none"
    edge14: Edge = "none"
    edge24: Edge = "none"
    edge34: Edge = "none"
    keeps_width: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 2 <= self.nodes <= MOST_NODES:
            raise ArchitectureError(f"`nodes` of a cell lie in 2..{MOST_NODES}, got {self.nodes}.")
        own = edges(self.nodes)
        for name in NAMES[len(own) :]:
            if getattr(self, name) != "none":
                raise ArchitectureError(f"A cell of {self.nodes} nodes has no `{name}`, got {getattr(self, name)!r}.")
        given = tuple(getattr(self, name) for name in own)
        for name, edge, alive in zip(own, given, live(given), strict=True):
            if not alive and edge != "none":
                object.__setattr__(self, name, "none")

    @property
    def described(self) -> dict[str, int]:
        """How many edges are what: that tells its time, wherever they are."""
        given = [getattr(self, name) for name in edges(self.nodes)]
        return {edge: given.count(edge) for edge in EDGES}

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.stride != 1 or x.channels != self.out_channels:
            raise ArchitectureError(
                f"A cell changes neither width nor size, got stride {self.stride}, "
                f"{x.channels} → {self.out_channels} channels."
            )
        values = {0: x}
        activated: dict[int, Wire] = {}

        def convolved(name: str, source: int, kernel: int) -> Wire:
            if source not in activated:
                bare = self.activation == "none"
                activated[source] = (
                    values[source] if bare else g.add(f"act{source}", Activate(self.activation), values[source])
                )
            return g.add(name, Conv(x.channels, x.channels, kernel), activated[source])

        kinds: dict[str, Callable[[str, int], Wire]] = {
            "skip": lambda name, source: values[source],
            "conv1x1": lambda name, source: convolved(name, source, 1),
            "conv3x3": lambda name, source: convolved(name, source, 3),
            "pool3x3": lambda name, source: g.add(name, LocalPool(3, pooling="average"), values[source]),
        }
        for node in range(1, self.nodes):
            brought = []
            for source in range(node):
                edge = getattr(self, f"edge{source}{node}")
                if edge != "none":
                    brought.append(kinds[edge](f"{edge}_{source}{node}", source))
            if brought:
                values[node] = brought[0] if len(brought) == 1 else g.add(f"node{node}", Add(), *brought)
        return values[self.nodes - 1] if self.nodes - 1 in values else g.add("zero", Zero(), x)


def edges(nodes: int) -> tuple[str, ...]:
    """Fields of a cell of so many nodes."""
    return NAMES[: nodes * (nodes - 1) // 2]


@cache
def live(given: tuple[str, ...]) -> tuple[bool, ...]:
    """Whether each edge, in the order of `PAIRS`, is on a way from the first node to the last."""
    there = [pair for pair, edge in zip(PAIRS, given, strict=False) if edge != "none"]
    last = PAIRS[len(given) - 1][1]
    reached, reaching = {0}, {last}
    for source, node in there:
        if source in reached:
            reached.add(node)
    for source, node in reversed(there):
        if node in reaching:
            reaching.add(source)
    return tuple(
        edge != "none" and source in reached and node in reaching
        for (source, node), edge in zip(PAIRS, given, strict=False)
    )

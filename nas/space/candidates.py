"""Candidates: what one slot of a space can be, and which options make it what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.blocks.layer import Layer


@dataclass(frozen=True, eq=False)
class Candidates:
    """The different chains of layers at a slot, in the order of first appearance; () where it is left out."""

    name: str
    """Of the slot."""
    decisions: tuple[int, ...]
    """That the slot depends on."""
    chains: tuple[tuple[Layer, ...], ...]
    code: NDArray[np.int64]
    """The chain for each combination of options, one axis a decision of the slot."""

    @classmethod
    def of(
        cls, name: str, decisions: tuple[int, ...], chains: Iterable[tuple[Layer, ...]], shape: tuple[int, ...]
    ) -> Candidates:
        """From the chain of every combination, in the order of a C array of this shape."""
        found: dict[tuple[Layer, ...], int] = {}
        code = np.fromiter((found.setdefault(chain, len(found)) for chain in chains), dtype=np.int64)
        return cls(name, decisions, tuple(found), code.reshape(shape))

    def for_training(self) -> Candidates:
        """The same chains of layers in the form in which they are trained."""
        chains = tuple(tuple(layer.for_training() for layer in chain) for chain in self.chains)
        return replace(self, chains=chains)

    def candidate(self, genotype: NDArray[np.uint8]) -> int:
        """Which of the chains a genotype `uint8[D]` has here."""
        return int(self.code[tuple(genotype[list(self.decisions)])])

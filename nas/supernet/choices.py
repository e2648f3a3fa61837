"""Choice: what one slot of a space can be, and which options make it what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.blocks.layer import Layer
from nas.space.space import Space

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@dataclass(frozen=True, eq=False)
class Choice:
    """One slot: its distinct candidates, each a chain of layers (none: the slot is left out)."""

    name: str
    decisions: tuple[int, ...]
    candidates: tuple[tuple[Layer, ...], ...]
    code: NDArray[np.int64]
    """The candidate for each combination of options, one axis a decision."""

    def candidate(self, genotype: NDArray[np.uint8]) -> int:
        """Which candidate a genotype `uint8[D]` has here."""
        return int(self.code[tuple(genotype[list(self.decisions)])])

    def shares(self, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        """Probability of each candidate under independent decisions, float[candidates]; differentiable.

        `probabilities[d]` is a tensor of the probabilities of decision d's options, for every decision of the space.
        """
        import torch

        joint = torch.ones((), device=probabilities[0].device) if probabilities else torch.ones(())
        for axis in self.decisions:
            joint = joint.unsqueeze(-1) * probabilities[axis]
        nothing = torch.zeros(len(self.candidates), device=joint.device, dtype=joint.dtype)
        return nothing.index_add(0, self._flat.to(joint.device), joint.reshape(-1))

    @cached_property
    def _flat(self) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.code.reshape(-1))


def choices_of(space: Space) -> tuple[Choice, ...]:
    """Every slot of a space as a choice, first to last."""
    return tuple(
        Choice(slot.name, slot.decisions, candidates.chains, candidates.code)
        for slot, candidates in zip(space.slots, space.candidates, strict=True)
    )


def of_one_size(choices: Sequence[Choice]) -> bool:
    """Whether all networks see pictures of one size."""
    return len({layers[0].height for layers in choices[0].candidates if layers}) == 1

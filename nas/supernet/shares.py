"""Chances of options as chances of what a slot can be."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nas.space.candidates import Candidates


def shares_of(slot: Candidates, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
    """Probability of each candidate under independent decisions, float[candidates]; differentiable.

    `probabilities[d]` is a tensor of the probabilities of decision d's options, for every decision of the space.
    """
    joint = torch.ones((), device=probabilities[0].device) if probabilities else torch.ones(())
    for axis in slot.decisions:
        joint = joint.unsqueeze(-1) * probabilities[axis]
    nothing = torch.zeros(len(slot.chains), device=joint.device, dtype=joint.dtype)
    return nothing.index_add(0, torch.from_numpy(slot.code.reshape(-1)).to(joint.device), joint.reshape(-1))

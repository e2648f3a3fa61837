"""Average: the weights that are kept, an exponential average over steps (arXiv:1703.01780, section 2)."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


def decay_at(step: int, decay: float) -> float:
    """What the average keeps of itself at step 1, 2, …: min(decay, (1 + step) / (10 + step)).

    The rise lets short trainings forget their start: after 100 steps the average is over some 12, not over 1,000.
    """
    return min(decay, (1 + step) / (10 + step))


class Average:
    """A copy of a network whose parameters and normalisation statistics follow the original's."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self._pairs = _tensors(self.network), _tensors(network)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in what the network is after its `step`-th step, counted from 1."""
        mine, theirs = self._pairs
        torch._foreach_lerp_(mine, theirs, 1 - decay_at(step, self.decay))


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    """Parameters and buffers that can be averaged; counters are not. Not detached ones: where a module is moved to the
    memory format that it has, torch gives weights of shape (C, 1, 1, 1) other data all the same."""
    return [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]

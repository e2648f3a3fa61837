"""Multi-path: one branch with weights of its own for every candidate of every slot (FBNet, arXiv:1812.03443)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import nn

from nas.blocks.build import build_layer
from nas.blocks.op import Op
from nas.errors import NasError
from nas.space.candidates import Candidates
from nas.space.space import Space
from nas.supernet.banks import batch_statistics
from nas.supernet.supernet import Supernet, scale_of, widened

MAX_BRANCHES = 64
"""At a slot: more would not fit any memory, and a superkernel does."""


class MultiPath(Supernet):
    """A supernet of branches."""

    batch: ClassVar[int] = 32  # a step takes the time and the memory of all branches

    def __init__(self, space: Space, *, inherits: bool = False) -> None:
        check_branches(space, space.candidates)
        super().__init__(space, inherits=inherits)
        self.branches = nn.ModuleList(
            nn.ModuleList(nn.Sequential(*map(build_layer, candidate)) for candidate in choice.chains)
            for choice in self.choices
        )
        batch_statistics(self.branches)
        for slot, choice in enumerate(self.choices):
            for index, candidate in enumerate(choice.chains):
                for layer, module in zip(candidate, self._branch(slot, index).children(), strict=True):
                    for op, part in zip(layer.graph.ops(), module.children(), strict=True):
                        first_values(part, op)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(self, slot: int, candidate: int, x: torch.Tensor) -> torch.Tensor:
        return self._branch(slot, candidate)(x)  # type: ignore[no-any-return]

    def weights_of(self, slot: int, candidate: int) -> Iterator[dict[str, torch.Tensor]]:
        for layer in self._branch(slot, candidate).children():
            yield dict(layer.named_parameters())

    def mixed(self, x: torch.Tensor, shares: Sequence[torch.Tensor], least: float = 0.0) -> torch.Tensor:
        """All candidates of every slot, each times its share float[candidates] (eq. 4); logits float32[N, classes].

        Candidates of a share below `least`, which is less than the largest can have, are left out.
        """
        for slot, choice in enumerate(self.choices):
            if len(choice.chains) == 1:
                x = self.run(slot, 0, self.fitted(x, slot, 0))
                continue
            present = torch.nonzero(shares[slot] >= least).flatten().tolist()
            outputs = [self.run(slot, c, self.fitted(x, slot, c)) for c in present]
            width = max(output.shape[1] for output in outputs)
            parts = [shares[slot][c] * widened(output, width) for c, output in zip(present, outputs, strict=True)]
            x = sum(parts[1:], parts[0])
        return x

    def _branch(self, slot: int, candidate: int) -> nn.Module:
        return self.branches[slot][candidate]  # type: ignore[index,no-any-return]


def first_values(module: nn.Module, op: Op) -> None:
    """Draw an op's weights; all are scaled as before an activation."""
    own = dict(module.named_parameters())
    for name, weight in op.weights().items():
        if weight.gain:
            nn.init.normal_(own[name], std=scale_of(weight.fan_in, True))
        elif weight.trained:
            nn.init.constant_(own[name], weight.start)


def check_branches(space: Space, choices: Sequence[Candidates]) -> None:
    """Raise `NasError` where a slot has more branches than fit."""
    most = max(choices, key=lambda choice: len(choice.chains))
    if len(most.chains) > MAX_BRANCHES:
        raise NasError(
            f"A multi-path supernet has at most {MAX_BRANCHES} branches a slot; {most.name} of {space.name} has "
            f"{len(most.chains)}. Use a superkernel: --controller single-path, proxyless or reinforce."
        )

"""A space of two small stages, and a supernet of it that answers by a rule instead of by weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet.supernet import Genotype

TINY = """
format: nas-space/1
name: tiny
source: test
num_classes: 10
input: {resolution: 16}
activation: relu
blocks:
  k3: {kind: mbconv, kernel: 3, expansion: 2}
  k5: {kind: mbconv, kernel: 5, expansion: 4}
  skip: {kind: identity}
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: {choice: [k3, k5, skip], per: layer}, width: 8, depth: 2}
  - {name: top, block: mbconv, width: 12, stride: 2, depth: {choice: [1, 2]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 2, 3]}, se: {choice: [0, 0.5]}}
head: {width: 16}
references:
  plain: {body: {layer1: {block: k3}, layer2: {block: skip}}, top: {depth: 1, kernel: 3, expansion: 2, se: 0}}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Space:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return load_space(path)


class Oracle(nn.Module):
    """A supernet whose networks are right where they have option `best` of every decision, and else wrong.

    Each decision adds its share to the logit of the true class, 0 or 1, or takes it away. It notes what it was asked.
    """

    def __init__(self, space: Space, best: Genotype) -> None:
        super().__init__()
        self.space = space
        self.choices = space.candidates
        self.best = best
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[Genotype] = []

    def forward(self, x: torch.Tensor, genotype: Genotype) -> torch.Tensor:
        self.seen.append(genotype.copy())
        right = int((genotype == self.best).sum()) / len(self.best)  # as many of the pictures are answered rightly
        correct = torch.arange(len(x)) < round(right * len(x))
        return torch.stack([correct.float(), 1 - correct.float()], 1) * self.weight  # the true class is 0


@pytest.fixture
def oracle() -> type[Oracle]:
    return Oracle


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 16, 16, generator=random), torch.randint(10, (8,), generator=random)


def randomised(policy: nn.Module, seed: int = 0) -> None:
    """Free logits and thresholds drawn at random."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=random)


@pytest.fixture(name="randomised")
def _randomised() -> object:
    return randomised


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)

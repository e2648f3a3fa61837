"""The plain torch module of EvoNorm; `model.py` has a copy of it where a network uses it."""

from __future__ import annotations

import math

import torch
from torch import nn


class EvoNorm(nn.Module):
    """EvoNorm-S0: x · sigmoid(v x) by the deviation of its group of channels, then a scale and a shift by channel."""

    def __init__(self, channels: int, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = math.gcd(32, channels), norm_eps
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.v = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.v)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # N,C,H,W
        scale, shift, v = (part[:, None, None] for part in (self.weight, self.bias, self.v))
        variance = x.reshape(len(x), self.groups, -1).var(2, unbiased=False, keepdim=True)
        activated = (x * torch.sigmoid(x * v)).reshape(len(x), self.groups, -1)
        return (activated / torch.sqrt(variance + self.eps)).reshape(x.shape) * scale + shift

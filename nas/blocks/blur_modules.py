"""Torch module of anti-aliasing. This file imports nothing but torch: model.py has a copy of it."""

from __future__ import annotations

import torch
from torch import nn


class Blur(nn.Module):
    """A binomial filter of 3×3 pixels with a stride of 2, padded with zeros."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        line = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype, device=x.device) / 4
        kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
        return nn.functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

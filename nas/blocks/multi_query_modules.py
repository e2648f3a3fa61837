"""Torch modules of multi-query attention. This file imports nothing but torch: model.py has copies of them."""

from __future__ import annotations

import torch
from torch import nn


class Attend(nn.Module):
    """Attention of several heads of queries over one set of keys and values: N,heads·key_dim,H,W out."""

    def __init__(self, heads: int, key_dim: int) -> None:
        super().__init__()
        self.heads, self.key_dim = heads, key_dim

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        count, _, height, width = query.shape
        rows = query.reshape(count, self.heads, self.key_dim, -1).transpose(2, 3).reshape(count, -1, self.key_dim)
        shares = (rows @ key.flatten(2) * self.key_dim**-0.5).softmax(-1)  # N, heads · pixels, keys
        given: torch.Tensor = shares @ value.flatten(2).transpose(1, 2)
        columns = given.reshape(count, self.heads, -1, self.key_dim).transpose(2, 3)
        return columns.reshape(count, self.heads * self.key_dim, height, width)

"""Subnets: a network of a supernet by itself, with statistics of its own, and how well it does."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

CALIBRATION = 512
"""Pictures of which a subnet takes its statistics."""


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set running statistics of batch normalisation to their mean over batches float32[N,3,H,W].

    Those of a supernet would be of no network in particular (arXiv:1903.05134, section 3.1). Leaves the network in
    evaluation mode.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    network.train()
    for x in batches:
        network(x)
    network.eval()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum

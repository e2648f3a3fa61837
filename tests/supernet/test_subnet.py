"""recalibrate(): running statistics of one network are the mean over batches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.supernet.subnet import recalibrate


def test_statistics_are_the_mean_over_batches_whatever_they_were() -> None:
    norm = nn.BatchNorm2d(2, momentum=0.3)
    network = nn.Sequential(norm)
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(4, 2, 3, 3) * 9 + 5)  # of other networks
    torch.manual_seed(0)
    batches = [torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3) + 2, torch.randn(2, 2, 3, 3) * 3]  # the last one odd
    recalibrate(network, batches)
    means = torch.stack([x.mean((0, 2, 3)) for x in batches])
    variances = torch.stack([x.var((0, 2, 3)) for x in batches])  # unbiased, as running ones are
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert torch.allclose(norm.running_mean, means.mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, variances.mean(0), atol=1e-6)
    assert norm.momentum == 0.3
    assert not network.training


def test_weights_stay_and_get_no_gradient() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in network.named_parameters()}
    recalibrate(network, [torch.randn(4, 3, 8, 8)] * 2)
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name])
        assert value.grad is None


def test_all_normalisations_at_once_not_one_after_another() -> None:
    """The second one sees what the first gives in training mode: its statistics are those of unit variance."""
    network = nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.BatchNorm2d(1, affine=False))
    recalibrate(network, [torch.randn(64, 1, 4, 4) * 7 + 3])
    assert float(network[1].running_mean) == pytest.approx(0, abs=1e-4)  # type: ignore[arg-type]
    assert float(network[1].running_var) == pytest.approx(1, rel=1e-2)  # type: ignore[arg-type]

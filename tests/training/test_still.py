"""What stays while the rest is trained: same gradients, less kept for them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from tiny import TINY
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from nas.errors import NasError
from nas.formats.weights import random_weights
from nas.training.network import network_of
from nas.training.still import hold_statistics, keep_still, norms


def gradients(network: nn.Module) -> tuple[list[Tensor], int]:
    """Gradients of all that is trained, and the bytes that were kept for them."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = network(x).square().mean()
    loss.backward()
    return [p.grad for p in network.parameters() if p.grad is not None], sum(kept.values())


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize(("only", "share"), [((), 0.8), (("norm",), 0.6), (("last", "norm"), 0.6), (("last",), 1.0)])
def test_same_gradients_with_less(only: tuple[str, ...], share: float, padding: str) -> None:
    layers = (*(layer.changed(padding=padding) for layer in TINY.layers[:-1]), TINY.layers[-1])
    network = replace(TINY, layers=layers)
    plain = network_of(network, random_weights(network, 0))
    if only:
        keep_still(plain, only)
    plain.eval()
    held = deepcopy(plain)
    hold_statistics(held)
    expected, before = gradients(plain)
    got, after = gradients(held)
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert after <= share * before


def test_only_the_classifier_moves() -> None:
    network = network_of(TINY, random_weights(TINY, 0))
    keep_still(network, ("last",))
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {
        "2.2.linear.weight",
        "2.2.linear.bias",
    }


def test_a_network_without_normalisation() -> None:
    with pytest.raises(NasError, match="This network has no batch normalisation"):
        norms(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))

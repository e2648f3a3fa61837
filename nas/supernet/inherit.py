"""inherit(): the weights of a trained network, in the supernet of its elastic space."""

from __future__ import annotations

import torch

from nas.blocks.architecture import Architecture
from nas.errors import SpaceError
from nas.formats.kernels import Kernels
from nas.supernet.channels import State
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Supernet


@torch.no_grad()
def inherit(supernet: Supernet, network: Architecture, state: State, kernels: Kernels | None = None) -> None:
    """Give the largest network of a supernet these weights, so that it computes what they do; smaller ones have slices
    of them, or what `kernels` make of these. Raises `SpaceError` where the network is none of the space."""
    reference = next(iter(supernet.space.references.values()), None)
    genotype = None if reference is None else supernet.space.encode([reference])[0]
    if genotype is None or supernet.space.decode(genotype).layers != network.layers:
        raise SpaceError(f"{supernet.space.name} has no network with these weights as its first reference.")
    layer = 0
    for slot, choice in enumerate(supernet.choices):
        for position, weights in enumerate(supernet.weights_of(slot, choice.candidate(genotype))):
            for name, place in weights.items():
                place.copy_(torch.from_numpy(state[f"{layer}.{name}"]).to(place))
            for module, matrices in (kernels or {}).items():
                index, op, _ = module.split(".", 2)
                if int(index) == layer and isinstance(supernet, Superkernel):
                    supernet.bank(slot, choice.candidate(genotype), position, int(op)).transform(matrices)
            layer += 1

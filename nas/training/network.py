"""Networks to be trained: with weights inherited or drawn, and a head for the data's classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from nas.blocks.architecture import Architecture
from nas.blocks.block import is_head
from nas.blocks.build import build
from nas.data import CHANNELS
from nas.errors import ArchitectureError
from nas.formats.weights import random_weights
from nas.formats.weights_file import Array


@dataclass(frozen=True)
class Start:
    """Where a training begins."""

    architecture: Architecture
    """With as many outputs as the data has classes."""
    trained: Architecture
    """What of it is trained: with its branches, where nothing is inherited; else merged, as its weights are."""
    weights: dict[str, Array]
    """Of `trained`."""
    notes: tuple[str, ...]
    """What the user should know of it, a line each."""


def start(
    architecture: Architecture,
    inherited: Mapping[str, Array] | None,
    classes: tuple[str, ...],
    seed: int,
    named: tuple[str, ...] | None = None,
) -> Start:
    """A network for these classes: `inherited` weights where they fit, others drawn from `seed`.

    The last layer is drawn anew where its classes are others in number or, where the weights' own are `named`, in name.
    Raises `ArchitectureError` for a network without a head.
    """
    last = architecture.layers[-1]
    check(architecture)
    wanted = architecture.classified(len(classes))
    branched = wanted.for_training()
    trained = branched if inherited is None else wanted
    weights, notes = random_weights(trained, seed), []
    if wanted != architecture:
        notes.append(
            f"The head is rebuilt: the network has {architecture.num_classes:,} classes, the data {len(classes):,}."
        )
    if inherited is not None:
        if trained != branched:
            notes.append("Its branches are merged in the weights, and stay so: --from-scratch trains them.")
        position = len(last.graph.nodes) - 1
        final = f"{len(architecture.layers) - 1}.{position}."
        drop = wanted != architecture or (named is not None and named != classes)
        if drop:
            notes.append("Inherited weights of the last layer are dropped: they are for other classes.")
        weights |= {name: array for name, array in inherited.items() if not (drop and name.startswith(final))}
    return Start(wanted, trained, weights, tuple(notes))


def check(architecture: Architecture) -> None:
    """Raise `ArchitectureError` unless a network takes pictures in colour or in grey and ends in a head."""
    if not is_head(architecture.layers[-1].kind):
        raise ArchitectureError(f"A network that is trained ends in a head, got {architecture.layers[-1].kind}.")
    if architecture.channels not in CHANNELS:
        raise ArchitectureError(
            f"Pictures have 3 channels, or 1 where they are grey, and this network takes {architecture.channels}."
        )


def untrained(architecture: Architecture, seed: int) -> nn.Sequential:
    """The torch module of a network as it is trained from scratch, its weights drawn from `seed`."""
    trained = architecture.for_training()
    return network_of(trained, random_weights(trained, seed))


def network_of(architecture: Architecture, weights: Mapping[str, Array]) -> nn.Sequential:
    """The torch module with these weights."""
    network = build(architecture)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network

"""alone(): how far the outputs of a supernet's network move when one of its decisions alone is changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import kl_div, log_softmax

from nas.supernet.supernet import Genotype, Supernet


@torch.no_grad()
def alone(
    supernet: Supernet,
    genotype: Genotype,
    batches: Sequence[torch.Tensor],
    watch: Callable[[int, int], object] = lambda done, total: None,
) -> list[NDArray[np.float64]]:
    """For every decision, and each of its options in place of the network's own, the loss `float64[options]`.

    The loss is the Kullback-Leibler divergence of what the changed network says from what the network itself says, in
    nats, the mean over batches float32[N,3,H,W], with the statistics of each batch. What comes before the first layer
    that changes is not computed again. `watch` is called with how many options are done, and how many there are.
    """
    losses = [np.zeros(int(options)) for options in supernet.space.cardinalities]
    changes = [change for change in _changes(supernet, genotype) if change[3] < len(supernet.choices)]
    pictures = sum(map(len, batches))
    for number, x in enumerate(batches):
        values = [x, *supernet.values(x, genotype)]
        own = log_softmax(values[-1], 1)
        for done, (decision, option, changed, slot) in enumerate(changes, 1 + number * len(changes)):
            logits = deque(supernet.values(values[slot], changed, slot), 1).pop()
            loss = kl_div(log_softmax(logits, 1), own, reduction="sum", log_target=True)
            losses[decision][option] += loss.item() / pictures
            watch(done, len(batches) * len(changes))
    return losses


def _changes(supernet: Supernet, genotype: Genotype) -> list[tuple[int, int, Genotype, int]]:
    """Decision, option, the genotype with that option alone, and the first slot that it changes; the number of slots
    where it changes none."""
    own = [choice.candidate(genotype) for choice in supernet.choices]
    changes = []
    for decision, options in enumerate(supernet.space.cardinalities):
        for option in range(int(options)):
            changed = genotype.copy()
            changed[decision] = option
            other = (slot for slot, choice in enumerate(supernet.choices) if choice.candidate(changed) != own[slot])
            changes.append((decision, option, changed, next(other, len(own))))
    return changes

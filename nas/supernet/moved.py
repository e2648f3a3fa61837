"""moved(): how far the outputs of a supernet's network move when it becomes another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import kl_div, log_softmax

from nas.supernet.supernet import Genotype, Supernet


@torch.no_grad()
def moved(supernet: Supernet, genotype: Genotype, x: torch.Tensor, others: Sequence[Genotype]) -> Iterator[float]:
    """The loss of each of some others in place of a network: the Kullback-Leibler divergence of what they say of
    pictures float32[N,3,H,W] from what the network says, in nats, summed over pictures, with the statistics of this
    batch. What comes before the first slot that changes is not computed again."""
    values = [x, *supernet.values(x, genotype)]
    own = log_softmax(values[-1], 1)
    for other in others:
        choices = enumerate(supernet.choices)
        slot = next((at for at, choice in choices if choice.candidate(other) != choice.candidate(genotype)), None)
        if slot is None:
            yield 0.0
            continue
        logits = deque(supernet.values(values[slot], other, slot), 1).pop()
        yield kl_div(log_softmax(logits, 1), own, reduction="sum", log_target=True).item()

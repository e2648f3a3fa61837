"""Processes: who trains together. One process, unless torchrun started several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

PATIENCE = timedelta(days=1)
"""The first process may decode a large data set while the others wait; torchrun ends them all if it fails."""


@dataclass(frozen=True)
class Processes:
    """This process among all. Each takes every `count`-th picture of a step, from its own rank on."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and prints."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each of these figures, summed over all processes."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]

    def share(self, tensors: Sequence[torch.Tensor]) -> None:
        """Give everyone what the first one has in these tensors."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all are here."""
        self.sums([0.0])

    def wrapped(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are averaged over processes; its normalisation statistics are each one's own."""
        if self.count == 1:
            return network
        places = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=places)


def alone() -> Processes:
    """One process, on the first CUDA device where there is one."""
    return Processes(0, 1, torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"))


@contextmanager
def joined() -> Iterator[Processes]:
    """All processes that torchrun started (`RANK`, `WORLD_SIZE` and `LOCAL_RANK` say so), or this one alone."""
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield alone()
        return
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(rank, count, device)
    finally:
        dist.destroy_process_group()

"""Processes: who trains together. One process, unless torchrun started several."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from nas.errors import NasError
from nas.system import ranks

PATIENCE = timedelta(days=1)
"""The first process may decode a large data set, or measure a table, while the others wait for it."""
STEP_PATIENCE = timedelta(minutes=30)
"""Nothing else that is done together takes that long: a process that does not come by then has lost its way."""


@dataclass(frozen=True)
class Processes:
    """This process among all. Each takes every `count`-th picture of a step, from its own rank on."""

    rank: int
    count: int
    device: torch.device
    patient: dist.ProcessGroup | None = None
    """All of them, waiting for as long as `PATIENCE`."""

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
        """Copy these tensors from the first process to all."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.sums([float(flag)])[0] > 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier(group=self.patient)

    def check_batch(self, batch: int) -> None:
        """Raise `NasError` unless a batch falls into equal parts of two pictures or more."""
        if batch % self.count or batch < 2 * self.count:
            raise NasError(
                f"Each of {self.count} processes takes an equal part of a batch, two pictures or more, "
                f"got a batch of {batch}."
            )

    def part(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's part of a batch: pictures [N,C,H,W], and whatever goes with each."""
        if self.count == 1:
            return x, y
        mine = slice(self.rank, None, self.count)
        return x[mine].contiguous(memory_format=torch.channels_last), y[mine].contiguous()

    def mean(self, parameters: Iterable[nn.Parameter], loss: float) -> float:
        """Turn the gradients of parameters into their means over processes; returns the mean of the losses.

        All processes have gradients for the same parameters, as they draw the same networks. The others keep none, so
        that the optimiser leaves them alone, as it does in one process.
        """
        if self.count == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        shown = torch.tensor([loss], device=self.device)
        flat = torch.cat([shown, *(gradient.reshape(-1) for gradient in gradients)]) / self.count
        dist.all_reduce(flat)
        means = torch.split(flat[1:], [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))
        return float(flat[0])

    def wrapped(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are averaged over processes; its normalisation statistics are each one's own."""
        if self.count == 1:
            return network
        places = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=places)

    def leave(self) -> None:
        """End the group: each process continues alone."""
        if self.count > 1:
            dist.destroy_process_group()


def alone() -> Processes:
    """One process, on the first CUDA device where there is one."""
    return Processes(0, 1, torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"))


@contextmanager
def joined() -> Iterator[Processes]:
    """All processes that torchrun started (`RANK`, `WORLD_SIZE` and `LOCAL_RANK` say so), or this one alone.

    Raises `NasError` where another one has ended before its time.
    """
    rank, count = ranks.rank(), ranks.count()
    if count == 1:
        yield alone()
        return
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=STEP_PATIENCE)
    try:
        yield Processes(rank, count, device, dist.new_group(backend="gloo", timeout=PATIENCE))
    except RuntimeError as problem:
        if not _is_lost(problem):
            raise
        raise NasError(
            f"Another of the {count} processes has ended or does not answer; if it said why, that stands above or "
            "below. The last checkpoint is kept: go on with --resume, on any number of processes."
        ) from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _is_lost(problem: RuntimeError) -> bool:
    """Whether it says that a process is not there; gloo has no exception of its own for that."""
    return isinstance(problem, dist.DistError) or "gloo/" in str(problem)

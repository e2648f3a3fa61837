"""Score: how good a network is on a split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.batches import evaluation_batches
from nas.data.data import Data, Split
from nas.system.teller import Silent, Teller
from nas.training.processes import Processes, alone

BATCH = 256
CORRECT = 5
"""Classes among which the right one counts for top-5; all of them where there are fewer."""


@dataclass(frozen=True)
class Score:
    """Accuracy and loss of a network on `count` pictures."""

    top1: float
    """Percent of pictures whose class has the highest score."""
    top5: float
    loss: float
    """Mean cross-entropy, in nats, without label smoothing."""
    count: int

    @property
    def standard_error(self) -> float:
        """Of `top1`, in points."""
        return standard_error(self.top1, self.count)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"standard_error": self.standard_error}


def standard_error(top1: float, count: int) -> float:
    """Of so many percent right of `count` pictures, in points; two successes and two failures are added, so that it
    is not 0 at 0 or 100 % (Agresti and Coull, The American Statistician 52, 1998)."""
    share = (top1 / 100 * count + 2) / (count + 4)
    return 100 * sqrt(share * (1 - share) / (count + 4))


@torch.inference_mode()
def evaluate(
    network: nn.Module,
    data: Data,
    split: Split,
    batch: int = BATCH,
    processes: Processes | None = None,
    teller: Teller = Silent(),  # noqa: B008  # has no state
) -> Score:
    """How good a network is on a split, in evaluation mode, which it is left in. Raises `ValueError` for an empty one.

    Several processes take a part each and all get the score of the whole.
    """
    if not len(split):
        raise ValueError("a split without pictures has no score")
    team = processes or alone()
    network.eval().to(team.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mine = Split(split.pictures[team.rank :: team.count], split.labels[team.rank :: team.count])
    totals = torch.zeros(3, dtype=torch.float64, device=team.device)
    done = 0
    for x, y in evaluation_batches(data, mine, batch):
        with autocast(team.device):
            logits = network(x.to(team.device))
        totals += _totals(logits.float(), y.to(team.device))
        done += len(y)
        teller.progress(done, len(mine), "tested")
    top1, top5, loss = (value / len(split) for value in team.sums(totals.tolist()))
    return Score(100 * top1, 100 * top5, loss, len(split))


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where CUDA multiplies, float32 on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _totals(logits: Tensor, labels: Tensor) -> Tensor:
    """float64[3]: pictures right at first and among the first five, and the sum of losses, of logits [N, classes]."""
    best = logits.topk(min(CORRECT, logits.shape[1]), 1).indices == labels[:, None]
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    return torch.stack([best[:, 0].sum().double(), best.sum().double(), loss.double()])

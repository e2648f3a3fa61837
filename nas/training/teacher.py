"""Teacher: a trained network that a pupil learns from, whatever the pictures that each of them wants."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.data.data import Data


class Teacher(nn.Module):
    """Scores [N, classes] by a network for a batch of its pupil's: in other size and with other mean and deviation."""

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, size: tuple[int, int], mean: Sequence[float], std: Sequence[float], pupil: Data
    ) -> None:
        super().__init__()
        self.scale: Tensor
        self.shift: Tensor
        self.network = network
        self.size = size
        self.normalised = (tuple(mean), tuple(std)) == (pupil.mean, pupil.std)
        ours, theirs = torch.tensor([[mean, std], [pupil.mean, pupil.std]])[..., None, None]
        self.register_buffer("scale", theirs[1] / ours[1], persistent=False)
        self.register_buffer("shift", (theirs[0] - ours[0]) / ours[1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # N,C,H,W
        if not self.normalised:
            x = x * self.scale + self.shift
        return self.network(scaled(x, self.size))  # type: ignore[no-any-return]


def scaled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures [N, C, H, W] in this height and width, by the filter that files are scaled with."""
    if x.shape[2:] == size:
        return x
    return functional.interpolate(x, size, mode="bilinear", antialias=True).contiguous(
        memory_format=torch.channels_last
    )


def divergence(logits: Tensor, aim: Tensor, temperature: float) -> Tensor:
    """KL divergence from a teacher's softened classes to a student's, times the square of the temperature, so that its
    gradients keep their scale (arXiv:1503.02531, section 2.1); both are scores [N, classes]."""
    student, teacher = (functional.log_softmax(scores / temperature, 1) for scores in (logits, aim))
    return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)

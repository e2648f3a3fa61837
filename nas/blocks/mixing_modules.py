"""Plain torch modules of `nas.blocks.mixing`.

Like `nas.blocks.modules`, this file imports nothing but torch: `model.py` has a copy of what its network uses.
"""

from __future__ import annotations

import torch
from torch import nn


class LocalPool(nn.Module):
    """The largest value or the average over a window of pixels, by channel; edges count only what is there."""

    def __init__(self, kernel: int, stride: int = 1, pooling: str = "max", edges: bool = True) -> None:
        super().__init__()
        reach = kernel // 2 if edges else 0
        average = nn.AvgPool2d(kernel, stride, reach, count_include_pad=False)
        self.pool = nn.MaxPool2d(kernel, stride, reach) if pooling == "max" else average

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(x)  # type: ignore[no-any-return]


class Shift(nn.Module):
    """Channels moved by a pixel or more: a group for each place of a window; channels that are left over stay."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.group, self.kernel = channels // kernel**2, kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        padded = nn.functional.pad(x, [self.kernel // 2] * 4)
        parts = []
        for place in range(self.kernel**2):
            down, right = divmod(place, self.kernel)
            channels = slice(place * self.group, (place + 1) * self.group)
            parts.append(padded[:, channels, down : down + height, right : right + width])
        return torch.cat([*parts, x[:, self.kernel**2 * self.group :]], 1)


class Slice(nn.Module):
    """Some of its input's channels."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.start : self.stop]


class LineConv(nn.Sequential):
    """Depthwise convolution along one axis, batch normalisation."""

    def __init__(self, channels: int, kernel: int, vertical: bool = False, norm_eps: float = 1e-5) -> None:
        super().__init__()
        size, reach = ((kernel, 1), (kernel // 2, 0)) if vertical else ((1, kernel), (0, kernel // 2))
        self.conv = nn.Conv2d(channels, channels, size, 1, reach, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels, norm_eps)


class Gate(nn.Module):
    """The sigmoid of the second input at every pixel of the first, which may be larger: of the nearest pixel."""

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(torch.sigmoid(gate), x.shape[2:], mode="nearest")

"""Plain torch modules of the ops that attention needs. Like modules.py it imports torch alone, as it is copied."""

from __future__ import annotations

import torch
from torch import nn


class Attention(nn.Module):
    """Softmax attention of each pixel to those of its window: N, heads (2 key + value), H, W to N, heads value, H, W.

    Channels are each head's queries, keys and values, head after head. A map that windows do not divide has zeros
    below and at the right while it is computed; one of another size than learned positions are of has them resized.
    """

    def __init__(
        self, heads: int, key: int, value: int, height: int, width: int, window: int = 0, positions: str = "none"
    ) -> None:
        super().__init__()
        self.heads, self.key, self.value, self.window, self.positions = heads, key, value, window, positions
        self.scale = key**-0.5
        if positions != "none":
            grid = [self._table(min(window or size, size)) for size in (height, width)]
            self.attention_biases = nn.Parameter(torch.zeros(heads, *grid))

    def _table(self, size: int) -> int:
        """Entries along a side: one for each distance, or one for each offset."""
        return size if self.positions == "distance" else 2 * size - 1

    def reset_parameters(self) -> None:
        if self.positions != "none":
            nn.init.zeros_(self.attention_biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        rows, columns = (min(self.window or size, size) for size in (height, width))
        x = nn.functional.pad(x, (0, -width % columns, 0, -height % rows))
        down, right = x.shape[2] // rows, x.shape[3] // columns
        windows = x.reshape(len(x), self.heads, -1, down, rows, right, columns).permute(0, 3, 5, 1, 2, 4, 6).flatten(5)
        # N, down, right, heads, channels, pixels
        query, key, value = torch.split(windows, [self.key, self.key, self.value], 4)
        scores = (query * self.scale).transpose(4, 5) @ key
        if self.positions != "none":
            scores = scores + self.bias(rows, columns)
        y = (scores.softmax(5) @ value.transpose(4, 5)).transpose(4, 5)
        y = y.reshape(len(x), down, right, -1, rows, columns).permute(0, 3, 1, 4, 2, 5)
        y = y.reshape(len(x), -1, down * rows, right * columns)
        return y[:, :, :height, :width]  # type: ignore[no-any-return]

    def bias(self, rows: int, columns: int) -> torch.Tensor:
        """What learned positions add to the scores of a window of this size: heads, pixels, pixels."""
        table: torch.Tensor = self.attention_biases
        sides = [self._table(rows), self._table(columns)]
        if list(table.shape[1:]) != sides:
            table = nn.functional.interpolate(table[None], sides, mode="bilinear", align_corners=True)[0]
        down, right = (self._offsets(size, table.device) for size in (rows, columns))
        return table[:, down][..., right].transpose(2, 3).reshape(self.heads, rows * columns, rows * columns)

    def _offsets(self, size: int, device: torch.device) -> torch.Tensor:
        """Entries of the table for each pixel and each that it attends to, along one side."""
        place = torch.arange(size, device=device)
        offset = place[:, None] - place
        return offset.abs() if self.positions == "distance" else offset + size - 1


class LayerNorm(nn.Module):
    """Normalisation of each pixel over its channels, or of a picture over all of its values (`whole`)."""

    def __init__(self, channels: int, whole: bool = False, norm_eps: float = 1e-5) -> None:
        super().__init__()
        self.whole, self.norm_eps = whole, norm_eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.whole:
            return torch.group_norm(x, 1, self.weight, self.bias, self.norm_eps)  # also of a single value
        y = nn.functional.layer_norm(x.movedim(1, -1), (x.shape[1],), self.weight, self.bias, self.norm_eps)
        return y.movedim(-1, 1)


class LayerScale(nn.Module):
    """A learned factor for each channel: N,C,H,W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(channels, 1, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gamma, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class AveragePool(nn.AvgPool2d):
    """Averages of stride×stride pixels, by channel; the last ones, which may be cut off, are of what is there."""

    def __init__(self, stride: int) -> None:
        super().__init__(stride, ceil_mode=True, count_include_pad=False)

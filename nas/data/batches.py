"""Batches: tensors for training and evaluation.

A training batch is a function of its number, so whoever knows the step that a training stands at can go on from it:
there is no iterator to restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from nas.data.data import Data, Split
from nas.data.pictures import centre_offset
from nas.errors import DataError

Rows = NDArray[np.int64]
ORDER, DRAWS = 3, 4
"""Of a seed's streams, those of epochs and of steps; 0 to 2 are of the splits."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to training pictures, each anew in each epoch."""

    crop: bool = True
    """Crop at random: out of the larger stored picture, or, up to 64 pixels, out of it padded by an eighth in black."""
    mirror: bool = True
    """Mirror every second picture, left to right, where the data's mirror images mean the same."""
    cutout: float = 0.0
    """Side of a square hole at a random place (arXiv:1708.04552), as a share of the picture's; 0 is none."""
    mixup: float = 0.0
    """Alpha of the Beta distribution that pairs of pictures are mixed by (arXiv:1710.09412); 0 does not mix."""

    def __post_init__(self) -> None:
        if not 0 <= self.cutout <= 1:
            raise DataError(f"`cutout` is a share of the picture's side, from 0 to 1, got {self.cutout}.")
        if not (isfinite(self.mixup) and self.mixup >= 0):
            raise DataError(f"`mixup` is a number from 0, got {self.mixup}.")


def batches_per_epoch(pictures: int, size: int) -> int:
    """Training steps in which each picture is seen once; those left over by the last whole batch wait an epoch."""
    return max(1, pictures // size)


def train_batch(
    data: Data, step: int, size: int, seed: int, augmentation: Augmentation, split: Split | None = None
) -> tuple[Tensor, Tensor]:
    """Batch number `step` of a training on `split`, by default `data.train`; the same whenever it is asked for.

    Gives x float32[N, C, H, W], normalised, in channels_last memory format, and y int64[N], or float32[N, classes]
    with mixup. N is `size`; of a split with fewer pictures some come twice. Raises `DataError` for an empty split.
    """
    split = data.train if split is None else split
    if not len(split):
        raise DataError(f"{data.name}: there are no pictures to train with in this split.")
    epoch, batch = divmod(step, batches_per_epoch(len(split), size))
    rows = np.resize(_order(len(split), seed, epoch)[batch * size : (batch + 1) * size], size)
    rng = np.random.default_rng([seed, DRAWS, step])
    pictures = _random_crops(data, split, rows, rng) if augmentation.crop else _centre(data, split.pictures[rows])
    if augmentation.mirror and data.mirrors:
        mirrored = rng.random(size) < 0.5
        pictures[mirrored] = pictures[mirrored, :, ::-1]
    x = _normalised(data, pictures)
    y = torch.from_numpy(split.labels[rows])
    if augmentation.cutout:
        x.masked_fill_(_holes(size, data.size, augmentation.cutout, rng), 0)
    if augmentation.mixup:
        return _mixed(x, y, len(data.classes), augmentation.mixup, rng)
    return x, y


def evaluation_batches(data: Data, split: Split, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The split's pictures in order, their centres; the last batch may be short. Forms as of `train_batch`."""
    for begin in range(0, len(split), size):
        labels = torch.from_numpy(split.labels[begin : begin + size].copy())
        yield picture_tensor(data, split.pictures[begin : begin + size]), labels


def picture_tensor(data: Data, pictures: NDArray[np.uint8]) -> Tensor:
    """float32[N, C, H, W], channels_last: the normalised centres of stored pictures uint8[N, …, …, C]."""
    return _normalised(data, _centre(data, pictures))


@lru_cache(maxsize=8)
def _order(pictures: int, seed: int, epoch: int) -> Rows:
    order = np.random.default_rng([seed, ORDER, epoch]).permutation(pictures)
    order.flags.writeable = False
    return order


def _centre(data: Data, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = data.size
    top, left = centre_offset(pictures.shape[1], height), centre_offset(pictures.shape[2], width)
    return np.array(pictures[:, top : top + height, left : left + width])  # torch warns of maps that cannot be written


def _random_crops(data: Data, split: Split, rows: Rows, rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8[N, H, W, C]: a part of each picture."""
    (height, width), pictures, which = data.size, split.pictures, rows
    if pictures.shape[1:3] == data.size:
        high, wide = height // 8, width // 8
        pictures = np.pad(pictures[rows], ((0, 0), (high, high), (wide, wide), (0, 0)))
        which = np.arange(len(rows))
    windows = sliding_window_view(pictures, data.size, axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    top, left = rng.integers(np.array(windows.shape[1:3])[:, None], size=(2, len(rows)))
    return windows[which, top, left]  # type: ignore[no-any-return]


def _normalised(data: Data, pictures: NDArray[np.uint8]) -> Tensor:
    """(picture / 255 - mean) / std; the memory stays in the order N, H, W, C."""
    scale = torch.tensor([1 / (255 * std) for std in data.std])
    shift = torch.tensor([mean / std for mean, std in zip(data.mean, data.std, strict=True)])
    return torch.from_numpy(pictures).float().mul_(scale).sub_(shift).permute(0, 3, 1, 2)


def _holes(count: int, size: tuple[int, int], share: float, rng: np.random.Generator) -> Tensor:
    """bool[N, 1, H, W]: squares around random pixels; parts of them may lie outside."""
    side = max(1, round(share * min(size)))
    begins = rng.integers(np.array(size)[:, None], size=(2, count)) - side // 2
    rows, columns = (
        (np.arange(length) >= begin[:, None]) & (np.arange(length) < begin[:, None] + side)
        for length, begin in zip(size, begins, strict=True)
    )
    return torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :])


def _mixed(x: Tensor, y: Tensor, classes: int, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each picture and another of the batch, mixed in a proportion of their own."""
    share = torch.from_numpy(rng.beta(alpha, alpha, len(y)).astype(np.float32))[:, None]
    other = torch.from_numpy(rng.permutation(len(y)))
    known = torch.nn.functional.one_hot(y, classes).float()
    mixed = torch.lerp(x[other], x, share[:, :, None, None]).contiguous(memory_format=torch.channels_last)
    return mixed, torch.lerp(known[other], known, share)

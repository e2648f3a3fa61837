"""Data: pictures and their classes, in three splits, decoded to one size."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures uint8[N, H, W, 3] (rows, columns, red green blue; possibly memory-mapped) or uint8[N, H, W, 1] in grey,
    and labels int64[N]."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Split:
        """These pictures only."""
        return Split(self.pictures[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class Data:
    """What `--data` names, ready for training.

    `train` is for weights, `validation` is held out of the training pictures for whatever is chosen (architectures,
    policies, epochs), `test` is for the final evaluation of one network and for nothing else. The first
    two are in random order, so that their first pictures are a fair sample.
    """

    name: str
    """As it was asked for: `digits`, `imagefolder:PATH`, …"""
    classes: tuple[str, ...]
    resolution: int | tuple[int, int]
    """Pixels that a network sees, high and wide; one number where both are the same. Pictures of the splits may be
    larger: what is cropped from."""
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    """Of the training pictures, on the scale 0 to 1, by colour; networks see (picture / 255 - mean) / std."""
    std: tuple[float, ...]
    mirrors: bool
    """Whether a picture and its mirror image mean the same: not for digits and letters."""
    fingerprint: str
    """SHA-256 over the pictures' source, the split and the size: equal where training would see the same."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the splits were made, a line each."""

    @property
    def size(self) -> tuple[int, int]:
        """The resolution as height and width."""
        return (self.resolution, self.resolution) if isinstance(self.resolution, int) else self.resolution

    @property
    def seen(self) -> str:
        """What a network sees, in words: `96 px`, `96 × 160 px in grey`."""
        height, width = self.size
        return f"{height if height == width else f'{height} × {width}'} px{' in grey' if len(self.mean) == 1 else ''}"

    def subset(self, pictures: int) -> Data:
        """The first so many training pictures (they are in random order), as a data set of its own."""
        return replace(
            self,
            train=Split(self.train.pictures[:pictures], self.train.labels[:pictures]),
            fingerprint=f"{self.fingerprint}/{pictures}",
        )

"""Source: pictures as they come, before they are split and brought to one size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Encoded = bytes | Path | NDArray[np.uint8]
"""A picture: the bytes of its file, the file, or uint8[H, W] grey or uint8[H, W, 3]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """What a kind of `--data` yields. Pictures are numbered 0..N-1, in an order that does not depend on the machine."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """[N], from 0 to one less than the classes."""
    parts: Mapping[str, NDArray[np.int64]]
    """Numbers of the pictures of `train`, and of `validation` and `test` where the source has them."""
    read: Callable[[], Iterator[tuple[int, Encoded]]]
    """Every picture once with its number, in the order in which the source reads quickest."""
    title: Callable[[int], str]
    """What a message calls a picture."""
    fingerprint: str
    """SHA-256, equal where the pictures are."""
    one_size: bool = False
    """Whether the pictures are arrays in memory, all of one size: quick to fit."""
    mirrors: bool = True
    notes: tuple[str, ...] = ()


def array_source(
    place: str,
    pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    labels: NDArray[np.int64],
    parts: Mapping[str, NDArray[np.int64]],
    classes: tuple[str, ...],
    *,
    mirrors: bool = True,
    notes: tuple[str, ...] = (),
) -> Source:
    """A source of pictures that are in memory, known by their contents.

    They are uint8[N, H, W] or uint8[N, H, W, 3], or in a list where their sizes differ.
    """
    arrays = [pictures] if isinstance(pictures, np.ndarray) else pictures
    digest = hashlib.sha256(repr((classes, mirrors)).encode())
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update(labels.astype("<i8").tobytes())
    for part, rows in parts.items():
        digest.update(part.encode() + rows.astype("<i8").tobytes())
    return Source(
        classes=classes,
        labels=labels,
        parts=parts,
        read=lambda: ((row, pictures[row]) for row in range(len(pictures))),
        title=lambda row: f"{place}: picture {row:,}",
        fingerprint=digest.hexdigest(),
        one_size=isinstance(pictures, np.ndarray),
        mirrors=mirrors,
        notes=notes,
    )

"""`idx:PATH`: a folder with the four files of the MNIST family (MNIST, Fashion-MNIST, KMNIST, EMNIST), gzipped or not.

    train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-images-idx3-ubyte  t10k-labels-idx1-ubyte   (.gz)

Big-endian: 0 0 8 dimensions, the length of each as int32, then bytes. Classes are called by their numbers. Pictures
are never mirrored: most of the family are letters and digits. http://yann.lecun.com/exdb/mnist
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.source import Source, array_source
from nas.errors import DataError
from nas.system.files import open_plain

PARTS = {"train": "train", "t10k": "test", "test": "test"}
NAME = re.compile(r"(?:.*-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")
DIMENSIONS = {"images": 3, "labels": 1}
MAX_IDX_BYTES = 1 << 30
"""Of one file's pictures."""
GZIP_MOST = 1_032
"""Times its size that gzip unpacks a file to at most."""


def load_idx(argument: str) -> Source:
    """The pictures in the folder `PATH`. Raises `DataError` naming the file, the rule and what came."""
    folder = Path(argument)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. The four files of the MNIST family are given as idx:FOLDER.")
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # of a file and its .gz, the file
        if (match := NAME.fullmatch(path.name)) and path.is_file():
            found[PARTS[match[1]], match[2]] = path
    for wanted in ("images", "labels"):
        if ("train", wanted) not in found:
            raise DataError(f"{folder}: train-{wanted}-idx{DIMENSIONS[wanted]}-ubyte or the same with .gz is missing.")
    train = _read_pair(found["train", "images"], found["train", "labels"])
    if ("test", "images") not in found or ("test", "labels") not in found:
        return _source(folder, train, None)
    return _source(folder, train, _read_pair(found["test", "images"], found["test", "labels"]))


def _source(
    folder: Path,
    train: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    test: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None,
) -> Source:
    pictures, values = train
    parts = {"train": np.arange(len(values))}
    if test is not None:
        if test[0].shape[1:] != pictures.shape[1:]:
            raise DataError(
                f"{folder}: train and test have one size, got {pictures.shape[1:]} and {test[0].shape[1:]}."
            )
        parts["test"] = np.arange(len(values), len(values) + len(test[1]))
        pictures, values = np.concatenate([pictures, test[0]]), np.concatenate([values, test[1]])
    known = np.unique(values[parts["train"]])
    if len(extra := np.setdiff1d(values, known)):
        raise DataError(f"{folder}: classes are the same in train and test; {extra[0]} has no pictures in train.")
    labels = np.searchsorted(known, values).astype(np.int64)
    return array_source(str(folder), pictures, labels, parts, tuple(map(str, known.tolist())), mirrors=False)


def _read_pair(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    pictures, values = _read(images, 3), _read(labels, 1)
    if len(pictures) != len(values):
        raise DataError(f"{labels}: a label for each picture: {len(pictures):,} pictures, {len(values):,} labels.")
    return pictures, values


def _read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """uint8[N, H, W] or uint8[N]."""
    try:
        with open_plain(path) as raw, gzip.open(raw) if path.suffix == ".gz" else raw as file:
            most = os.fstat(raw.fileno()).st_size * (GZIP_MOST if path.suffix == ".gz" else 1)
            head = file.read(4 + 4 * dimensions)
            if head[:4] != bytes([0, 0, 8, dimensions]) or len(head) < 4 + 4 * dimensions:
                raise DataError(f"{path}: begins with 00 00 08 0{dimensions}, got {head[:4].hex(' ') or 'nothing'}.")
            shape = tuple(np.frombuffer(head, ">u4", dimensions, 4).tolist())
            size = int(np.prod(shape, dtype=object))
            if not 0 < size <= MAX_IDX_BYTES:
                raise DataError(f"{path}: holds 1 to {MAX_IDX_BYTES:,} bytes of pictures, got the lengths {shape}.")
            data = file.read(size) if size <= most else b""  # a lie is not waited for
            if len(data) < size or file.read(1):
                more = "more" if len(data) == size else f"{len(data):,}"
                raise DataError(f"{path}: {size:,} bytes follow the lengths {shape}, got {more}. Get the file anew.")
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{path}: the file is damaged or cut short ({problem}). Get it anew.") from None
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror}).") from None
    return np.frombuffer(data, np.uint8).reshape(shape)

"""`cifar10:PATH`: CIFAR-10 as its author distributes it, a folder or a tar.gz of the binary version.

    data_batch_1.bin … data_batch_5.bin, test_batch.bin    records of a label, 1,024 red, green and blue pixels each

A single .bin file is read too. The Python version consists of pickles, which are programs, and is refused.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.archive import members
from nas.data.source import Source, array_source
from nas.errors import DataError
from nas.system.files import read_bytes
from nas.system.text import printable

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
PIXELS = 3 * SIDE * SIDE
BATCH = re.compile(r"(data_batch_[0-9]|test_batch)\.bin")
PICKLE = re.compile(r"data_batch_[0-9]|test_batch")
META = "batches.meta.txt"
MAX_BATCH_BYTES = 64 << 20
"""Of one file; those of the real thing have 31 MB."""
MAX_ALL = 256 << 20
"""Of all files together."""
MAX_META = 64 << 10
"""Of that with the names of the classes."""

Records = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_cifar10(argument: str) -> Source:
    """The pictures in `PATH`. Raises `DataError` naming the file, the rule and what came."""
    path = Path(argument)
    files = _files(path)
    batches = {name: data for name, data in files.items() if name.endswith(".bin")}
    if not batches and any(map(PICKLE.fullmatch, files)):
        raise DataError(
            f"{path}: this is CIFAR-10's Python version, pickles, which are not read. Get cifar-10-binary.tar.gz from "
            f"https://www.cs.toronto.edu/~kriz/cifar.html, or convert it as docs/data.md shows."
        )
    if not batches:
        raise DataError(
            f"{path}: CIFAR-10 is data_batch_1.bin … data_batch_5.bin and test_batch.bin; there are none. For pictures "
            f"in folders use imagefolder:PATH."
        )
    classes = _classes(path, files)
    pictures, labels = [], []
    rows: dict[str, list[NDArray[np.int64]]] = {}
    begin = 0
    for name in sorted(batches):
        some, theirs = _read(f"{path}: {name}", batches[name], len(classes))
        pictures.append(some)
        labels.append(theirs)
        part = "test" if name.startswith("test_batch") else "train"
        rows.setdefault(part, []).append(np.arange(begin, begin + len(theirs)))
        begin += len(theirs)
    if "train" not in rows:
        raise DataError(f"{path}: pictures to train with are in data_batch_1 and so on; there is only a test_batch.")
    parts = {part: np.concatenate(numbers) for part, numbers in rows.items()}
    all_labels = np.concatenate(labels)
    few = 5 - len(rows["train"])
    notes = (f"{few} of the 5 files of training pictures are missing.",) if few > 0 and not path.is_file() else ()
    return array_source(str(path), np.concatenate(pictures), all_labels, parts, classes, notes=notes)


def _files(path: Path) -> dict[str, bytes]:
    """The contents of those files that CIFAR-10 consists of, by name without folders; pickles are not read."""
    files: dict[str, bytes] = {}

    def take(name: str, data: bytes, most: int) -> None:
        if len(data) > most:
            raise DataError(f"{path}: {name}: at most {most:,} bytes are read, this file has more.")
        files[name] = data
        if sum(map(len, files.values())) > MAX_ALL:
            raise DataError(f"{path}: at most {MAX_ALL:,} bytes are read in all, these files have more.")

    if path.is_dir():
        try:
            for entry in sorted(path.iterdir()):
                if (BATCH.fullmatch(entry.name) or entry.name == META) and entry.is_file():
                    take(entry.name, read_bytes(entry, DataError, most := _most(entry.name)), most)
                elif PICKLE.fullmatch(entry.name):
                    files[entry.name] = b""
        except OSError as problem:
            raise DataError(f"{problem.filename}: cannot be read ({problem.strerror}).") from None
    elif path.is_file() and path.suffix == ".bin":
        take(path.name, read_bytes(path, DataError, MAX_BATCH_BYTES), MAX_BATCH_BYTES)
    elif path.is_file():
        for member in members(path):
            name = member.parts[-1] if member.parts else ""
            if not member.is_folder and (BATCH.fullmatch(name) or name == META):
                take(name, member.read((most := _most(name)) + 1), most)
            elif PICKLE.fullmatch(name):
                files[name] = b""
    else:
        raise DataError(f"{path}: no such folder or file. CIFAR-10 is given as cifar10:PATH.")
    return files


def _most(name: str) -> int:
    return MAX_META if name == META else MAX_BATCH_BYTES


def _read(place: str, data: bytes, classes: int) -> Records:
    if not data or len(data) % (1 + PIXELS):
        raise DataError(f"{place}: records of {1 + PIXELS:,} bytes each, got {len(data):,} bytes. Get the file anew.")
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + PIXELS)
    labels = records[:, 0].astype(np.int64)
    if len(beyond := np.flatnonzero(labels >= classes)):
        row = int(beyond[0])
        raise DataError(f"{place}: picture {row:,}: labels lie in 0..{classes - 1}, got {labels[row]}.")
    planes = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _classes(path: Path, files: dict[str, bytes]) -> tuple[str, ...]:
    names = files[META].decode("utf-8", "replace").split() if META in files else CLASSES
    if len(names) != len(CLASSES) or len(set(names)) != len(names):
        raise DataError(f"{path}: CIFAR-10 has {len(CLASSES)} classes of different names, got {len(names)}.")
    return tuple(map(printable, names))

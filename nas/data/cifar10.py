"""`cifar10:PATH`: CIFAR-10 as its author distributes it, a folder or a tar.gz; the binary version or the Python one.

    data_batch_1.bin … data_batch_5.bin, test_batch.bin    records of a label, 1,024 red, green and blue pixels each
    data_batch_1 … data_batch_5, test_batch                pickles, which are not unpickled: see records.py

A single .bin file is read too. https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.archive import members
from nas.data.records import Bytes, NotRecords, read_records
from nas.data.source import Source, array_source, printable
from nas.errors import DataError
from nas.system.files import read_bytes

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
PIXELS = 3 * SIDE * SIDE
BATCH = re.compile(r"(data_batch_[0-9]|test_batch)(\.bin)?")
META = ("batches.meta.txt", "batches.meta")
MAX_BYTES = 64 << 20
"""Of one file; those of the real thing have 31 MB."""
MAX_ALL = 256 << 20
"""Of all files together."""
MAX_META = 64 << 10
"""Of a file with the names of the classes."""

Records = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_cifar10(argument: str) -> Source:
    """The pictures in `PATH`. Raises `DataError` naming the file, the rule and what came."""
    path = Path(argument)
    files = _files(path)
    batches = {name: data for name, data in files.items() if name not in META}
    if any(name.endswith(".bin") for name in batches):
        batches = {name: data for name, data in batches.items() if name.endswith(".bin")}
    if not batches:
        raise DataError(
            f"{path}: CIFAR-10 is data_batch_1.bin … data_batch_5.bin and test_batch.bin, or the same names without "
            f".bin; there are none. For pictures in folders use imagefolder:PATH."
        )
    classes = _classes(path, files)
    pictures, labels = [], []
    rows: dict[str, list[NDArray[np.int64]]] = {}
    begin = 0
    for name in sorted(batches):
        read = _read_binary if name.endswith(".bin") else _read_pickle
        some, theirs = read(f"{path}: {name}", batches[name], len(classes))
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
    """The contents of those files that CIFAR-10 consists of, by name without folders."""
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
                if (BATCH.fullmatch(entry.name) or entry.name in META) and entry.is_file():
                    take(entry.name, read_bytes(entry, DataError, most := _most(entry.name)), most)
        except OSError as problem:
            raise DataError(f"{problem.filename}: cannot be read ({problem.strerror}).") from None
    elif path.is_file() and path.suffix == ".bin":
        take(path.name, read_bytes(path, DataError, MAX_BYTES), MAX_BYTES)
    elif path.is_file():
        for member in members(path):
            name = member.parts[-1] if member.parts else ""
            if not member.is_folder and (BATCH.fullmatch(name) or name in META):
                take(name, member.read((most := _most(name)) + 1), most)
    else:
        raise DataError(f"{path}: no such folder or file. CIFAR-10 is given as cifar10:PATH.")
    return files


def _most(name: str) -> int:
    return MAX_META if name in META else MAX_BYTES


def _read_binary(place: str, data: bytes, classes: int) -> Records:
    if not data or len(data) % (1 + PIXELS):
        raise DataError(f"{place}: records of {1 + PIXELS:,} bytes each, got {len(data):,} bytes. Get the file anew.")
    records = np.frombuffer(data, np.uint8).reshape(-1, 1 + PIXELS)
    return _pictures(records[:, 1:]), _labels(place, records[:, 0].astype(np.int64), classes)


def _read_pickle(place: str, data: bytes, classes: int) -> Records:
    """A batch of the Python version: a dictionary with `data` uint8[N, 3072] and `labels`."""
    batch = _records(place, data)
    pixels, labels = (batch.get(key, batch.get(key.encode())) for key in ("data", "labels"))
    if not isinstance(pixels, Bytes) or not isinstance(labels, list):
        keys = printable(", ".join(map(str, batch)))
        raise DataError(f"{place}: a batch has an array `data` and a list `labels`, got {keys or 'nothing'}.")
    if pixels.shape != (len(labels), PIXELS) or not labels:
        raise DataError(f"{place}: `data` is {len(labels):,} rows of {PIXELS:,} bytes, got {pixels.shape}.")
    if not all(type(label) is int and 0 <= label < 1 << 31 for label in labels):
        raise DataError(f"{place}: labels are numbers from 0 to {classes - 1}.")
    pictures = np.frombuffer(pixels.data, np.uint8).reshape(pixels.shape)
    return _pictures(pictures), _labels(place, np.array(labels, dtype=np.int64), classes)


def _pictures(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


def _labels(place: str, labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    if len(beyond := np.flatnonzero((labels < 0) | (labels >= classes))):
        row = int(beyond[0])
        raise DataError(f"{place}: picture {row:,}: labels lie in 0..{classes - 1}, got {labels[row]}.")
    return labels


def _classes(path: Path, files: dict[str, bytes]) -> tuple[str, ...]:
    names: Any = CLASSES
    if META[0] in files:
        names = files[META[0]].decode("utf-8", "replace").split()
    elif META[1] in files:
        place = f"{path}: {META[1]}"
        meta = _records(place, files[META[1]])
        names = meta.get("label_names", meta.get(b"label_names"))
        if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
            raise DataError(f"{place}: `label_names` is a list of names; see docs/data.md.")
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]
    if len(names) != len(CLASSES) or len(set(names)) != len(names):
        raise DataError(f"{path}: CIFAR-10 has {len(CLASSES)} classes of different names, got {len(names)}.")
    return tuple(map(printable, names))


def _records(place: str, data: bytes) -> dict[Any, Any]:
    try:
        document = read_records(data)
    except NotRecords as problem:
        why = printable(str(problem))
        raise DataError(f"{place}: refused: not a pickle of CIFAR-10 ({why}). Get the file anew.") from None
    if not isinstance(document, dict):
        raise DataError(f"{place}: a pickle of CIFAR-10 holds a dictionary, got {type(document).__name__}.")
    return document

"""Store: decoded pictures, kept from one run to the next in `$XDG_CACHE_HOME/nas/data/<fingerprint>/`.

    train.npy, validation.npy, test.npy                          uint8[N, H, W, 3 or 1], read memory-mapped
    train-labels.npy, …                                          int64[N]
    about.json                                                   mean, std and what was broken

The folder gets its name when all of it is on the disk; until then it ends in `.part`, and whoever builds it holds
the lock beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nas.data.data import Split
from nas.data.decoding import decode_all, refuse_being_imported
from nas.data.pictures import View
from nas.data.source import Source
from nas.data.splits import Splits
from nas.errors import DataError
from nas.system.atomic import PART
from nas.system.files import read_json
from nas.system.teller import Teller
from nas.system.user_folders import NoHome, cache_folder

NAMES = ("train", "validation", "test")
SAMPLE = 10_000
"""Training pictures that mean and standard deviation are computed over."""
IN_MEMORY = 256 << 20
"""Bytes up to which pictures that come as arrays are fitted at each start rather than kept on the disk."""

Colours = Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]


class About(BaseModel):
    """What the store knows besides pictures and labels."""

    model_config = ConfigDict(extra="forbid")

    mean: Colours
    std: Colours
    broken: int = Field(ge=0)
    """Pictures that were left out."""
    first_broken: str = ""
    """The first of them, and why."""


@dataclass(frozen=True)
class Stored:
    """Three splits of pictures of one size."""

    splits: tuple[Split, Split, Split]
    about: About


class _Memory:
    """Where the pictures of a split are put, row by row; `finish` gives those of some rows only."""

    def __init__(self, count: int, view: View) -> None:
        self.pictures = np.empty((count, *view.stored), np.uint8)

    def put(self, row: int, picture: NDArray[np.uint8]) -> None:
        self.pictures[row] = picture

    def finish(self, kept: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pictures if len(kept) == len(self.pictures) else self.pictures[kept]


class _File:
    """The same as an .npy file, written rather than mapped: on a full disk a write fails, a map ends the process."""

    def __init__(self, file: BinaryIO, count: int, view: View) -> None:
        self.file, self.shape = file, (count, *view.stored)
        self.begin = self._head(count)

    def put(self, row: int, picture: NDArray[np.uint8]) -> None:
        self.file.seek(self.begin + row * picture.nbytes)
        self.file.write(np.ascontiguousarray(picture).data)

    def finish(self, kept: NDArray[np.int64]) -> NDArray[np.uint8]:
        if len(kept) < self.shape[0]:
            size = int(np.prod(self.shape[1:]))
            for row, old in enumerate(kept.tolist()):  # never behind: row <= old
                self.file.seek(self.begin + old * size)
                picture = self.file.read(size)
                self.file.seek(self.begin + row * size)
                self.file.write(picture)
            self.file.truncate(self.begin + len(kept) * size)
            assert self._head(len(kept)) == self.begin
        self.file.flush()
        os.fsync(self.file.fileno())
        return np.load(self.file.name, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def _head(self, count: int) -> int:
        self.file.seek(0)
        head = {"descr": "|u1", "fortran_order": False, "shape": (count, *self.shape[1:])}
        np.lib.format.write_array_header_1_0(self.file, head)
        return self.file.tell()


def stored(
    source: Source, splits: Splits, view: View, fingerprint: str, *, skip_broken: bool, teller: Teller
) -> Stored:
    """The source's pictures at one size: from the disk, or decoded and kept there, or in memory where that is full."""
    rows = (splits.train, splits.validation, splits.test)
    total = sum(map(len, rows)) * prod(view.stored)  # bytes
    if source.one_size and total <= IN_MEMORY:
        return _fill(source, rows, view, [_Memory(len(part), view) for part in rows], skip_broken, teller, True)
    refuse_being_imported()
    where = ""
    try:
        folder = cache_folder() / "data" / fingerprint[:32]
        where = f"{folder.parent}: "
        found = _read(folder, view, len(source.classes))
        if found is None:
            with _locked(folder):
                found = _read(folder, view, len(source.classes))
                if found is None:
                    _make_room(folder, total, teller)
                    found = _write(folder, source, rows, view, skip_broken, teller)
    except (OSError, NoHome) as problem:
        if total > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            raise DataError(f"{total:,} bytes of pictures fit neither the disk nor the memory. Free some.") from None
        why = "HOME is not set" if isinstance(problem, NoHome) else problem.strerror or problem.args[-1]
        teller.say(f"{where}decoded pictures cannot be kept ({why}); they stay in memory for this run.")
        canvases = [_Memory(len(part), view) for part in rows]
        return _fill(source, rows, view, canvases, skip_broken, teller)
    if found.about.broken and not skip_broken:
        raise _broken(found.about.first_broken, found.about.broken)
    return found


def _fill(
    source: Source,
    rows: tuple[NDArray[np.int64], ...],
    view: View,
    canvases: Sequence[_Memory | _File],
    skip_broken: bool,
    teller: Teller,
    alone: bool = False,
) -> Stored:
    """Decode every picture into its row of its split's canvas. A broken one is an error, or is left out."""
    canvas_of = np.zeros(len(source.labels), np.int64)
    row_of = np.zeros(len(source.labels), np.int64)
    for number, part in enumerate(rows):
        canvas_of[part], row_of[part] = number, np.arange(len(part))
    broken: dict[int, str] = {}
    done, total = 0, len(source.labels)
    with closing(decode_all(source, view, alone=alone)) as chunks:
        for decoded in chunks:
            broken |= decoded.broken
            if broken and not skip_broken:
                first = min(broken)
                raise _broken(f"{source.title(first)}: {broken[first]}", len(broken))
            for index, picture in zip(decoded.rows, decoded.pictures, strict=True):
                canvases[canvas_of[index]].put(int(row_of[index]), picture)
            done += len(decoded.rows) + len(decoded.broken)
            teller.progress(done, total, "pictures")
    if done != total:
        raise DataError(f"{source.title(0)}: the pictures changed while they were read. Start again.")
    whole = np.ones(total, bool)
    whole[list(broken)] = False
    _check_classes(source, rows, whole)
    kept = [np.flatnonzero(whole[part]) for part in rows]
    splits = [
        Split(canvas.finish(keep), source.labels[part[keep]])
        for canvas, part, keep in zip(canvases, rows, kept, strict=True)
    ]
    mean, std = _statistics(splits[0].pictures[:SAMPLE])
    first_broken = f"{source.title(min(broken))}: {broken[min(broken)]}" if broken else ""
    about = About(mean=mean, std=std, broken=len(broken), first_broken=first_broken)
    return Stored((splits[0], splits[1], splits[2]), about)


def _broken(first: str, count: int) -> DataError:
    more = f" ({count:,} broken pictures so far.)" if count > 1 else ""
    return DataError(f"{first}. Mend or remove the picture, or leave broken ones out with --skip-broken.{more}")


def _check_classes(source: Source, rows: tuple[NDArray[np.int64], ...], whole: NDArray[np.bool_]) -> None:
    """A class of which every training picture is broken is an error, and so is a split without any."""
    counts = np.bincount(source.labels[rows[0][whole[rows[0]]]], minlength=len(source.classes))
    if not counts.all():
        label = int(np.argmin(counts))
        first = source.title(int(rows[0][source.labels[rows[0]] == label].min()))
        raise DataError(f"{first}: like every training picture of the class {source.classes[label]!r}, it is broken.")
    for name, part in zip(NAMES, rows, strict=True):
        if len(part) and not whole[part].any():
            raise DataError(f"{source.title(int(part.min()))}: like every picture of {name}, it is broken.")


def _statistics(pictures: NDArray[np.uint8]) -> tuple[Colours, Colours]:
    """Mean and standard deviation by colour, on the scale 0 to 1."""
    counts = np.zeros((pictures.shape[3], 256), np.int64)
    for begin in range(0, len(pictures), 100):
        part = np.asarray(pictures[begin : begin + 100])
        for colour in range(len(counts)):
            counts[colour] += np.bincount(part[..., colour].ravel(), minlength=256)
    levels = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    std = np.sqrt(np.maximum(share @ levels**2 - mean**2, 0))
    return tuple(mean.tolist()), tuple(np.maximum(std, 1e-3).tolist())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process builds; others wait for it, and then find what it built."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_room(folder: Path, total: int, teller: Teller) -> None:
    """Remove what is damaged, and what a killed process began: we hold the lock. `OSError` for want of room."""
    if folder.exists():
        teller.say(f"{folder}: the pictures kept there are damaged; they are decoded again.")
        shutil.rmtree(folder)
    if folder.with_suffix(PART).exists():
        shutil.rmtree(folder.with_suffix(PART))
    if (free := shutil.disk_usage(folder.parent).free) < total:
        raise OSError(None, f"they are {total:,} bytes, {free:,} are free")


def _write(
    folder: Path,
    source: Source,
    rows: tuple[NDArray[np.int64], ...],
    view: View,
    skip_broken: bool,
    teller: Teller,
) -> Stored:
    part = folder.with_suffix(PART)
    part.mkdir()
    try:
        with ExitStack() as stack:
            files = [stack.enter_context((part / f"{name}.npy").open("w+b")) for name in NAMES]
            canvases = [_File(file, len(each), view) for file, each in zip(files, rows, strict=True)]
            built = _fill(source, rows, view, canvases, skip_broken, teller)
        for name, each in zip(NAMES, built.splits, strict=True):
            np.save(part / f"{name}-labels.npy", each.labels, allow_pickle=False)
        (part / "about.json").write_text(json.dumps(built.about.model_dump()))
        for path in part.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        os.rename(part, folder)
        return built
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _read(folder: Path, view: View, classes: int) -> Stored | None:
    """What was kept; None where nothing was, or where it is damaged."""
    try:
        about = About.model_validate(read_json(folder / "about.json", DataError))
        train, validation, test = (_read_split(folder, name, view, classes) for name in NAMES)
        return Stored((train, validation, test), about)
    except (DataError, ValueError, OSError, EOFError):
        return None


def _read_split(folder: Path, name: str, view: View, classes: int) -> Split:
    pictures = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / f"{name}-labels.npy", allow_pickle=False)
    if pictures.dtype != np.uint8 or pictures.shape != (len(labels), *view.stored):
        raise ValueError("pictures")
    if labels.dtype != np.int64 or labels.ndim != 1 or ((labels < 0) | (labels >= classes)).any():
        raise ValueError("labels")
    return Split(pictures, labels)

"""`imagefolder:PATH`: a folder or a tar archive with a folder of pictures for each class.

    train/cat/1.jpg  train/dog/1.jpg  test/cat/2.jpg …  splits, then classes; `val` as well, or instead of `test`
    cat/1.jpg  dog/1.jpg …                              classes only: the splits are made by seed

A single folder at the top is looked through. Pictures may lie deeper below their class; hidden names are passed over.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import numpy as np

from nas.data.archive import members
from nas.data.member import MAX_DEPTH, MAX_MEMBERS
from nas.data.pictures import MAX_PICTURE_BYTES, SUFFIXES
from nas.data.source import Encoded, Source
from nas.data.splits import SPELLINGS, named_parts
from nas.errors import DataError
from nas.system.text import printable

MAX_FOLDERS = 1_000_000

Name = tuple[str, ...]


@dataclass
class _Listing:
    """What lies in a folder or an archive."""

    pictures: dict[Name, tuple[int, float, int]] = field(default_factory=dict)
    """Size in bytes, time of change, and the position among the archive's members."""
    folders: set[Name] = field(default_factory=set)
    others: int = 0
    """Files that are no pictures by their names."""
    outside: int = 0
    """Members of an archive whose names lead out of it."""

    def add(self, name: Name, size: int, modified: float, position: int) -> None:
        """Take note of a file."""
        if _hidden(name):
            return
        if not name[-1].lower().endswith(SUFFIXES):
            self.others += 1
            return
        if len(name) > MAX_DEPTH:
            raise DataError(f"folders are at most {MAX_DEPTH} deep, {printable('/'.join(name), 40)}… lies deeper.")
        self.pictures[name] = (size, modified, position)  # of members with one name the last counts, as for tar
        self.folders.update(name[:depth] for depth in range(1, len(name)))
        if len(self.folders) > MAX_FOLDERS:
            raise DataError(f"at most {MAX_FOLDERS:,} folders hold pictures, here are more.")


def load_imagefolder(argument: str) -> Source:
    """The pictures below `PATH`. Raises `DataError` naming the path, the rule and what came."""
    path = Path(argument)
    if path.is_dir():
        listing = _list_folder(path)
    elif path.is_file():
        listing = _list_archive(path)
    else:
        raise DataError(f"{path}: no such folder or archive. Pictures are given as imagefolder:PATH.")
    if not listing.pictures:
        kinds = f" ({listing.others:,} other files)" if listing.others else ""
        raise DataError(f"{path}: no pictures ({', '.join(SUFFIXES)}){kinds}. See docs/data.md for the layout.")
    return _source(path, listing)


def _list_folder(path: Path) -> _Listing:
    listing, positions = _Listing(), count()

    def walk(folder: Path, name: Name, above: tuple[tuple[int, int], ...]) -> None:
        status = folder.stat()
        own = (status.st_dev, status.st_ino)
        if own in above:  # a link to a folder that it lies in
            return
        if name and not _hidden(name):
            listing.folders.add(name)
        for entry in sorted(os.listdir(folder)):
            inner = (*name, entry)
            try:
                status = (folder / entry).stat()
            except FileNotFoundError:  # a link to nowhere
                continue
            if S_ISDIR(status.st_mode):
                walk(folder / entry, inner, (*above, own))
            elif S_ISREG(status.st_mode):
                listing.add(inner, status.st_size, status.st_mtime, next(positions))
            if len(listing.pictures) > MAX_MEMBERS:
                raise DataError(f"{path}: at most {MAX_MEMBERS:,} pictures are read, this folder has more.")

    try:
        walk(path, (), ())
    except OSError as problem:
        raise DataError(f"{problem.filename}: cannot be read ({problem.strerror}).") from None
    except RecursionError:
        raise DataError(f"{path}: the folders are nested too deep.") from None
    return listing


def _list_archive(path: Path) -> _Listing:
    listing = _Listing()
    for position, member in enumerate(members(path)):
        if not member.parts:
            listing.outside += not member.is_folder
        elif not member.is_folder:
            listing.add(member.parts, member.size, member.modified, position)
        elif not _hidden(member.parts):
            listing.folders.add(member.parts)
    return listing


def _source(path: Path, listing: _Listing) -> Source:
    top = _top(listing)
    names = sorted(listing.pictures)
    folders = sorted(name[top:] for name in listing.folders if len(name) > top)
    heads = sorted({name[0] for name in folders})
    notes = _remarks(listing)
    if not heads:
        raise DataError(f"{path}: pictures lie in a folder for each class, such as train/cat/1.jpg; there are none.")
    if any(name[0] == "train" and len(name) > 1 for name in folders) or set(heads) <= set(SPELLINGS):
        parts, remarks = named_parts([head for head in heads if head in SPELLINGS], str(path))
        notes += remarks
        if extra := [head for head in heads if head not in SPELLINGS]:
            notes += (f"Folders beside `train` that are no splits were passed over: {_some(extra)}.",)
        depth = 1
    else:
        parts, depth = {"": "train"}, 0
    rows: dict[str, list[int]] = {part: [] for part in parts.values()}
    classes = _classes(path, folders, parts, depth)
    index = {name: number for number, name in enumerate(classes)}
    kept: list[Name] = []
    labels: list[int] = []
    loose = 0
    for name in names:
        inner = name[top:]
        part = parts.get(inner[0] if depth and inner else "")
        if part is None or len(inner) < depth + 2:
            loose += 1
            continue
        if inner[depth] not in index:
            raise DataError(
                f"{path}: {printable('/'.join(name))}: the class {printable(inner[depth])!r} of {part} has no pictures "
                f"in train. Classes are the same in every split: add some, or remove it."
            )
        rows[part].append(len(kept))
        kept.append(name)
        labels.append(index[inner[depth]])
    if loose:
        notes += (f"{loose:,} pictures that lie in no class's folder were passed over.",)
    for part in [part for part in rows if not rows[part]]:
        raise DataError(f"{path}: no pictures in {part}. Add some, or remove its folder.")
    return Source(
        classes=tuple(map(printable, classes)),
        labels=np.array(labels, dtype=np.int64),
        parts={part: np.array(numbers, dtype=np.int64) for part, numbers in rows.items()},
        read=_archive_reader(path, listing, kept)
        if path.is_file()
        else lambda: enumerate(path.joinpath(*n) for n in kept),
        title=lambda row: f"{path}: {printable('/'.join(kept[row]))}",
        fingerprint=_fingerprint(listing, kept, top),
        notes=notes,
    )


def _top(listing: _Listing) -> int:
    """How many single folders lie above the splits or classes."""
    top = 0
    while True:
        heads = {name[top] for name in listing.folders if len(name) > top}
        below = {len(name) - top for name in listing.pictures if len(name) > top}
        if len(heads) != 1 or heads <= set(SPELLINGS) or max(below) < 3:
            return top
        top += 1


def _classes(path: Path, folders: list[Name], parts: dict[str, str], depth: int) -> list[str]:
    """Folders of classes in train, in order of their names."""
    train = next(name for name, part in parts.items() if part == "train")
    inside = [name for name in folders if len(name) == depth + 1 and (not depth or name[0] == train)]
    classes = sorted({name[depth] for name in inside})
    if not classes:
        raise DataError(f"{path}: pictures lie in a folder for each class, such as train/cat/1.jpg; there are none.")
    return classes


def _remarks(listing: _Listing) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if listing.others:
        notes += (f"{listing.others:,} files that are no pictures by their names were passed over.",)
    if listing.outside:
        notes += (f"{listing.outside:,} members whose names lead out of the archive were passed over.",)
    return notes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(repr(printable(name)) for name in names[:5]) + more


def _hidden(name: Name) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name)


def _archive_reader(path: Path, listing: _Listing, names: list[Name]) -> Callable[[], Iterator[tuple[int, Encoded]]]:
    rows = {listing.pictures[name][2]: row for row, name in enumerate(names)}

    def read() -> Iterator[tuple[int, Encoded]]:
        for position, member in enumerate(members(path)):
            if position in rows:
                yield rows[position], member.read(MAX_PICTURE_BYTES + 1)

    return read


def _fingerprint(listing: _Listing, names: list[Name], top: int) -> str:
    """Over names, sizes and times, not contents: those of a large folder take minutes to read at every start."""
    digest = hashlib.sha256()
    for name in names:
        size, modified, _ = listing.pictures[name]
        digest.update(f"{'/'.join(name[top:])}\0{size}\0{int(modified)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()

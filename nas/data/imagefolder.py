"""`imagefolder:PATH`: a folder or an archive with a folder of pictures for each class.

    train/cat/1.jpg  train/dog/1.jpg  test/cat/2.jpg …  splits, then classes; `val` as well, or instead of `test`
    cat/1.jpg  dog/1.jpg …                              classes only: the splits are made by seed

A single folder at the top is looked through. Pictures may lie deeper below their class; hidden names are passed over.
listing.py has what lies there, layout.py what is a split and what a class, classes.py which names mean the same class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from nas.data.archive import members
from nas.data.classes import Classes
from nas.data.layout import Layout, find_layout
from nas.data.listing import Listing, Name, list_archive, list_folder
from nas.data.pictures import MAX_PICTURE_BYTES, SUFFIXES
from nas.data.source import Encoded, Source
from nas.data.splits import check_classes
from nas.errors import DataError
from nas.system.text import printable


def load_imagefolder(argument: str) -> Source:
    """The pictures below `PATH`. Raises `DataError` naming the path, the rule and what came."""
    path = Path(argument)
    if path.is_dir():
        listing = list_folder(path)
    elif path.is_file():
        listing = list_archive(path)
    else:
        raise DataError(f"{path}: no such folder or archive. Pictures are given as imagefolder:PATH.")
    if not listing.pictures:
        kinds = "" if listing.outside else f" ({', '.join(SUFFIXES)})"
        raise DataError(f"{path}: no pictures{kinds}. {' '.join(listing.notes) or 'See docs/data.md for the layout.'}")
    return _source(path, listing, find_layout(str(path), listing))


def _source(path: Path, listing: Listing, layout: Layout) -> Source:
    lost = "".join(f" {note}" for note in listing.notes)
    inside = [found for name in listing.folders if (found := layout.part_and_class((*name, "")))]
    classes = Classes(str(path), (name for part, name in inside if part == "train"))
    if not classes.names:
        raise DataError(f"{path}: pictures lie in a folder for each class, such as train/cat/1.jpg; there are none.")
    rows: dict[str, list[int]] = {part: [] for part in layout.parts.values() or ["train"]}
    kept: list[Name] = []
    labels: list[int] = []
    loose = 0
    for name in sorted(listing.pictures):
        if (found := layout.part_and_class(name)) is None:
            loose += 1
            continue
        part, written = found
        if (number := classes.find(written)) is None:
            raise classes.unknown(written, part, printable("/".join(name)))
        labels.append(number)
        rows[part].append(len(kept))
        kept.append(name)
    notes = listing.notes + layout.notes + classes.notes
    if loose:
        notes += (f"{loose:,} pictures that lie in no class's folder were passed over.",)
    for part in [part for part in rows if not rows[part]]:
        raise DataError(f"{path}: no pictures in {part}. Add some, or remove its folder.{lost}")
    numbers = np.array(labels, dtype=np.int64)
    names = tuple(map(printable, classes.names))
    check_classes(str(path), names, np.bincount(numbers[rows["train"]], minlength=len(names)), lost)
    return Source(
        classes=names,
        labels=numbers,
        parts={part: np.array(some, dtype=np.int64) for part, some in rows.items()},
        read=_archive_reader(path, listing, kept)
        if path.is_file()
        else lambda: enumerate(path.joinpath(*n) for n in kept),
        title=lambda row: f"{path}: {printable('/'.join(kept[row]))}",
        fingerprint=_fingerprint(listing, kept, layout, classes),
        notes=notes,
    )


def _archive_reader(path: Path, listing: Listing, names: list[Name]) -> Callable[[], Iterator[tuple[int, Encoded]]]:
    rows = {listing.pictures[name][2]: row for row, name in enumerate(names)}

    def read() -> Iterator[tuple[int, Encoded]]:
        for position, member in enumerate(members(path)):
            if position in rows:
                yield rows[position], member.read(MAX_PICTURE_BYTES + 1)

    return read


def _fingerprint(listing: Listing, names: list[Name], layout: Layout, classes: Classes) -> str:
    """Over names, sizes and times, not contents: those of a large folder take minutes to read at every start.

    What was always read as it is now has the fingerprint that it always had.
    """
    digest = hashlib.sha256()
    for name in names:
        size, modified, _ = listing.pictures[name]
        digest.update(f"{'/'.join(name[layout.top :])}\0{size}\0{int(modified)}\n".encode("utf-8", "surrogateescape"))
    if layout.unusual or classes.merged:
        digest.update(repr((layout.unusual, classes.merged)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()

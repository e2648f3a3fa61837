"""Listing: what lies in a folder or an archive, by names alone. Hidden names are passed over."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from nas.data.archive import members
from nas.data.member import MAX_DEPTH, MAX_MEMBERS
from nas.data.pictures import SUFFIXES
from nas.errors import DataError
from nas.system.text import printable

MAX_FOLDERS = 1_000_000

Name = tuple[str, ...]


@dataclass
class Listing:
    """Pictures, and the folders that hold files."""

    pictures: dict[Name, tuple[int, float, int]] = field(default_factory=dict)
    """Size in bytes, time of change, and the position among the archive's members."""
    folders: set[Name] = field(default_factory=set)
    others: Counter[str] = field(default_factory=Counter)
    """Files that are no pictures by their names, by how these end."""
    outside: list[str] = field(default_factory=list)
    """Files of an archive whose names lead out of it."""

    def add(self, name: Name, size: int, modified: float, position: int) -> None:
        """Take note of a file."""
        if hidden(name):
            return
        picture = name[-1].lower().endswith(SUFFIXES)
        if not picture:
            self.others[Path(name[-1]).suffix.lower()] += 1
        elif len(name) > MAX_DEPTH:
            raise DataError(f"folders are at most {MAX_DEPTH} deep, {printable('/'.join(name), 40)}… lies deeper.")
        else:
            self.pictures[name] = (size, modified, position)  # of members with one name the last counts, as for tar
        self.folders.update(name[:depth] for depth in range(1, min(len(name), MAX_DEPTH)))
        if len(self.folders) > MAX_FOLDERS:
            raise DataError(f"at most {MAX_FOLDERS:,} folders hold pictures, here are more.")

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over, and why."""
        notes: tuple[str, ...] = ()
        if self.others:
            kinds = ", ".join(
                f"{number:,} {printable(end, 12) or 'without any'}" for end, number in self.others.most_common(5)
            )
            notes += (f"{self.others.total():,} files that are no pictures by their names were passed over: {kinds}.",)
        if self.outside:
            notes += (
                f"{len(self.outside):,} members whose names lead out of the archive were passed over, such as "
                f"{printable(self.outside[0], 60)!r}; make it anew without -P, a zip with relative names.",
            )
        return notes


def list_folder(path: Path) -> Listing:
    """What lies below a folder, links followed. Raises `DataError`."""
    listing, positions = Listing(), count()

    def walk(folder: Path, name: Name, above: tuple[tuple[int, int], ...]) -> None:
        status = folder.stat()
        own = (status.st_dev, status.st_ino)
        if own in above:  # a link to a folder that it lies in
            return
        if name and not hidden(name):
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


def list_archive(path: Path) -> Listing:
    """What lies in an archive. Raises `DataError`."""
    listing = Listing()
    for position, member in enumerate(members(path)):
        if not member.parts:
            if not member.is_folder:
                listing.outside.append(member.name)
        elif not member.is_folder:
            listing.add(member.parts, member.size, member.modified, position)
        elif not hidden(member.parts):
            listing.folders.add(member.parts)
    return listing


def hidden(name: Name) -> bool:
    """Whether a name, or a folder above it, is hidden."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name)

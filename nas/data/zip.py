"""Zip archives, in the order of their directories. Members that are no plain files (links) are passed over.

Stored and deflated members are read: of the other methods, `zipfile` sets no bound on what a few bytes unpack to.
"""

from __future__ import annotations

import zipfile
from calendar import timegm
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from stat import S_IFDIR, S_IFMT, S_IFREG
from typing import BinaryIO, cast

from nas.data.member import Bounded, Bounds, Member, whole
from nas.errors import DataError
from nas.system.text import printable

MARKS = (b"PK\x03\x04", b"PK\x05\x06")
"""What a zip begins with; the second has no members."""
ENCRYPTED, UTF8 = 1, 0x800
"""Flags of a member."""
DOS_FOLDER = 0x10


def zip_members(path: Path, raw: BinaryIO, bounds: Bounds) -> Iterator[Member]:
    """The plain files and folders of a zip. Raises what `whole` tells, and `DataError` for what is not read."""
    with zipfile.ZipFile(cast(BinaryIO, Bounded(raw))) as archive:
        for info in archive.infolist():
            name = _name(info)
            parts = bounds.take(name, info.file_size)
            if S_IFMT(info.external_attr >> 16) not in (0, S_IFREG, S_IFDIR):
                continue
            is_folder = name.endswith("/") or bool(info.external_attr & DOS_FOLDER)
            if info.flag_bits & ENCRYPTED:
                raise DataError(f"{path}: {printable(name)} is encrypted. Unpack the archive with its password.")
            if not is_folder and info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{path}: members are stored or deflated, {printable(name)} is not. Unpack it.")
            yield Member(parts, name, is_folder, info.file_size, _modified(info), partial(_read, path, archive, info))


def _name(info: zipfile.ZipInfo) -> str:
    """Its name; Macs write UTF-8 without saying so, and some programs on Windows `\\` between folders."""
    name = info.filename
    if not info.flag_bits & UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name if "/" in name else name.replace("\\", "/")


def _modified(info: zipfile.ZipInfo) -> float:
    """A zip knows no time zone: equal everywhere is what counts."""
    try:
        return float(timegm((*info.date_time, 0, 0, 0)))
    except ValueError:  # a month of 0
        return 0.0


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    with whole(path), archive.open(info) as file:
        return file.read(most)

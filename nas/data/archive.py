"""Tar archives, gzipped or not: read member by member, from first to last. Nothing is extracted.

Names of members are names, never paths: members that are no plain files (links, devices) are passed over, and so are
names that lead out of the archive.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from nas.errors import DataError
from nas.system.files import open_plain
from nas.system.text import printable

MAX_MEMBERS = 2_000_000
MAX_NAME = 4_096
"""Letters of a member's name."""
MAX_NAMES = 256 << 20
"""Letters of all names together."""
MAX_DEPTH = 32
"""Folders within each other."""
MAX_READ = 65 << 20
"""Bytes that are read at once: a picture of the largest kind, or what `tarfile` takes for a header of its own."""
SPARE, MOST_PACKED = 1 << 30, 100
"""An archive may say that it unpacks to so many bytes and to so many times its size, and not to more."""
GZIP = b"\x1f\x8b"


class Member(NamedTuple):
    """A file or a folder of an archive."""

    parts: tuple[str, ...]
    """Its name, split at `/`; empty for a name that leads out of the archive."""
    is_folder: bool
    size: int
    modified: float
    """Seconds since 1970."""
    read: Callable[[int], bytes]
    """Its first so many bytes; good until the next member is asked for."""


class _Ended:
    """A file that remembers its last read: at the end of a whole archive a block of zeros."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self.last = self.file.read(size)
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def members(path: Path) -> Iterator[Member]:
    """The plain files and folders of an archive, in its order. Raises `DataError` where it is cut short or damaged."""
    with _whole(path), open_plain(path) as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        ended = _Ended(file)
        with tarfile.open(fileobj=cast(BinaryIO, ended), mode="r:") as archive:
            yield from _plain(path, archive, SPARE + MOST_PACKED * os.fstat(raw.fileno()).st_size)
        if ended.last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end mark is missing")
        while file.read(1 << 20):  # to where gzip holds its checksum against what was read
            pass


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Whatever shows that an archive is not whole, as a `DataError`."""
    damaged = f"{path}: the archive is damaged or cut short"
    try:
        yield
    except tarfile.TarError as problem:
        raise DataError(f"{damaged}, or no tar or tar.gz ({problem}). Get it anew, or unpack it.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise DataError(f"{damaged} ({problem}). Get it anew.") from None
    except (ValueError, OverflowError, RecursionError, MemoryError) as problem:  # of tarfile, over a made-up header
        raise DataError(f"{damaged} ({type(problem).__name__} at one of its headers).") from None
    except OSError as problem:
        raise DataError(f"{path}: cannot be read ({problem.strerror}).") from None


def _plain(path: Path, archive: tarfile.TarFile, most: int) -> Iterator[Member]:
    count, letters, size = 0, 0, 0
    while (member := archive.next()) is not None:
        count, letters, size = count + 1, letters + len(member.name), size + member.size
        if count > MAX_MEMBERS:
            raise DataError(f"{path}: at most {MAX_MEMBERS:,} members are read, this archive has more.")
        if len(member.name) > MAX_NAME or letters > MAX_NAMES:
            raise DataError(f"{path}: a name has at most {MAX_NAME:,} letters, all names {MAX_NAMES:,}; this has more.")
        if member.name.count("/") > MAX_DEPTH:
            raise DataError(f"{path}: folders are at most {MAX_DEPTH} deep, {printable(member.name, 40)}… lies deeper.")
        if member.size < 0:  # the next header would be an earlier one
            raise tarfile.ReadError("a member has less than no bytes")
        if size > most:
            raise DataError(
                f"{path}: an archive unpacks to at most {SPARE:,} bytes and {MOST_PACKED} times its size, "
                f"this one says {size:,} bytes. Unpack it yourself if you trust it."
            )
        if member.isfile() or member.isdir():
            read = partial(_contents, path, archive, member)
            modified = float(member.mtime) if 0 <= member.mtime < 2**40 else 0.0  # it may be no number at all
            yield Member(_parts(member.name), member.isdir(), member.size, modified, read)
        archive.members.clear()  # type: ignore[attr-defined]  # a kilobyte each otherwise


def _contents(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    with _whole(path):
        file = archive.extractfile(member)
        assert file is not None, member.name
        return file.read(most)


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    return () if name.startswith("/") or ".." in parts else parts

"""What lies in an archive, and how much of it is believed.

Names of members are names, never paths: a name that leads out of the archive has no parts, and is passed over.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nas.errors import DataError
from nas.system.text import printable

MAX_MEMBERS = 2_000_000
MAX_NAME = 4_096
"""Letters of a member's name."""
MAX_NAMES = 256 << 20
"""Letters of all names together."""
MAX_DEPTH = 32
"""Folders within each other."""
MAX_READ = 65 << 20
"""Bytes that are read at once: a picture of the largest kind, a header of `tarfile`'s own, the directory of a zip."""
SPARE, MOST_PACKED = 1 << 30, 100
"""An archive may say that it unpacks to so many bytes and to so many times its size, and not to more."""
KINDS = "tar, tar.gz, tar.bz2, tar.xz or zip"


class Member(NamedTuple):
    """A file or a folder of an archive."""

    parts: tuple[str, ...]
    """Its name, split at `/`; empty for a name that leads out of the archive."""
    name: str
    """The same as it stands there."""
    is_folder: bool
    size: int
    modified: float
    """Seconds since 1970."""
    read: Callable[[int], bytes]
    """Its first so many bytes; good until the next member is asked for."""


class Bounds:
    """What an archive says of itself, member by member, held against what is believed."""

    def __init__(self, path: Path, size: int) -> None:
        """`size` is that of its file, in bytes."""
        self.path = path
        self.most = SPARE + MOST_PACKED * size
        self.count = self.letters = self.unpacked = 0

    def take(self, name: str, size: int) -> tuple[str, ...]:
        """The parts of a member's name. Raises `DataError` where it, or the archive with it, is past a bound."""
        self.count, self.letters, self.unpacked = self.count + 1, self.letters + len(name), self.unpacked + size
        if self.count > MAX_MEMBERS:
            raise DataError(f"{self.path}: at most {MAX_MEMBERS:,} members are read, this archive has more.")
        if len(name) > MAX_NAME or self.letters > MAX_NAMES:
            raise DataError(
                f"{self.path}: a name has at most {MAX_NAME:,} letters, all names {MAX_NAMES:,}; this has more."
            )
        if name.count("/") > MAX_DEPTH:
            raise DataError(f"{self.path}: folders are at most {MAX_DEPTH} deep, {printable(name, 40)}… lies deeper.")
        if self.unpacked > self.most:
            raise DataError(
                f"{self.path}: an archive unpacks to at most {SPARE:,} bytes and {MOST_PACKED} times its size, "
                f"this one says {self.unpacked:,} bytes. Unpack it yourself if you trust it."
            )
        parts = tuple(part for part in name.split("/") if part not in {"", "."})
        return () if name.startswith("/") or ".." in parts else parts


class Bounded:
    """A file that is not asked for more than a bound at once, and remembers its last read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if size <= MAX_READ:
            self.last = self.file.read(size if size >= 0 else MAX_READ + 1)
        if max(size, len(self.last)) > MAX_READ:
            raise tarfile.ReadError(f"a header of {max(size, len(self.last)):,} bytes")
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Whatever shows that an archive is not whole, as a `DataError`."""
    damaged = f"{path}: the archive is damaged or cut short"
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile) as problem:
        raise DataError(f"{damaged}, or no {KINDS} ({printable(str(problem))}). Get it anew, or unpack it.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as problem:
        raise DataError(f"{damaged} ({problem}). Get it anew.") from None
    except (ValueError, OverflowError, RuntimeError, MemoryError, struct.error) as problem:  # over a made-up header
        raise DataError(f"{damaged} ({type(problem).__name__} at one of its headers). Get it anew.") from None
    except OSError as problem:
        if problem.errno is None:  # of bz2, over the data
            raise DataError(f"{damaged} ({problem}). Get it anew.") from None
        raise DataError(f"{path}: cannot be read ({problem.strerror}).") from None

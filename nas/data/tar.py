"""Tar archives, packed by gzip, bzip2 or xz or not at all, from first to last.

Members that are no plain files (links, devices) are passed over.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from nas.data.member import Bounded, Bounds, Member, whole

CHUNK = 1 << 16
MAX_XZ = 128 << 20
"""Bytes of memory that xz may ask for; its own `-9` needs 65 MB."""


class _Xz(io.RawIOBase):
    """What an .xz file unpacks to, read forward; `lzma.LZMAFile` sets no bound on memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.place = 0
        self.unpacker = self._begun()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence or offset < self.place:
            raise io.UnsupportedOperation("xz is read forward")
        while self.place < offset and self.read(min(CHUNK, offset - self.place)):
            pass
        return self.place

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            if self.unpacker.eof:  # another stream may follow, after zeros
                rest = (self.unpacker.unused_data or self.file.read(CHUNK)).lstrip(b"\0")
                if not rest:
                    return 0
                self.unpacker = self._begun()
            else:
                rest = self.file.read(CHUNK) if self.unpacker.needs_input else b""
                if self.unpacker.needs_input and not rest:
                    raise EOFError("it ends within a block")
            data = self.unpacker.decompress(rest, len(buffer))
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)

    @staticmethod
    def _begun() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ)


PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lambda file: io.BufferedReader(_Xz(file)),
}
"""What a file begins with → what unpacks it as it is read."""


def tar_members(path: Path, raw: BinaryIO, bounds: Bounds) -> Iterator[Member]:
    """The plain files and folders of a tar, in its order. Raises what `whole` tells."""
    head = raw.read(8)
    raw.seek(0)
    file = next((unpack(raw) for mark, unpack in PACKED.items() if head.startswith(mark)), raw)
    bounded = Bounded(cast(BinaryIO, file))
    with tarfile.open(fileobj=cast(BinaryIO, bounded), mode="r:") as archive:
        while (member := archive.next()) is not None:
            parts = bounds.take(member.name, max(0, member.size))
            if member.size < 0:  # the next header would be an earlier one
                raise tarfile.ReadError("a member has less than no bytes")
            if member.isfile() or member.isdir():
                read = partial(_contents, path, archive, member)
                modified = float(member.mtime) if 0 <= member.mtime < 2**40 else 0.0  # it may be no number at all
                yield Member(parts, member.name, member.isdir(), member.size, modified, read)
            archive.members.clear()  # type: ignore[attr-defined]  # a kilobyte each otherwise
    if bounded.last != bytes(tarfile.BLOCKSIZE):  # the block of zeros at the end of a whole archive
        raise tarfile.ReadError("its end mark is missing")
    for _ in range(bounds.most >> 20):  # to where gzip, bzip2 and xz hold checksums against what was read
        if not file.read(1 << 20):
            return
    raise tarfile.ReadError("it goes on behind its end mark")


def _contents(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    with whole(path):
        file = archive.extractfile(member)
        assert file is not None, member.name
        return file.read(most)

"""LedgerFile: a ledger as it lies on disk, a block a batch, and its rows read back from there.

A line of JSON names the format, the width D of a genotype and the measured columns. Then comes one block a batch:
`NASB`, counts, a CRC-32, the new genotypes `uint8[n, D]`, their measures `float64[n, C]`, and, where the batch asked
for genotypes known before, the row of each one asked `int64[m]`. A block that a crash cut short fails its checksum;
it and what follows count as not there.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nas.errors import RunError
from nas.system.files import open_plain

FORMAT = "nas-ledger/1"
MAX_BATCH = 1_000_000
"""Rows of a block."""
STRETCH = 65_536
"""Rows that are looked at together where all are."""

Rows = NDArray[np.int64]
Measures = dict[str, NDArray[np.float64]]
"""The measured columns by name, each `float64[N]`."""

_HEAD = struct.Struct("<4sIIII")  # mark, batch, new rows, rows asked (0: the new ones in order), CRC-32 of the rest
_MARK = b"NASB"


@dataclass(frozen=True, slots=True)
class Block:
    """One batch of a run: `new` rows from `first_row` on, and `asked` rows, 0 where those are the new ones in order."""

    start: int
    """Of its genotypes in the file, in bytes."""
    first_row: int
    new: int
    asked: int


@dataclass(frozen=True)
class Content:
    """What a block holds: genotypes `uint8[new, D]`, measures `float64[new, C]`, rows asked `int64[asked]`."""

    genotypes: NDArray[np.uint8]
    table: NDArray[np.float64]
    asked: Rows


class LedgerFile:
    """Rows by number, in the order of evaluation. Only where each block lies stays in memory."""

    def __init__(self, path: Path, width: int, columns: tuple[str, ...]) -> None:
        self.path = path
        self.columns = columns
        self.blocks: list[Block] = []
        """One a batch, in order."""
        self._width = width
        self._size = 0
        self._end = len(self._header)

    @classmethod
    def read(cls, path: Path, width: int, columns: tuple[str, ...]) -> LedgerFile:
        """What a ledger holds so far, even while another process goes on with it.

        Raises `RunError` where there is none, or it holds something else.
        """
        ledger = cls(path, width, columns)
        with ledger._opened() as file:
            if not ledger._header.startswith(file.read(len(ledger._header))):
                raise RunError(f"{path}: this ledger is of another space or objective.")
            for block, _ in ledger._sound(file):
                ledger._take(block)
        return ledger

    def __len__(self) -> int:
        return self._size

    def genotypes(self, rows: slice | Rows = slice(None)) -> NDArray[np.uint8]:
        """Of all rows, or of those given: `uint8[N, D]`, canonical, each once."""
        return self._gather(rows, np.uint8, self._width, 0)

    def measures(self, rows: slice | Rows = slice(None)) -> Measures:
        """The measured columns of all rows, or of those given."""
        return self._named(self._gather(rows, np.float64, len(self.columns), self._width))

    def stretches(self) -> Iterator[tuple[int, Measures]]:
        """All measures, some ten thousand rows at a time, each time with the number of the first row."""
        for first in range(0, len(self), STRETCH):
            yield first, self.measures(slice(first, first + STRETCH))

    def replay(self) -> Iterator[tuple[NDArray[np.uint8], Measures]]:
        """What each batch asked for, in order: genotypes `uint8[n, D]` and their measures."""
        with self._opened() as file:
            for block in self.blocks:
                file.seek(block.start)
                content = self._content(file.read(self._length(block.new, block.asked)), block.new)
                if block.asked:
                    yield self.genotypes(content.asked), self.measures(content.asked)
                else:
                    yield content.genotypes, self._named(content.table)

    @property
    def _header(self) -> bytes:
        return json.dumps({"format": FORMAT, "width": self._width, "columns": self.columns}).encode() + b"\n"

    def _named(self, table: NDArray[np.float64]) -> Measures:
        return {name: table[:, column] for column, name in enumerate(self.columns)}

    def _length(self, new: int, asked: int) -> int:
        """Bytes of a block after its head."""
        return new * (self._width + 8 * len(self.columns)) + 8 * asked

    def _content(self, payload: bytes, new: int) -> Content:
        table, asked = new * self._width, new * (self._width + 8 * len(self.columns))
        return Content(
            np.frombuffer(payload, np.uint8, table).reshape(new, self._width),
            np.frombuffer(payload, np.float64, new * len(self.columns), table).reshape(new, len(self.columns)),
            np.frombuffer(payload[asked:], np.int64),
        )

    def _next(
        self, genotypes: NDArray[np.uint8], table: NDArray[np.float64], asked: NDArray[np.int64]
    ) -> tuple[Block, bytes]:
        """The block of a further batch, and its bytes."""
        payload = genotypes.tobytes() + table.tobytes() + asked.tobytes()
        counts = (_MARK, len(self.blocks), len(genotypes), len(asked))
        head = _HEAD.pack(*counts, zlib.crc32(payload, zlib.crc32(_HEAD.pack(*counts, 0))))
        return Block(self._end + _HEAD.size, len(self), len(genotypes), len(asked)), head + payload

    def _sound(self, file: BinaryIO) -> Iterator[tuple[Block, Content]]:
        """Whole blocks from where the file stands, as far as they are sound, for `_take`."""
        size = os.fstat(file.fileno()).st_size
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            mark, batch, new, asked, crc = _HEAD.unpack(head)
            length = self._length(new, asked)
            if mark != _MARK or batch != len(self.blocks):
                return
            if max(new, asked) > MAX_BATCH or length > size - self._end - _HEAD.size:
                return
            payload = file.read(length)
            if zlib.crc32(payload, zlib.crc32(_HEAD.pack(mark, batch, new, asked, 0))) != crc:
                return
            content = self._content(payload, new)
            if asked and not 0 <= content.asked.min() <= content.asked.max() < len(self) + new:
                return
            yield Block(self._end + _HEAD.size, len(self), new, asked), content

    def _take(self, block: Block) -> None:
        """Count a block as the next one."""
        self.blocks.append(block)
        self._size += block.new
        self._end = block.start + self._length(block.new, block.asked)

    def _gather(self, rows: slice | Rows, kind: type[np.generic], width: int, before: int) -> NDArray[Any]:
        """One of the two tables of the rows, `kind[N, width]`; in a block, `before` bytes a row come before it."""
        wanted = range(len(self))[rows] if isinstance(rows, slice) else rows
        found = np.empty((len(wanted), width), dtype=kind)
        firsts = np.array([block.first_row for block in self.blocks], dtype=np.int64)
        with self._opened() as file:
            for start in range(0, len(wanted), STRETCH):
                part = wanted[start : start + STRETCH]
                part = np.arange(part.start, part.stop, part.step) if isinstance(part, range) else part
                owners = np.searchsorted(firsts, part, side="right") - 1
                order = np.argsort(owners, kind="stable")
                for places in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1):
                    block = self.blocks[owners[places[0]]]
                    file.seek(block.start + block.new * before)
                    table = np.frombuffer(file.read(block.new * width * found.itemsize), kind).reshape(-1, width)
                    found[start + places] = table[part[places] - block.first_row]
        return found

    def _opened(self) -> BinaryIO:
        try:
            return open_plain(self.path)
        except OSError as problem:
            raise RunError(f"{self.path}: there is no ledger to read ({problem.strerror}).") from None

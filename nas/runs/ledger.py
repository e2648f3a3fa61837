"""Ledger: the append-only record of every evaluation of a run, and the run's only state."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.errors import RunError
from nas.runs.ledger_file import LedgerFile, Measures
from nas.space.index import GenotypeIndex

Measure = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float64]]]
"""Genotypes `uint8[n, D]` → the ledger's columns, each `float64[n]`."""


class Ledger(LedgerFile):
    """Every distinct genotype of a run with its measures, in a file that this process alone appends to.

    In memory are the genotypes, packed, and the table that finds them; measures are read from the file when asked for.
    """

    def __init__(self, file: BinaryIO, path: Path, cardinalities: ArrayLike, columns: tuple[str, ...]) -> None:
        self.index = GenotypeIndex(cardinalities)
        super().__init__(path, self.index.packing.decisions, columns)
        self._file = file

    @classmethod
    def open(cls, path: Path, cardinalities: ArrayLike, columns: tuple[str, ...]) -> Ledger:
        """Open or create a ledger for this process alone, dropping a block that a crash cut short.

        `cardinalities` are the options of each decision, `int64[D]`. Raises `RunError` where another process has it
        open, or where it holds something else.
        """
        file = path.open("r+b") if path.exists() else path.open("x+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise RunError(f"{path.parent}: another process is working on this run. Wait for it, or stop it.") from None
        ledger = cls(file, path, cardinalities, columns)
        try:
            found = file.read(len(ledger._header))
            if found == ledger._header:
                ledger._enter_all()
                file.seek(ledger._end)
                file.truncate()
            elif ledger._header.startswith(found):  # new, or cut short before anything was evaluated
                file.seek(0)
                file.truncate()
                file.write(ledger._header)
                file.flush()
            else:
                raise RunError(f"{path}: this ledger is of another space or objective. Choose another --out.")
        except BaseException:
            with suppress(OSError):  # of a full disk, once more
                file.close()
            raise
        return ledger

    def append(self, population: NDArray[np.uint8], measure: Measure) -> Measures:
        """Measure those genotypes of one ask that are new, and record the batch; returns the measures of all."""
        first_row = len(self)
        rows = self.index.add(population)
        new = len(self.index) - first_row
        all_new = new == len(population)
        genotypes = population if all_new else self.index.genotypes(slice(first_row, None))
        measures = measure(genotypes)
        table = np.stack([measures[name] for name in self.columns], axis=1)
        block, content = self._next(genotypes, table, rows[:0] if all_new else rows)
        self._file.write(content)
        self._file.flush()
        self._take(block)
        return self._named(table) if all_new else self.measures(rows)

    def sync(self) -> None:
        """Force everything written to the disk, so that it outlives a power failure too."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give the file back; what is in it can still be read."""
        self._file.close()

    def _enter_all(self) -> None:
        """Take in all sound blocks of our writing."""
        row = self._width + 8 * len(self.columns)
        self.index.reserve((os.fstat(self._file.fileno()).st_size - self._end) // row)
        for block, content in self._sound(self._file):
            if not (self.index.packing.fits(content.genotypes) and self.index.add_new(content.genotypes)):
                break  # not of our writing: what follows cannot be trusted
            self._take(block)

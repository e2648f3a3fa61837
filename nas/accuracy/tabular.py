"""Tabular: accuracies that were obtained once and for all, looked up in a CSV file (`--accuracy table:PATH#COLUMN`).

PATH may be the name of a table that ships, `nas-bench-201`; a file that ends in `.gz` is packed. There is a header and
a row for each trained network, with

    arch     option indices in the order of the space's decisions: one digit each (`22212220`), separated by `-` in a
             space where a decision has more than ten options (`0-11-3`)
    COLUMN   accuracy in percent; without `#COLUMN` it is `accuracy`, or else `mean_acc`
    std      one standard deviation of the accuracy, in points; optional

and any others, which are not read. A network is found under any genotype that stands for it: rows and questions are
put in canonical form. Rows that stand for one network are averaged, whether they agree or not.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from textwrap import shorten

import numpy as np
from numpy.typing import NDArray

from nas.errors import NasError
from nas.space.codes import format_code, parse_codes
from nas.space.index import GenotypeIndex
from nas.space.space import Population, Space
from nas.system.files import lines, read_text
from nas.system.places import accuracies

DEFAULT_COLUMNS = ("accuracy", "mean_acc")
MAX_ROWS = 1_000_000
MAX_TABULAR_BYTES = 128 << 20


@dataclass(frozen=True, eq=False)
class Tabular:
    """Accuracies of a space's networks by canonical genotype; calling it gives `float64[N]`, in percent."""

    space: Space
    label: str
    provenance: str
    index: GenotypeIndex
    accuracy: NDArray[np.float64]
    """By row of `index`, in percent."""
    std: NDArray[np.float64]
    """By row of `index`, in points; 0 where the file has none."""
    unit: str = "%"

    @property
    def fingerprint(self) -> str:
        parts = (self.index.genotypes(), self.accuracy, self.std)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def __call__(self, population: Population) -> NDArray[np.float64]:
        return self.accuracy[self._rows(population)]

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """Standard deviation over trainings as the file has it, in points; 0 where it has none."""
        return self.std[self._rows(population)]

    def _rows(self, population: Population) -> NDArray[np.int64]:
        rows = self.index.find(self.space.canonical(population))
        if (rows < 0).any():
            genotype = population[int(np.argmax(rows < 0))]
            chosen = " ".join(f"{name}={option}" for name, option in self.space.choices(genotype).items())
            raise NasError(
                f"The accuracy table has no row for the architecture {format_code(genotype, self.space)} "
                f"({shorten(chosen, 160)}). Add it, or search a space that the table covers."
            )
        return rows


def load_tabular(space: Space, argument: str) -> Tabular:
    """The table in the file `PATH` or `PATH#COLUMN`. Raises `NasError` naming file, line, rule and what came."""
    place, _, column = argument.partition("#")
    if not place:
        raise NasError("A table of accuracies is given as table:PATH or table:PATH#COLUMN; see docs/spaces.md.")
    path = accuracies(place) or Path(place)
    names, rows = _read(path)
    wanted = [column] if column else DEFAULT_COLUMNS
    found = next((name for name in wanted if name in names), None)
    if found is None or "arch" not in names:
        missing = "arch" if "arch" not in names else " or ".join(wanted)
        raise NasError(f"{path}: the column {missing} is missing; it has {', '.join(names)[:160] or 'none'}.")
    genotypes = space.canonical(parse_codes(path, space, [row[names.index("arch")] for row in rows], NasError))
    accuracy = _numbers(path, rows, names.index(found), found, "a number of percent from 0 to 100")
    std = np.zeros(len(rows))
    if "std" in names:
        std = _numbers(path, rows, names.index("std"), "std", "a number of points from 0 to 100")
    index = GenotypeIndex(space.cardinalities)
    owners = index.add(genotypes)
    counts = np.bincount(owners, minlength=len(index))
    return Tabular(
        space=space,
        label=found,
        provenance=f"table {path.name}, column {found}: {len(rows):,} rows, {len(index):,} networks of {space.name}",
        index=index,
        accuracy=np.bincount(owners, weights=accuracy) / counts,
        std=np.bincount(owners, weights=std) / counts,
    )


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Column names and rows, all of one length."""
    try:
        reader = csv.reader(lines(read_text(path, NasError, MAX_TABULAR_BYTES), path, NasError), strict=True)
        names, rows = next(reader, []), list[list[str]]()
        for line, row in enumerate(reader, 2):
            if len(row) != len(names):
                raise NasError(f"{path}: line {line}: a row has {len(names)} values, got {len(row)}.")
            if len(rows) == MAX_ROWS:
                raise NasError(f"{path}: a table of accuracies has at most {MAX_ROWS:,} rows.")
            rows.append(row)
    except csv.Error as problem:
        raise NasError(f"{path}: not valid CSV: {problem}.") from None
    if not names:
        raise NasError(f"{path}: a table of accuracies has a header and at least one row; the file is empty.")
    if not rows:
        raise NasError(f"{path}: a table of accuracies has at least one row below its header.")
    return names, rows


def _numbers(path: Path, rows: Sequence[Sequence[str]], column: int, name: str, rule: str) -> NDArray[np.float64]:
    """float64[N]: the values of one column."""
    numbers = np.empty(len(rows))
    for index, row in enumerate(rows):
        try:
            number = float(row[column])
        except ValueError:
            number = float("nan")
        if not (isfinite(number) and 0 <= number <= 100):
            raise NasError(f"{path}: line {index + 2}: `{name}` is {rule}, got {row[column][:40]!r}.")
        numbers[index] = number
    return numbers

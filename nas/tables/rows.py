"""Rows: the text of a table.csv, checked column by column."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.block import BLOCKS, MAX_DIMENSION, STANDARD, Column, block_class, further_columns, least, timed_columns
from nas.blocks.layer import key_columns
from nas.blocks.precision import PRECISIONS
from nas.errors import TableError
from nas.system.files import lines

PAGE = "docs/tables.md"
PROVENANCES = ("measured", "derived", "simulated", "interpolated")
VALUE_COLUMNS = ("latency_ms", "spread_ms", "samples", "provenance")
MAX_ROWS = 250_000

_INPUT = ("in_channels", "height", "width")


class Rows:
    """The rows of a table.csv, checked column by column; the first bad row is named by its line."""

    def __init__(self, path: Path, text: str, key_columns: Sequence[str]) -> None:
        self.path = path
        self.key_columns = key_columns
        self.count = 0
        self.ragged: tuple[int, int] | None = None
        """The first row of another length than the head, and its length."""
        self.cells: list[str] = []
        """Row after row: one list, as a hundred thousand of them would keep the garbage collector busy."""
        try:
            reader = csv.reader(lines(text, path, TableError), strict=True)
            self.names = next(reader, [])
            for values in islice(reader, MAX_ROWS + 1):
                if len(values) != len(self.names):
                    self.ragged = self.count, len(values)
                    break
                self.cells += values
                self.count += 1
        except csv.Error as problem:
            raise TableError(f"{path}: not valid CSV: {problem}.") from None
        if self.count > MAX_ROWS:
            raise TableError(f"{path}: a table has at most {MAX_ROWS:,} rows.")

    def parse(self) -> tuple[Any, ...]:
        """Keys by row, then the value columns as arrays."""
        self._check_shape()
        columns = {name: self.cells[place :: len(self.names)] for place, name in enumerate(self.names)}
        index: dict[tuple[Any, ...], int] = {}
        for row, key in enumerate(self._keys(columns)):
            if index.setdefault(key, row) != row:
                raise self._error(row, f"every layer has one row, this one repeats line {index[key] + 2}.")
        latency = self._floats("latency_ms", columns["latency_ms"])
        spread = self._floats("spread_ms", columns["spread_ms"])
        samples = self._integers("samples", columns["samples"], 0)
        provenance = map(PROVENANCES.index, self._words("provenance", columns["provenance"], PROVENANCES))
        return index, latency, spread, samples, np.fromiter(provenance, np.int64, self.count)

    def _check_shape(self) -> None:
        known, seen = {*key_columns(), *VALUE_COLUMNS}, set[str]()
        for name in self.names:
            if name in seen:
                raise TableError(f"{self.path}: columns are named once, got {name[:40]!r} twice.")
            seen.add(name)
        for name in (*self.key_columns, *VALUE_COLUMNS):
            if name not in seen:
                has = ", ".join(map(repr, self.names))[:400]
                raise TableError(f"{self.path}: the column {name!r} is missing; it has {has or 'none'}.")
        for name in self.names:
            if name not in known:
                raise TableError(f"{self.path}: no column {name[:40]!r} is known. See {PAGE}.")
        if self.ragged is not None:
            row, length = self.ragged
            raise self._error(row, f"a row has {len(self.names)} values, got {length}.")

    def _keys(self, columns: Mapping[str, Sequence[str]]) -> Iterator[tuple[Any, ...]]:
        """`Layer.key` of every row. A setting that the row's kind does not have is at its default."""
        names = key_columns()
        known = {column.name: column for column in (*STANDARD, *further_columns().values())}
        cells = [self._key_column(name, columns.get(name), known.get(name)) for name in names]
        own: dict[str, Any] = {}
        foreign: dict[str, tuple[Any, tuple[Any, ...], list[str]]] = {}
        for kind in dict.fromkeys(cells[0]):
            fields = timed_columns(block_class(kind))
            own[kind] = itemgetter(*map(names.index, ("kind", *_INPUT, "precision", *fields)))
            others = [name for name in known if name not in fields]
            defaults = tuple(known[name].absent for name in others)
            foreign[kind] = itemgetter(*map(names.index, (*others, "kind", "kind"))), (*defaults, kind, kind), others
        for row, values in enumerate(zip(*cells, strict=True)):
            kind = values[0]
            others_of, defaults, others = foreign[kind]
            if others_of(values) != defaults:
                name, usual = next(
                    (name, usual)
                    for name, value, usual in zip(others, others_of(values), defaults, strict=False)
                    if value != usual
                )
                raise self._error(row, f"a {kind} layer has no `{name}` (it stays {usual!r}).")
            yield own[kind](values)

    def _key_column(self, name: str, values: Sequence[str] | None, column: Column | None) -> list[Any]:
        """The values of one column, of a block's field where `column` is given."""
        if values is None:
            if name == "precision" or (column is not None and column.default is not MISSING):
                return [PRECISIONS[0] if column is None else column.absent] * self.count
            if column is not None and name in further_columns():
                return [column.absent] * self.count
            raise TableError(f"{self.path}: the column {name!r} is missing and has no default.")
        words = {"kind": tuple(BLOCKS), "precision": PRECISIONS}.get(name) or (column.options if column else ())
        if words:
            return list(self._words(name, values, words))
        if column is not None and column.flag:
            return list(self._integers(name, values, 0, 1).astype(np.bool_).tolist())
        if name == "in_channels" and any("+" in value for value in values):
            return [self._several(row, value) for row, value in enumerate(values)]
        return list(self._integers(name, values, least(name) if column else 1, MAX_DIMENSION).tolist())

    def _several(self, row: int, value: str) -> int | tuple[int, ...]:
        """Channels of a layer of several inputs, written 16+32."""
        parts = value.split("+")
        if not all(part.isdecimal() and 1 <= int(part[:9]) <= MAX_DIMENSION for part in parts):
            raise self._error(row, f"`in_channels` are whole numbers from 1 to {MAX_DIMENSION}, got {value[:40]!r}.")
        return int(value) if len(parts) == 1 else tuple(map(int, parts))

    def _words(self, name: str, values: Sequence[str], known: Iterable[str]) -> Iterable[str]:
        """The same words, each kept in memory once."""
        if foreign := set(values) - set(known):
            row = next(row for row, value in enumerate(values) if value in foreign)
            raise self._error(row, f"`{name}` is one of {', '.join(known)}, got {values[row][:40]!r}.")
        return map({word: word for word in known}.__getitem__, values)

    def _integers(self, name: str, values: Sequence[str], least: int, most: int = 2**53) -> NDArray[np.int64]:
        rule = f"`{name}` is a whole number from {least}" + (f" to {most}" if most < 2**53 else "")
        return self._numbers(values, int, np.int64, lambda numbers: (numbers >= least) & (numbers <= most), rule)

    def _floats(self, name: str, values: Sequence[str]) -> NDArray[np.float64]:
        rule = f"`{name}` is a finite number of milliseconds, 0 or more"
        return self._numbers(values, float, np.float64, lambda ms: (ms >= 0) & (ms < 1e9), rule)

    def _numbers(self, values: Sequence[str], kind: Any, dtype: Any, holds: Any, rule: str) -> NDArray[Any]:
        """A column as an array `dtype[N]`; `holds` says of an array which numbers keep to the rule."""
        try:
            numbers = np.fromiter(map(kind, values), dtype, len(values))
            broken = ~holds(numbers)
        except (ValueError, OverflowError):  # some value is no such number, or none that an array could hold
            broken = np.array([not self._reads(value, kind, dtype, holds) for value in values])
        if broken.any():
            row = int(broken.argmax())
            raise self._error(row, f"{rule}, got {values[row][:40]!r}.")
        return numbers

    @staticmethod
    def _reads(value: str, kind: Any, dtype: Any, holds: Any) -> bool:
        try:
            return bool(holds(np.array([kind(value)], dtype=dtype))[0])
        except (ValueError, OverflowError):
            return False

    def _error(self, row: int, rule: str) -> TableError:
        return TableError(f"{self.path}: line {row + 2}: {rule}")

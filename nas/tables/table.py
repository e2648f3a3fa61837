"""LatencyTable: measured milliseconds of layers on one device, and where each figure comes from.

A table is a folder with `table.csv`, a row a layer, and `table.yaml`, a header that fingerprints device and
runtime and says how far whole networks were off. Format: docs/tables.md.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.block import BLOCKS, MAX_DIMENSION, STANDARD, Column, block_class, columns_of, further_columns
from nas.blocks.layer import KEY_COLUMNS, PRECISIONS, Layer, key_columns
from nas.cost.factors import Factors
from nas.errors import ArchitectureError, LatencyMissing, TableError
from nas.space.space import Space
from nas.system.files import lines, parse_yaml, read_json, read_model, read_text
from nas.system.places import table_path
from nas.tables.header import TableHeader
from nas.tables.model import BlockModel

if TYPE_CHECKING:
    from pandas import DataFrame

PAGE = "docs/tables.md"
PROFILE = "profile.json"
"""Names the device of a folder that tables are measured into, and the space of the first; written first."""
PROVENANCES = ("measured", "derived", "simulated", "interpolated")
VALUE_COLUMNS = ("latency_ms", "spread_ms", "samples", "provenance")
MAX_ROWS = 250_000
MAX_TABLE_BYTES = 32 << 20
MAX_HEADER_BYTES = 1 << 20

_INPUT = ("in_channels", "height", "width")


@dataclass(frozen=True)
class Row:
    """What a table holds of one layer; the columns are described in docs/tables.md."""

    layer: Layer
    latency_ms: float
    spread_ms: float
    samples: int
    provenance: str


@dataclass(frozen=True)
class Latencies:
    """What a table says of N layers: ms float64[N], and the index into PROVENANCES of each, int64[N]."""

    ms: NDArray[np.float64]
    provenance: NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """Latency of a whole network by a table."""

    latency_ms: float
    coverage: dict[str, float]
    """Share of the estimated latency by provenance; sums to 1."""
    error_pct: float
    """The table's error bands, weighted by that share."""


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Rows and header of one table; `path` is its folder."""

    path: Path
    header: TableHeader
    model: BlockModel | None
    """Answers for layers without a row, if the table carries one."""
    fingerprint: str
    """SHA-256 of both files."""
    keys: dict[tuple[Any, ...], int]
    """Row by `Layer.key`."""
    latency_ms: NDArray[np.float64]
    spread_ms: NDArray[np.float64]
    samples: NDArray[np.int64]
    provenance: NDArray[np.int64]

    @property
    def name(self) -> str:
        """The target's name."""
        return self.header.name

    @property
    def networks_error(self) -> dict[str, Any] | None:
        """The error reached on whole networks, of the space that was profiled last, as a JSON mapping; None where none
        were measured."""
        networks = self.header.error.networks
        return None if networks is None else networks.model_dump()

    def checked_on(self, space: Space) -> dict[str, Any] | None:
        """The error reached on whole networks of just this space, as a JSON mapping; None where none were measured."""
        for error in self.header.error.checks:
            if (error.space_sha256 or begun_for(self.path)) == space.fingerprint:
                return error.model_dump()
        return None

    def checked_by_name(self, space: str | None) -> dict[str, Any] | None:
        """The same for a network that only names its space: of the one space of that name; None where several had it.
        Where no space is named it is that of the space profiled last."""
        if space is None:
            return self.networks_error
        found = [error for error in self.header.error.checks if space == (error.space or self.header.space)]
        return found[0].model_dump() if len(found) == 1 else None

    @property
    def checked_spaces(self) -> list[str]:
        """Names of the spaces whose networks the error was measured on, each once."""
        names = (error.space or self.header.space or "?" for error in self.header.error.checks)
        return list(dict.fromkeys(names))

    def without_row(self, layers: Iterable[Layer]) -> list[Layer]:
        """Those of some layers that do something and have no row here."""
        return [layer for layer in layers if layer.graph.nodes and layer.key not in self.keys]

    def rows(self) -> Iterator[Row]:
        """Every row, in order. Raises `TableError` for one whose key is no layer that could be."""
        for key, row in self.keys.items():
            try:
                layer = _layer(key)
            except ArchitectureError as problem:
                raise TableError(f"{self.path / 'table.csv'}: line {row + 2}: {problem}") from None
            yield Row(
                layer,
                float(self.latency_ms[row]),
                float(self.spread_ms[row]),
                int(self.samples[row]),
                PROVENANCES[self.provenance[row]],
            )

    def lookup(self, layers: Sequence[Layer]) -> Latencies:
        """Latency of each layer: its row, or the table's model. Raises `LatencyMissing` where neither answers."""
        ms = np.zeros(len(layers))
        provenance = np.full(len(layers), PROVENANCES.index("interpolated"))
        rows = np.array([self.keys.get(layer.key, -1) for layer in layers], dtype=np.int64)
        known = rows >= 0
        ms[known], provenance[known] = self.latency_ms[rows[known]], self.provenance[rows[known]]
        unknown = np.flatnonzero(~known)
        free = np.array([not layers[int(index)].graph.nodes for index in unknown], dtype=bool)  # a skip does nothing
        provenance[unknown[free]] = PROVENANCES.index("derived")
        asked = unknown[~free]
        if len(asked):
            ms[asked] = self._modelled([layers[int(index)] for index in asked])
        return Latencies(ms, provenance)

    def answers(self, layers: Iterable[Layer]) -> bool:
        """Whether `lookup` has a figure for each of these."""
        return all(
            layer.key in self.keys
            or not layer.graph.nodes
            or (self.model is not None and self.model.covers(layer) is None)
            for layer in layers
        )

    def _modelled(self, layers: list[Layer]) -> NDArray[np.float64]:
        if self.model is None:
            raise LatencyMissing(
                f"{len(layers)} layer(s) are not in the table {self.name}, first: {describe(layers[0])}. "
                "Measure them on the device, or choose a table that has them."
            )
        for layer in layers:
            reason = self.model.covers(layer)
            if reason is not None:
                raise LatencyMissing(
                    f"{self.name} does not answer for {describe(layer)}: {reason} "
                    "`nas spaces list` says which targets answer a whole space."
                )
        return self.model.predict(layers)

    def estimate(self, architecture: Architecture) -> Estimate:
        """Latency of a whole network: the sum of its layers."""
        found = self.lookup(architecture.layers)
        total = float(found.ms.sum())
        shares = np.bincount(found.provenance, weights=found.ms, minlength=len(PROVENANCES)) / max(total, 1e-12)
        coverage = dict(zip(PROVENANCES, map(float, shares), strict=True))
        bands: dict[str, float] = self.header.error.band_pct.model_dump()
        return Estimate(total, coverage, sum(share * bands[name] for name, share in coverage.items()))

    def frame(self) -> DataFrame:
        """The rows in their order, as table.csv has them: what a layer is, then its figures in ms."""
        import pandas as pd  # half a second

        layers = [row.layer for row in self.rows()]
        names = columns_used(layers)
        keys = pd.DataFrame([[getattr(layer, name) for name in names] for layer in layers], columns=names)
        figures = {"latency_ms": self.latency_ms, "spread_ms": self.spread_ms, "samples": self.samples}
        return keys.assign(**figures, provenance=np.array(PROVENANCES)[self.provenance])


def begun_for(folder: Path) -> str | None:
    """Fingerprint of the space that a folder's first profile was of; None where nothing says so."""
    try:
        document = read_json(folder / PROFILE, TableError)
    except (OSError, TableError):
        return None
    return document.get("space") if isinstance(document, dict) else None


def _layer(key: tuple[Any, ...]) -> Layer:
    """The layer of a `Layer.key`, its graph drawn."""
    kind, in_channels, height, width, precision, *values = key
    settings = dict(zip(columns_of(block_class(kind)), values, strict=True))
    layer = Layer(kind=kind, in_channels=in_channels, height=height, width=width, precision=precision, **settings)
    _ = layer.graph
    return layer


def columns_used(layers: Iterable[Layer]) -> list[str]:
    """Key columns of a table of these layers: `KEY_COLUMNS`, and further ones that some layer has."""
    used = {name for layer in layers for name in layer.row}
    return [name for name in key_columns() if name in KEY_COLUMNS or name in used]


def describe(layer: Layer) -> str:
    """A layer in one phrase."""
    widths = "+".join(str(channels) for channels, _, _ in layer.inputs)
    parts = [f"{layer.kind} {widths}→{layer.output[0]}"]
    parts += [f"mid {layer.mid_channels}"] if layer.mid_channels else []
    parts += [f"k{layer.kernel} s{layer.stride}"]
    parts += [f"groups {layer.groups}"] if layer.groups > 1 else []
    parts += [f"se {layer.se_channels}"] if layer.se_channels else []
    parts += [f"{name} {getattr(layer, name)}" for name in layer.row if name in further_columns()]
    parts += [layer.precision] if layer.precision != PRECISIONS[0] else []
    return " ".join([*parts, layer.activation, f"at {layer.height}×{layer.width}"])


def load_table(name: str | Path) -> LatencyTable:
    """A table by its name or the path of its folder. Raises `TableError`: file, line, rule and what came."""
    folder = table_path(name)
    header_text = read_text(folder / "table.yaml", TableError, MAX_HEADER_BYTES)
    return parse_table(folder, header_text, read_text(folder / "table.csv", TableError, MAX_TABLE_BYTES))


def parse_table(folder: Path, header_text: str, rows_text: str) -> LatencyTable:
    """The table that the texts of `table.yaml` and `table.csv` are; `folder` is what errors name."""
    header_file, rows_file = folder / "table.yaml", folder / "table.csv"
    header = parse_header(header_text, header_file)
    if header.rows_sha256 not in (None, hashlib.sha256(rows_text.encode()).hexdigest()):
        raise TableError(
            f"{rows_file}: table.csv is not the one that table.yaml was written with. "
            "Copy both files again, or measure the table anew."
        )
    model = None if header.model is None else BlockModel.from_header(header.model, str(header_file))
    columns = _Rows(rows_file, rows_text, header.key_columns)
    digest = hashlib.sha256(header_text.encode() + rows_text.encode()).hexdigest()
    return LatencyTable(folder, header, model, digest, *columns.parse())


def parse_header(text: str, path: Path) -> TableHeader:
    """The header that the text of a `table.yaml` is. Raises `TableError`: file, place, rule and what came."""
    rule = "a table's header is a mapping with `format: nas-latency-table/1`"
    return read_model(TableHeader, parse_yaml(text, path, TableError), path, TableError, rule=rule, page=PAGE)


def latency(space: Space, table: LatencyTable) -> Factors:
    """Latency of a space's networks by a table, compiled: ms. Raises `LatencyMissing` for a layer without an answer."""
    return Factors.compile(space, lambda layers: table.lookup(layers).ms)


class _Rows:
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
            fields = columns_of(block_class(kind))
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
        return list(self._integers(name, values, column.least if column else 1, MAX_DIMENSION).tolist())

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

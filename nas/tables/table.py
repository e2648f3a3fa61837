"""LatencyTable: measured milliseconds of layers on one device, and where each figure comes from.

A table is a folder with `table.csv`, a row a layer, and `table.yaml`, a header that fingerprints device and
runtime and says how far whole networks were off. Format: docs/tables.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.block import block_class, further_columns, timed_columns
from nas.blocks.layer import KEY_COLUMNS, Layer, key_columns
from nas.blocks.precision import PRECISIONS
from nas.cost.factors import Factors
from nas.errors import ArchitectureError, LatencyMissing, TableError
from nas.space.space import Space
from nas.system.files import parse_yaml, read_json, read_model, read_text
from nas.system.places import table_path
from nas.tables.header import NetworksError, TableHeader
from nas.tables.model import BlockModel
from nas.tables.rows import PAGE, PROVENANCES, Rows
from nas.tables.sums import Sums
from nas.tables.whole import FILE as WHOLE
from nas.tables.whole import WholeNetworks

if TYPE_CHECKING:
    from pandas import DataFrame

PROFILE = "profile.json"
"""Names the device of a folder that tables are measured into, and the space of the first; written first."""
_INTERPOLATED = PROVENANCES.index("interpolated")
MAX_TABLE_BYTES = 32 << 20
MAX_HEADER_BYTES = 1 << 20


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
    """The table's error bands where in its range this lies, weighted by that share."""


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
    whole: WholeNetworks | None = None
    """Networks that were measured whole, if the table has some: they are no sums of layers."""

    @property
    def name(self) -> str:
        """The target's name."""
        return self.header.name

    @cached_property
    def sums(self) -> Sums | None:
        """What is added to the rows of a network, where only such sums mean something."""
        return None if self.header.sums is None else Sums(self.header.sums)

    @property
    def networks_error(self) -> dict[str, Any] | None:
        """The error reached on whole networks, of the space that was profiled last, as a JSON mapping; None where none
        were measured."""
        networks = self.header.error.networks
        return None if networks is None else networks.model_dump()

    @property
    def precision(self) -> str:
        """Of its rows, as a rule."""
        return self.header.precision if self.header.precision in PRECISIONS else PRECISIONS[0]

    @property
    def precisions(self) -> tuple[str, ...]:
        """Of the layers that it answers for where it has no row."""
        return (self.precision,) if self.model is None else self.model.range.precisions

    def checked_on(self, space: Space) -> dict[str, Any] | None:
        """The error reached on whole networks of just this space, as a JSON mapping; None where none were measured. A
        table of published networks has one error, whatever the space."""
        error = self._check_of(space)
        return None if error is None else error.model_dump()

    def noise(self, space: Space | None = None) -> str | None:
        """That the table was measured too noisily to be relied on, why and what to do, in a line: for a space, or the
        first that it is so for. None where it was quiet enough, or nothing is known of that."""
        checks = self.header.error.checks if space is None else filter(None, [self._check_of(space)])
        why = next(filter(None, (error.noise for error in checks)), None)
        if why is None:
            return None
        name, target = space.name if space else self.header.space or "SPACE", self.header.target or "DEVICE"
        anew = f"nas profile --space {name} --target {target} --out NEW"
        return f"{self.name} was measured on a busy device ({why}): when it is quiet, measure anew, {anew}"

    def _check_of(self, space: Space) -> NetworksError | None:
        for error in self.header.error.checks:
            if self._of_any(error) or (error.space_sha256 or begun_for(self.path)) == space.fingerprint:
                return error
        return None

    def _of_any(self, error: NetworksError) -> bool:
        return error.space is None and self.header.target is None

    def checked_by_name(self, space: str | None) -> dict[str, Any] | None:
        """The same for a network that only names its space: of the one space of that name; None where several had it.
        Where no space is named it is that of the space profiled last."""
        if space is None:
            return self.networks_error
        checks = self.header.error.checks
        found = [error for error in checks if self._of_any(error) or space == (error.space or self.header.space)]
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
        provenance = np.full(len(layers), _INTERPOLATED)
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

    def answers_all(self, space: Space) -> bool:
        """Whether it has a figure for every network of a space; it stops at the first layer that it has none for."""
        if self.whole is not None and self.whole.are_of(space):
            return True
        some = (layer for slot in space.slots for layer in slot.layers(*next(iter(space.combinations(slot)))))
        rows = self.answers(some) and self.answers(_each(space))
        return rows and (self.sums is None or self.sums.covers(space))

    def answers_network(self, architecture: Architecture) -> bool:
        """Whether `estimate` has a figure for a network."""
        whole = None if self.whole is None else self.whole.find(architecture)
        summed = self.sums is None or self.sums.has(architecture.layers)
        return whole is not None or (summed and self.answers(architecture.layers))

    def _modelled(self, layers: list[Layer]) -> NDArray[np.float64]:
        others = {layer.precision for layer in layers}.difference(self.precisions)
        if others:
            raise LatencyMissing(
                f"{self.name} is a table of {self.precision}, and this is asked in {', '.join(sorted(others))}. "
                f"Ask with --precision {self.precision}, or choose a target with a table of the other."
            )
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
        """Latency of a whole network: as it was measured, else the sum of its layers."""
        if self.whole is not None and (known := self.whole.find(architecture)) is not None:
            ms, measured = known
            name = self.whole.header.provenance if measured else "interpolated"
            return Estimate(ms, dict.fromkeys(PROVENANCES, 0.0) | {name: 1.0}, self.header.error.bands(ms)[name])
        added = 0.0
        if self.sums is not None:
            if not self.sums.has(architecture.layers):
                raise LatencyMissing(self.sums.refusal(self.name, "This network is none of them."))
            added = self.sums.added(architecture.layers)
        found = self.lookup(architecture.layers)
        total = float(found.ms.sum()) + added
        shares = np.bincount(found.provenance, weights=found.ms, minlength=len(PROVENANCES))
        shares[PROVENANCES.index("derived")] += added
        coverage = dict(zip(PROVENANCES, map(float, shares / max(total, 1e-12)), strict=True))
        bands = self.header.error.bands(total, filled=bool((self.provenance == _INTERPOLATED).any()))
        return Estimate(total, coverage, sum(share * bands[name] for name, share in coverage.items()))

    def frame(self) -> DataFrame:
        """The rows in their order, as table.csv has them: what a layer is, then its figures in ms."""
        import pandas as pd  # half a second

        layers = [row.layer for row in self.rows()]
        names = columns_used(layers)
        keys = pd.DataFrame([[getattr(layer, name) for name in names] for layer in layers], columns=names)
        figures = {"latency_ms": self.latency_ms, "spread_ms": self.spread_ms, "samples": self.samples}
        return keys.assign(**figures, provenance=np.array(PROVENANCES)[self.provenance])


def _each(space: Space) -> Iterator[Layer]:
    """Every layer of a space once, as `Space.layers`, which finds all of them before there is a first."""
    seen: set[Layer] = set()
    for slot in space.slots:
        for options in space.combinations(slot):
            for layer in slot.layers(*options):
                if layer not in seen:
                    seen.add(layer)
                    yield layer


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
    settings = dict(zip(timed_columns(block_class(kind)), values, strict=True))
    layer = Layer(kind=kind, in_channels=in_channels, height=height, width=width, precision=precision, **settings)
    _ = layer.graph
    return layer


def columns_used(layers: Sequence[Layer]) -> list[str]:
    """Key columns of a table of these layers: `KEY_COLUMNS`, and further ones that some layer has, or whose default for
    its kind is not what a table without the column says."""
    usual = {name: column.absent for name, column in further_columns().items()}
    used = {name for layer in layers for name in layer.row}
    for layer in layers:
        own = timed_columns(type(layer.block))
        used |= {name for name in own if name in usual and getattr(layer, name) != usual[name]}
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
    table = parse_table(folder, header_text, read_text(folder / "table.csv", TableError, MAX_TABLE_BYTES))
    if table.header.whole is None:
        return table
    text = read_text(folder / WHOLE, TableError, MAX_TABLE_BYTES)
    digest = hashlib.sha256(f"{table.fingerprint}{text}".encode()).hexdigest()
    return replace(table, fingerprint=digest, whole=WholeNetworks.parse(folder / WHOLE, text, table.header.whole))


def parse_table(folder: Path, header_text: str, rows_text: str) -> LatencyTable:
    """The table that the texts of `table.yaml` and `table.csv` are, without whole networks; `folder` is what errors
    name."""
    header_file, rows_file = folder / "table.yaml", folder / "table.csv"
    header = parse_header(header_text, header_file)
    if header.rows_sha256 not in (None, hashlib.sha256(rows_text.encode()).hexdigest()):
        raise TableError(
            f"{rows_file}: table.csv is not the one that table.yaml was written with. "
            "Copy both files again, or measure the table anew."
        )
    model = None if header.model is None else BlockModel.from_header(header.model, str(header_file))
    columns = Rows(rows_file, rows_text, header.key_columns)
    digest = hashlib.sha256(header_text.encode() + rows_text.encode()).hexdigest()
    return LatencyTable(folder, header, model, digest, *columns.parse())


def parse_header(text: str, path: Path) -> TableHeader:
    """The header that the text of a `table.yaml` is. Raises `TableError`: file, place, rule and what came."""
    rule = "a table's header is a mapping with `format: nas-latency-table/1`"
    return read_model(TableHeader, parse_yaml(text, path, TableError), path, TableError, rule=rule, page=PAGE)


def latency(space: Space, table: LatencyTable) -> Factors:
    """Latency of a space's networks by a table, compiled: ms. Raises `LatencyMissing` for a layer without an answer."""
    if table.whole is not None and table.whole.are_of(space):
        return table.whole.factors(space)
    if table.sums is not None and not table.answers_all(space):
        raise LatencyMissing(table.sums.refusal(table.name, f"{space.name} has others."))
    rows = Factors.compile(space, lambda layers: table.lookup(layers).ms)
    return rows if table.sums is None else table.sums.add(space, rows)

"""Listing: what a line says of a table, and which spaces it answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from nas.errors import SpaceError
from nas.space.adapt import options_of, parts_of, precision_of
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.places import shipped_folder, shipped_tables, space_names
from nas.system.text import listed
from nas.tables.header import TableHeader
from nas.tables.rows import PROVENANCES
from nas.tables.table import LatencyTable, load_table


@dataclass(frozen=True)
class Error:
    """How far a table, or what fills it, was off on what it was not fitted to."""

    mape_pct: float
    count: int
    of: str
    """What was counted."""


def shipped() -> list[LatencyTable]:
    """The shipped tables."""
    return [load_table(name) for name in shipped_tables()]


def answers(table: LatencyTable, space: Space) -> bool:
    """Whether a table has a figure for every network of a space. Of a shipped table and a shipped space the name tells,
    where whole networks were measured: they come together, and a fingerprint takes a second."""
    if (
        table.whole is not None
        and table.path.parent == shipped_folder("latency_tables")
        and space.name in space_names()
    ):
        return table.whole.header.space == space.name
    return table.answers_all(space)


def answered(tables: Iterable[LatencyTable]) -> Iterator[tuple[LatencyTable, list[str]]]:
    """Each table with the names of the spaces that it answers: shipped ones, as they are and as they were adapted for
    what it was made for, such as `fbnet-32px`."""
    known: dict[str, Space | None] = {name: load_space(name) for name in space_names()}
    for table in tables:
        names = list(dict.fromkeys([*space_names(), *_adapted(table.header)]))
        known |= {name: _load(name) for name in names if name not in known}
        found = ((name, known[name]) for name in names)
        yield table, [name for name, space in found if space is not None and answers(table, space)]


def _adapted(header: TableHeader) -> Iterator[str]:
    """Names of the spaces that a header names, first as for any number of classes."""
    whole = None if header.whole is None else header.whole.space
    for name in (header.space, whole, *(check.space for check in header.error.checks)):
        if name is not None:
            _, _, _, classes = parts_of(name)
            yield name.removesuffix(f"-{classes}c")
            yield name


def _load(name: str) -> Space | None:
    """A shipped space, adapted as its name says; None where the name is of none."""
    space, resolution, keep, classes = parts_of(name)
    precision, strides = precision_of(name), "keep" if keep else "drop"
    if space not in space_names():
        return None
    try:
        found = load_space(space, resolution=resolution, classes=classes, strides=strides, precision=precision)
    except SpaceError:
        return None
    return found if found.name == name else None


def asked(names: list[str]) -> list[str]:
    """Spaces as they are asked for: `fbnet --resolution 32`; not with a number of classes where any is answered."""
    wide = [name for name in names if (c := parts_of(name)[-1]) is None or name.removesuffix(f"-{c}c") not in names]
    return list(map(options_of, wide))


def instead(table: LatencyTable, space: Space) -> str:
    """Where a table does not answer for a space: what of that space it does, and the shipped tables that answer."""
    base = parts_of(space.name)[0]
    near = {name: _load(name) for name in (base, *_adapted(table.header)) if parts_of(name)[0] == base}
    mine = asked([name for name, other in near.items() if other is not None and answers(table, other)])
    found = [other for other in shipped() if answers(other, space)]
    same = [other.name for other in found if other.header.device.model == table.header.device.model]
    others = listed(other.name for other in found if other.name not in same)
    told = [f"{table.name} answers {', '.join(mine)}."] if mine else []
    if found:
        by = [f"{' and '.join(same)}, of the same device"] * bool(same) + [others] * bool(others)
        told.append(f"{space.name} is answered by {'; '.join(by)}.")
    else:
        name = options_of(space.name) if base in space_names() else f"{base}.yaml"
        told.append(f"No shipped table answers for {space.name}. Make one: nas profile --space {name} --target cpu")
    return " ".join(told)


def error_of(header: TableHeader) -> Error | None:
    """Of the error of a table what rests on most networks; None where nothing is told."""
    told = [Error(check.mape_pct, check.count, "networks") for check in header.error.checks]
    if published := header.error.whole_networks:
        told.append(Error(mean(abs(each.error_pct) for each in published), len(published), "published networks"))
    for name, count in header.error.leave_one_out.items():
        if name.endswith("networks"):
            of = name.removesuffix("networks")
            means = (header.error.leave_one_out.get(f"{of}{key}") for key in ("mean_abs_error_pct", "mean_pct"))
            off = next(value for value in means if value is not None)
            told.append(
                Error(off, int(count), "networks by the fit between measured ones" if header.whole else "networks")
            )
    return max(told, key=lambda error: error.count, default=None)


def provenance(table: LatencyTable) -> dict[str, int]:
    """Rows, or whole networks, of each provenance that some have."""
    if table.whole is not None:
        return {table.whole.header.provenance: len(table.whole.codes)}
    counts = {name: int((table.provenance == code).sum()) for code, name in enumerate(PROVENANCES)}
    return {name: count for name, count in counts.items() if count}


def entry(table: LatencyTable, names: list[str]) -> dict[str, Any]:
    """A table in a list, as a JSON mapping; `names` are those of the spaces that it answers."""
    header, error = table.header, error_of(table.header)
    return {
        "name": table.name,
        "summary": header.summary,
        "device": header.device.model,
        "runtime": header.runtime.name,
        "threads": header.threads,
        "precision": header.precision,
        "batch": header.batch,
        "licence": header.licence,
        "rows": len(table.keys),
        "provenance": provenance(table),
        "path": str(table.path),
        "fingerprint": table.fingerprint,
        "networks_error": table.networks_error,
        "noise": table.noise(),
        "error": None if error is None else asdict(error),
        "answers": names,
    }

"""One table of two that were measured on the same device."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

from nas.errors import TableError
from nas.system.folder_lock import FolderLock
from nas.tables.header import Bands, TableHeader
from nas.tables.rows import PROVENANCES
from nas.tables.table import LatencyTable, Row
from nas.tables.write import check_empty, write_table


def merge_tables(a: LatencyTable, b: LatencyTable, out: Path) -> dict[str, Any]:
    """Write a table with the rows of both, and say what became of them, as a JSON mapping.

    Raises `TableError` unless `out` is new or empty and both were measured on devices of equal fingerprints.
    """
    check_empty(out, "a merged table")
    _check_alike(a, b)
    in_a, in_b = ({row.layer: row for row in table.rows()} for table in (a, b))
    rows = [combine(row, in_b[layer]) if layer in in_b else row for layer, row in in_a.items()]
    rows += [row for layer, row in in_b.items() if layer not in in_a]
    with FolderLock(out, "writes a table into this", error=TableError):
        check_empty(out, "a merged table")
        merged = write_table(out, _header(a.header, b.header), rows)
    both = len(in_a) + len(in_b) - len(rows)
    return {
        "name": merged.name,
        "path": str(merged.path),
        "fingerprint": merged.fingerprint,
        "rows": {"all": len(rows), "both": both, "only_a": len(in_a) - both, "only_b": len(in_b) - both},
        "notes": _notes(a.header, b.header),
    }


def combine(a: Row, b: Row) -> Row:
    """One row of two of the same layer.

    Of different provenance, the first in the order of `PROVENANCES` stands. Otherwise, with n samples each:

        latency = (n_a a + n_b b) / n                                         n = n_a + n_b
        spread² = (n_a spread_a² + n_b spread_b²) / n + n_a n_b (a − b)² / n²

    which is the pooled spread, within the tables and between them. Without any samples, `a` stands.
    """
    if a.provenance != b.provenance:
        return min(a, b, key=lambda row: PROVENANCES.index(row.provenance))
    n = a.samples + b.samples
    if not n:
        return a
    share_a, share_b = a.samples / n, b.samples / n
    within = share_a * a.spread_ms**2 + share_b * b.spread_ms**2
    between = share_a * share_b * (a.latency_ms - b.latency_ms) ** 2
    latency_ms = share_a * a.latency_ms + share_b * b.latency_ms
    return Row(a.layer, latency_ms, sqrt(within + between), n, a.provenance)


def _check_alike(a: LatencyTable, b: LatencyTable) -> None:
    if a.fingerprint == b.fingerprint:
        raise TableError(f"{a.path} and {b.path} are the same table; its samples would count twice.")
    for table in (a, b):
        if table.header.device.fingerprint is None:
            raise TableError(
                f"{table.path}: this table does not tell the fingerprint of its device ({table.header.summary}). "
                "Only tables measured by nas on one device are merged."
            )
    differences = a.header.differences(b.header)
    if differences or a.header.device.fingerprint != b.header.device.fingerprint:
        raise TableError(
            f"Only tables of one device are merged: A is of {a.header.summary}, B of {b.header.summary}. "
            f"They differ in {', '.join(differences) or 'their device fingerprints'}."
        )


def _header(a: TableHeader, b: TableHeader) -> TableHeader:
    """That of A, as far as it is true of both."""
    wider = {name: max(band, getattr(b.error.band_pct, name)) for name, band in a.error.band_pct.model_dump().items()}
    unmeasured: dict[str, Any] = {"networks": None, "further_networks": [], "whole_networks": [], "source_scales": {}}
    return a.model_copy(
        update={
            **{name: None for name in ("target", "space", "resolution") if getattr(a, name) != getattr(b, name)},
            **{name: _joined(getattr(a, name), getattr(b, name)) for name in ("estimator", "source", "calibration")},
            "date": a.date if a.date == b.date else _joined(str(a.date), str(b.date)),
            "licence": _joined(a.licence, b.licence) if a.licence and b.licence else a.licence or b.licence,
            "error": a.error.model_copy(update={"band_pct": Bands(**wider), **unmeasured}),
            "references": [],
            "whole": None,
        }
    )


def _joined(a: str, b: str) -> str:
    return "; ".join(dict.fromkeys([*a.split("; "), *b.split("; ")]))


def _notes(a: TableHeader, b: TableHeader) -> list[str]:
    notes = ["errors on whole networks and reference networks are dropped: they are of the tables that were merged"]
    if a.whole or b.whole:
        notes.append("whole networks are left out: each table keeps its own")
    if a.model != b.model:
        notes.append("between rows the block model of A answers" if a.model else "the block model of B is left out")
    if a.calibration != b.calibration:
        notes.append("the rows of each table were corrected by its own calibration")
    if a.device.governor != b.device.governor:
        notes.append(f"the governors differed: {a.device.governor or 'unknown'} and {b.device.governor or 'unknown'}")
    return notes

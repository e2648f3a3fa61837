"""Writing a table: what is written can be read, and a reader never takes rows for those of another header."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from nas.errors import TableError
from nas.system.atomic import write_atomic
from nas.system.files import read_text
from nas.tables.header import TableHeader
from nas.tables.rows import VALUE_COLUMNS
from nas.tables.table import MAX_HEADER_BYTES, LatencyTable, Row, columns_used, parse_header, parse_table


def write_table(folder: Path, header: TableHeader, rows: Iterable[Row]) -> LatencyTable:
    """Write a table into a folder, and return it as a reader gets it; `key_columns` and `rows_sha256` are filled in.

    The rows go first and the header, with their hash, last: meanwhile, and after a crash between the two, a reader
    gets an error. Raises `TableError` for rows that break a rule, before anything is written, and where the folder
    holds a table whose header has no such hash: `nas` did not write it.
    """
    rows = list(rows)
    columns = columns_used([row.layer for row in rows])
    rows_text = _rows_text(rows, columns)
    digest = hashlib.sha256(rows_text.encode()).hexdigest()
    complete = header.model_copy(update={"key_columns": columns, "rows_sha256": digest})
    table = parse_table(folder, header_text(complete), rows_text)
    header_file = folder / "table.yaml"
    if header_file.exists():
        before = parse_header(read_text(header_file, TableError, MAX_HEADER_BYTES), header_file)
        if before.rows_sha256 is None:
            raise TableError(f"{folder} holds a table that nas did not write, and does not write over. Choose another.")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "table.csv", rows_text)
    write_atomic(header_file, header_text(complete))
    return table


def check_empty(out: Path, what: str) -> None:
    """Raise `TableError` unless a folder is new or empty; `what` goes into it."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise TableError(f"{out}: {what} goes into a new or empty folder, this is none.")


def header_text(header: TableHeader) -> str:
    """The content of a table.yaml."""
    document = header.model_dump(exclude_defaults=True)
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)


def _rows_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*columns, *VALUE_COLUMNS))
    for row in rows:
        figures = (float(row.latency_ms), float(row.spread_ms))  # of numpy's floats, too: written by repr, exactly
        key = (_cell(getattr(row.layer, name)) for name in columns)
        writer.writerow((*key, *figures, row.samples, row.provenance))
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return int(value) if isinstance(value, bool) else value

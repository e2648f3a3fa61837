"""`csv:FILE`: a list of pictures and labels, where folders do not say what a picture shows.

    picture,label,split
    scans/0001.tif,benign,train
    scans/0002.tif,tumour,test

`split` may be missing. Commas, semicolons or tabs stand between the columns. Paths are those from the list's folder.
"""

from __future__ import annotations

import csv
import hashlib
import os
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data.classes import Classes, nfc
from nas.data.member import MAX_MEMBERS
from nas.data.source import Source
from nas.data.splits import check_classes, named_parts, part_of
from nas.errors import DataError
from nas.system.files import lines, read_text
from nas.system.text import printable, short

COLUMNS = ("picture", "label", "split")
HEADS = (COLUMNS, COLUMNS[:2])
MAX_LIST_BYTES = 128 << 20


class _Row(NamedTuple):
    line: int
    parts: tuple[str, ...]
    """Of the picture's path."""
    label: str
    split: str
    """Ours; empty where the list has none."""


def load_label_list(argument: str) -> Source:
    """The pictures that the list `FILE` names. Raises `DataError` naming the line, the rule and what came."""
    path = Path(argument)
    listed: dict[str, _Row] = {}
    repeated = 0
    for row in _rows(path):
        first = listed.setdefault(nfc("/".join(row.parts)), row)
        for word, one, other in (("label", first.label, row.label), ("split", first.split, row.split)):
            if nfc(one) != nfc(other):
                raise DataError(
                    f"{path}: line {row.line}: a picture has one {word}, {printable('/'.join(row.parts))} has "
                    f"{printable(other, 60)!r} here and {printable(one, 60)!r} in line {first.line}."
                )
        repeated += first is not row
        if len(listed) > MAX_MEMBERS:
            raise DataError(f"{path}: at most {MAX_MEMBERS:,} pictures are read, this list has more.")
    if not listed:
        raise DataError(f"{path}: no pictures; a line `picture,label` is followed by one a picture.")
    return _source(path, sorted(listed.values(), key=lambda row: row.parts), repeated)


def _source(path: Path, rows: list[_Row], repeated: int) -> Source:
    digest = hashlib.sha256()
    files, missing = [], []
    for row in rows:
        if (file := _find(path.parent, row.parts)) is None:
            missing.append(row)
            continue
        status = file.stat()
        files.append(file)
        about = (row.parts, row.label, row.split, status.st_size, int(status.st_mtime))
        digest.update(f"{about!r}\n".encode())
    if missing:
        first = min(missing)
        raise DataError(
            f"{path}: line {first.line}: no picture {printable('/'.join(first.parts))!r} in the list's folder "
            f"{printable(os.path.abspath(path.parent))} ({len(missing):,} of {len(rows):,} are missing)."
        )
    splits = {row.split for row in rows}
    parts, notes = ({"": "train"}, ()) if splits == {""} else named_parts(sorted(splits), str(path))
    classes = Classes(str(path), (row.label for row in rows if parts[row.split] == "train"))
    numbered = [classes.find(row.label) for row in rows]
    for row, number in zip(rows, numbered, strict=True):
        if number is None:
            raise classes.unknown(row.label, parts[row.split], f"line {row.line}")
    labels = np.array(numbered, dtype=np.int64)
    of = np.array([parts[row.split] for row in rows])
    numbers = {part: np.flatnonzero(of == part) for part in parts.values()}
    names = tuple(map(printable, classes.names))
    check_classes(str(path), names, np.bincount(labels[numbers["train"]], minlength=len(names)))
    if repeated:
        notes += (f"{repeated:,} lines that repeat another were passed over.",)
    return Source(
        classes=names,
        labels=labels,
        parts=numbers,
        read=lambda: enumerate(files),
        title=lambda row: f"{path}: line {rows[row].line}: {printable('/'.join(rows[row].parts))}",
        fingerprint=digest.hexdigest(),
        notes=notes + classes.notes,
    )


def _find(folder: Path, parts: tuple[str, ...]) -> Path | None:
    """A plain file, whichever way its name writes accents: a Mac writes them otherwise than who types a list."""
    for form in (None, "NFC", "NFD"):
        names = parts if form is None else (unicodedata.normalize(form, part) for part in parts)
        with suppress(OSError, ValueError):
            if (file := folder.joinpath(*names)).is_file():
                return file
    return None


def _rows(path: Path) -> Iterator[_Row]:
    text = read_text(path, DataError, MAX_LIST_BYTES).removeprefix("\ufeff")
    head = text[: text.find("\n") + 1 or None].strip()
    between = next((mark for mark in ",;\t" if mark in head), ",")
    reader = csv.reader(lines(text, path, DataError), delimiter=between, strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not names:
                names = cells
                if len(set(names)) < len(names) or not any(set(names) == set(known) for known in HEADS):
                    raise DataError(
                        f"{path}: the first line names the columns: picture and label, and split if there is one, in "
                        f"these words; got {short(', '.join(names), 120)}."
                    )
            elif any(cells):
                yield _row(f"{path}: line {reader.line_num}", reader.line_num, names, cells)
    except csv.Error as problem:
        raise DataError(f"{path}: line {reader.line_num}: no CSV ({problem}).") from None


def _row(place: str, line: int, names: list[str], cells: list[str]) -> _Row:
    if len(cells) != len(names):
        raise DataError(f"{place}: {len(names)} columns as in the first line, got {len(cells)}.")
    row = dict(zip(names, cells, strict=True))
    for name, cell in row.items():
        if not cell:
            raise DataError(f"{place}: every line has a {name}, here is none. Fill it in, or remove the line.")
    written = row["picture"].replace("\\", "/")
    parts = tuple(part for part in written.split("/") if part not in {"", "."})
    if written.startswith("/") or written[1:3] == ":/" or ".." in parts or not parts:
        raise DataError(
            f"{place}: paths are those from the list's folder, and stay in it; got {printable(row['picture'], 120)!r}."
        )
    split = part_of(row["split"]) if "split" in row else ""
    if split is None:
        raise DataError(f"{place}: a split is train, val or test; got {printable(row['split'], 60)!r}.")
    return _Row(line, parts, row["label"], split)

"""The user's own tables: taking one in from a folder that came from elsewhere and is not trusted."""

from __future__ import annotations

import os
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nas.devices.names import DEVICE_KINDS, named_devices
from nas.errors import NasError, TableError
from nas.formats.archdef import read_archdef
from nas.system.atomic import write_atomic
from nas.system.files import read_bytes, read_json
from nas.system.places import own_tables_folder, shipped_folder
from nas.system.strict import Name
from nas.tables.header import NETWORK_NAME
from nas.tables.references import read_references
from nas.tables.table import MAX_HEADER_BYTES, MAX_TABLE_BYTES, LatencyTable, load_table
from nas.tables.whole import FILE as WHOLE
from nas.tables.write import header_text

MAX_NETWORKS = 256
MAX_NETWORK_BYTES = 1 << 20


def add_table(source: Path, name: str | None = None) -> dict[str, Any]:
    """Copy a table folder into the user's own tables, and say what became of it, as a JSON mapping.

    Only `table.csv`, `table.yaml`, `whole.csv.gz` and `networks/*.json` are taken, with bounds on their sizes; links
    are not followed. The copy is checked and then moved to its place as a whole. With another `name`, its header is
    written anew. Raises `TableError` where a file breaks a rule, and where another table has that name.
    """
    try:
        TypeAdapter(Name | None).validate_python(name)
    except ValidationError:
        rule = "A table's name is a letter, then up to 63 letters, digits, `_` and `-`"
        raise TableError(f"{rule}, got {ascii(name)[:80]}.") from None
    own = own_tables_folder()
    own.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=own, prefix=".adding-") as temporary:
        copy = Path(temporary) / "table"  # a level down, where it is not yet found by any name
        try:
            networks = _copy(source, copy)
            table = _checked(copy)
            if name is not None and name != table.name:
                write_atomic(copy / "table.yaml", header_text(table.header.model_copy(update={"name": name})))
                table = load_table(copy)
        except NasError as problem:
            raise TableError(str(problem).replace(str(copy), str(source))) from None
        _check_free(table.name)
        target = own / table.name
        added = _place(copy, target, table.fingerprint)
    return {
        "name": table.name,
        "path": str(target),
        "fingerprint": table.fingerprint,
        "rows": len(table.keys),
        "networks": networks,
        "added": added,
    }


def _check_free(name: str) -> None:
    """Refuse names that mean something else: a foreign table must not be found as the table of a device here."""
    if (shipped_folder("latency_tables") / name).exists():
        raise TableError(f"The name {name!r} is that of a table that comes with nas. Add yours with --name.")
    for device in (*DEVICE_KINDS, "device", *named_devices()):
        if name == device or name.startswith(f"{device}-"):
            raise TableError(
                f"The name {name!r} is kept for tables of your own device {device!r}. Add this one with --name."
            )


def _place(copy: Path, target: Path, fingerprint: str) -> bool:
    """Move the copy there; False where this very table was there before."""
    try:
        os.rename(copy, target)
    except OSError:
        if not os.path.lexists(target):
            raise
        if _fingerprint(target) != fingerprint:
            raise TableError(
                f"You have another table named {target.name!r} ({target}). Add this one with --name, or remove that."
            ) from None
        return False
    return True


def _fingerprint(folder: Path) -> str | None:
    try:
        return load_table(folder).fingerprint
    except NasError:
        return None


def _checked(folder: Path) -> LatencyTable:
    table = load_table(folder)
    for _ in table.rows():
        pass  # each is a layer that could be
    for path in sorted((folder / "networks").glob("*.json")):
        read_json(path, TableError, MAX_NETWORK_BYTES)
    for network in sorted({network.network for network in table.header.error.whole_networks}):
        read_archdef(folder / "networks" / f"{network}.json")
    read_references(folder, table.header.references)
    return table


def _copy(source: Path, copy: Path) -> int:
    """Copy what belongs to a table; returns the number of networks."""
    if not source.is_dir():
        raise TableError(f"{source}: a latency table is a folder with table.csv and table.yaml; this is none.")
    copy.mkdir()
    write_atomic(copy / "table.csv", read_bytes(source / "table.csv", TableError, MAX_TABLE_BYTES, links=False))
    write_atomic(copy / "table.yaml", read_bytes(source / "table.yaml", TableError, MAX_HEADER_BYTES, links=False))
    if os.path.lexists(source / WHOLE):
        write_atomic(copy / WHOLE, read_bytes(source / WHOLE, TableError, MAX_TABLE_BYTES, links=False))
    folder = source / "networks"
    if not os.path.lexists(folder):
        return 0
    if folder.is_symlink() or not folder.is_dir():
        raise TableError(f"{folder}: `networks` in a table is a folder, not a link or a file.")
    with os.scandir(folder) as entries:
        named = (entry.name for entry in entries if entry.name.endswith(".json"))
        names = sorted(islice(named, MAX_NETWORKS + 1))
    if len(names) > MAX_NETWORKS:
        raise TableError(f"{folder}: at most {MAX_NETWORKS} networks belong to a table.")
    (copy / "networks").mkdir()
    for name in names:
        if not NETWORK_NAME.fullmatch(name.removesuffix(".json")):
            raise TableError(f"{folder}: a network's file is named by letters, digits, `.`, `_` and `-`, got {name!r}.")
        write_atomic(copy / "networks" / name, read_bytes(folder / name, TableError, MAX_NETWORK_BYTES, links=False))
    return len(names)

"""Files of networks, in whatever form: a config.json, an arch-def, or a network of once-for-all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.errors import ArchitectureError
from nas.formats.archdef import is_archdef, parse_archdef
from nas.formats.config import MAX_CONFIG_BYTES, Config, is_config, parse_config
from nas.formats.onceforall import is_onceforall, parse_onceforall
from nas.system.files import read_json

PAGE = "docs/architectures.md"


def read_network(path: Path, resolution: int | None = None) -> Config:
    """The network in a file; `resolution`, in pixels, is that of one that says none. Raises `ArchitectureError` for a
    file that is none of these, or broken."""
    try:
        document: Any = read_json(path, ArchitectureError, MAX_CONFIG_BYTES)
    except ArchitectureError:
        if path.is_file() and path.suffix not in (".json", ".config", ".txt", ""):
            raise ArchitectureError(f"{path}: {_RULE}; a {path.suffix} file is none. See {PAGE}.") from None
        raise
    if is_onceforall(document):
        return Config(parse_onceforall(document, path, resolution))
    if is_archdef(document):
        return Config(parse_archdef(document, path))
    if is_config(document):
        return parse_config(document, path)
    raise ArchitectureError(f"{path}: {_RULE}; this file is none. See {PAGE}.")


_RULE = "a network is a JSON file: a config.json (with `layers`), an arch-def or one of once-for-all (with `blocks`)"

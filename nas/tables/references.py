"""Reference networks of a table: measured on its day, so that a device can be held against itself later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.blocks.architecture import Architecture
from nas.formats.config import read_config, to_config
from nas.system.atomic import write_atomic
from nas.tables.header import ReferenceNetwork


@dataclass(frozen=True)
class References:
    """Networks and what they took when the table was made."""

    networks: tuple[Architecture, ...]
    ms: tuple[float, ...]
    deviation_ms: tuple[float, ...]
    """Standard error of each."""


def read_references(folder: Path, entries: list[ReferenceNetwork]) -> References:
    """The networks of a header's `references`. Raises `ArchitectureError` for a file that is missing or wrong."""
    networks = [read_config(_file(folder, entry.network)).architecture for entry in entries]
    ms, deviations = ([getattr(entry, name) for entry in entries] for name in ("measured_ms", "deviation_ms"))
    return References(tuple(networks), tuple(ms), tuple(deviations))


def write_references(
    folder: Path, references: Mapping[str, tuple[Architecture, float, float]]
) -> list[ReferenceNetwork]:
    """Write each network as a config under `networks/`; returns the header's entries, by name, ms and its error."""
    (folder / "networks").mkdir(parents=True, exist_ok=True)
    for name, (network, _, _) in references.items():
        write_atomic(_file(folder, name), json.dumps(to_config(network)) + "\n")
    return [
        ReferenceNetwork(network=name, measured_ms=ms, deviation_ms=deviation)
        for name, (_, ms, deviation) in references.items()
    ]


def _file(folder: Path, name: str) -> Path:
    return folder / "networks" / f"{name}.json"

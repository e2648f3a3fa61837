"""`nas estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nas.cli.output import json_option, show_result
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--arch-def", type=click.Path(path_type=Path), metavar="FILE", help="A JSON file of timm block strings.")
@click.option("--target", required=True, help="A table's name or the path of a table folder.")
@json_option
def estimate(config: Path | None, arch_def: Path | None, target: str, as_json: bool) -> None:
    """Latency, MACs, parameters and memory of a network: a config.json, or an arch-def file."""
    from nas.cli.screen import estimate_summary
    from nas.cost.cost import COSTS
    from nas.tables.table import load_table
    from nas.tables.target import target_path

    architecture, space = _architecture(config, arch_def)
    table = load_table(target_path(target, space))
    found = table.estimate(architecture)
    result = {
        "target": table.name,
        "latency_ms": found.latency_ms,
        "coverage": found.coverage,
        "latency_error_pct": found.error_pct,
        "networks_error": table.checked_by_name(space),
        "macs": architecture.macs,
        "params": architecture.params,
        "flash_bytes": COSTS["flash"].of(architecture),
        "peak_bytes": COSTS["peak"].of(architecture),
    }
    show_result(result, estimate_summary, as_json)


def _architecture(config: Path | None, arch_def: Path | None) -> tuple[Architecture, str | None]:
    """The network, and the space that it names."""
    from nas.formats.archdef import read_archdef
    from nas.runs.network import find_network

    if (config is None) == (arch_def is None):
        raise NasError("Give a config.json or --arch-def FILE, and just one of them.")
    if arch_def is not None:
        return read_archdef(arch_def), None
    assert config is not None
    found = find_network(config).config
    return found.architecture, found.space

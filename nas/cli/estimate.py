"""`nas estimate`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from nas.cli.output import json_option, network_option, precision_option, show_result
from nas.errors import LatencyMissing, NasError

if TYPE_CHECKING:
    from nas.formats.config import Config


@click.command()
@click.argument("network", required=False, metavar="NET")
@click.option("--arch-def", metavar="FILE", help="The same as NET.")
@click.option("--target", help="A table's name or the path of a table folder, or a device. Default: size alone.")
@network_option
@precision_option
@json_option
def estimate(
    network: str | None,
    arch_def: str | None,
    target: str | None,
    resolution: int | None,
    precision: str | None,
    as_json: bool,
) -> None:
    """MACs, parameters and memory of a network, and its latency on a target.

    NET is a config.json, an arch-def file, a network of once-for-all, a run, a folder or a shipped network's name.
    """
    from nas.cli.screen import estimate_summary
    from nas.cost.cost import COSTS, counted
    from nas.runs.network import find_network

    place = network if arch_def is None else arch_def
    if place is None or None not in (network, arch_def):
        raise NasError("Give a network, such as config.json, and just one.")
    config = find_network(place, resolution, precision).config
    sizes = {COSTS[name].key: COSTS[name].of(config.architecture) for name in counted()}
    latency = {"target": None, "latency_ms": None, "coverage": None, "latency_error_pct": None}
    if target is not None:
        latency |= _latency(place, config, target, precision)
    show_result({**latency, **sizes}, estimate_summary, as_json)


def _latency(place: str, config: Config, target: str, precision: str | None) -> dict[str, Any]:
    """What the table of a target says of a network, or `why` it says nothing. Raises `NasError` for what is none."""
    from nas.devices.names import device_name
    from nas.tables.table import load_table
    from nas.tables.target import check_target, target_path

    check_target(target)
    try:
        table = load_table(target_path(target, config.space))
        found = table.estimate(config.architecture)
    except LatencyMissing as missing:
        option = "" if precision is None else f" --precision {precision}"
        timed = f" Time it: nas verify {shlex.quote(place)} --target {target}{option}" if device_name(target) else ""
        return {"target": target, "why": f"{missing}{timed}"}
    return {
        "target": table.name,
        "latency_ms": found.latency_ms,
        "coverage": found.coverage,
        "latency_error_pct": found.error_pct,
        "networks_error": table.checked_by_name(config.space),
    }

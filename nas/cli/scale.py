"""`nas scale`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.output import ScreenTeller, json_option, network_option, show_result
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture


@click.command()
@click.argument("source", metavar="NET")
@click.option("--target", required=True, help="A table's name or the path of a table folder, or a device.")
@click.option("--latency", required=True, metavar="2.5ms", help="At most.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder to write into.")
@network_option
@json_option
def scale(source: str, target: str, latency: str, out: Path, resolution: int | None, as_json: bool) -> None:
    """Scale a network by its width until it meets a latency: a baseline for a search. Its weights are random.

    NET is a shipped network's name, a config.json, an arch-def file, a network of once-for-all, a run or a folder.
    """
    from nas.cli.screen import scale_summary
    from nas.cost.cost import COSTS, counted
    from nas.formats.winner import export
    from nas.runs.network import find_network
    from nas.runs.request import parse_latency
    from nas.runs.scaling import scalings
    from nas.system.folder_lock import is_held
    from nas.tables.target import check_target

    bound = parse_latency(latency)
    check_target(target)
    if is_held(out):
        raise NasError(f"{out}: another process is working in this folder. Wait for it, or choose another --out.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise NasError(f"{out}: something is there already. Choose another --out.")
    whole = find_network(source, resolution).config.architecture
    network, found = _within(whole, bound, target)
    width = scalings(whole)[network]
    told = {"ms": found["latency_ms"], "asked_ms": bound, "target": found["target"], "measured": found.get("measured")}
    metrics = {"scaled": {"from": source, "width": width}, "latency": told}
    (written,) = export(network, out, ("config",), metrics=metrics)
    sizes = {COSTS[name].key: COSTS[name].of(network) for name in counted()}
    result = {"network": source, "width": width, "asked_ms": bound, **found, **sizes, "written": str(written)}
    show_result(result, scale_summary, as_json)


def _within(whole: Architecture, bound: float, target: str) -> tuple[Architecture, dict[str, Any]]:
    """The network, and what is known of its latency: measured where the target is a device, else by its table."""
    from nas.devices.names import device_name
    from nas.profiler.bench import attached
    from nas.runs.scaling import by_table, measured_to, scaled_to
    from nas.tables.table import load_table
    from nas.tables.target import target_path

    if device_name(target) is not None:
        with ScreenTeller("scale") as teller, attached(target) as device:
            network, measured = measured_to(whole, bound, device, teller)
        return network, {"target": target, "latency_ms": None, "measured": measured}
    table = load_table(target_path(target, None))
    network = scaled_to(whole, bound, by_table(table))
    found = table.estimate(network)
    known = {"latency_ms": found.latency_ms, "coverage": found.coverage, "latency_error_pct": found.error_pct}
    return network, {"target": table.name, **known, "measured": None}

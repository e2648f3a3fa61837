"""How true a table is: its header's fit errors, and whole networks estimated anew."""

from __future__ import annotations

from statistics import median
from typing import Any

from nas.formats.archdef import read_archdef
from nas.tables.table import LatencyTable


def check_table(table: LatencyTable) -> dict[str, Any]:
    """Errors of a table as a JSON mapping.

    Whole networks are those of the header: their arch-def files, in the table's folder `networks/`, are
    estimated with the table as it is now. The scale of a source is the median of published over estimated
    latency; it is told, never applied. Raises `NasError` where an arch-def file is missing or wrong.
    """
    networks: list[dict[str, Any]] = []
    for entry in table.header.error.whole_networks:
        network = read_archdef(table.path / "networks" / f"{entry.network}.json")
        estimate = table.estimate(network.in_precision(table.precision))
        networks.append(
            {
                "name": entry.name,
                "published_ms": entry.published_ms,
                "table_ms": estimate.latency_ms,
                "error_pct": 100 * (estimate.latency_ms / entry.published_ms - 1),
                "coverage": estimate.coverage,
                "source": entry.source,
            }
        )
    errors = [abs(network["error_pct"]) for network in networks]
    ratios: dict[str, list[float]] = {}
    for network in networks:
        ratios.setdefault(network["source"], []).append(network["published_ms"] / network["table_ms"])
    noise = table.noise()
    return {
        "table": table.name,
        "rows": len(table.keys),
        "networks_error": table.networks_error,
        "leave_one_stage_out": table.header.error.leave_one_stage_out,
        "whole_networks": networks,
        "mape_pct": sum(errors) / len(errors) if errors else None,
        "worst_pct": max(errors, default=None),
        "source_scales": {
            source: {"scale": median(values), "networks": len(values), "applied": False}
            for source, values in ratios.items()
        },
        **({"noise": noise} if noise else {}),
    }

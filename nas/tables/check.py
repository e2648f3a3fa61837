"""How true a table is: its header's fit errors, and whole networks estimated anew."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np

from nas.formats.archdef import read_archdef
from nas.tables.table import LatencyTable


def check_table(table: LatencyTable) -> dict[str, Any]:
    """Errors of a table as a JSON mapping.

    Whole networks are those of the header: their arch-def files, in the table's folder `networks/`, are
    estimated with the table as it is now. The scale of a source is the median of published over estimated
    latency; it is told, never applied. What fills a table of whole networks is fitted anew to some of them, and held
    against the others. Raises `NasError` where an arch-def file is missing or wrong.
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
        "leave_one_out": _left_out(table),
        "whole_networks": networks,
        "mape_pct": sum(errors) / len(errors) if errors else None,
        "worst_pct": max(errors, default=None),
        "source_scales": {
            source: {"scale": median(values), "networks": len(values), "applied": False}
            for source, values in ratios.items()
        },
        **({"noise": noise} if noise else {}),
    }


def _left_out(table: LatencyTable) -> dict[str, float]:
    """Errors of what fills a table on what it was not fitted to: between whole networks found anew, else as told."""
    errors = None if table.whole is None else table.whole.left_out()
    if errors is None:
        return table.header.error.leave_one_out
    return {"networks": len(errors), "mean_pct": float(errors.mean()), "p90_pct": float(np.quantile(errors, 0.9))}

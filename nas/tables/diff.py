"""How two tables differ, row by row: made twice on one device, or on two devices."""

from __future__ import annotations

from math import inf, isfinite
from statistics import median
from typing import Any

from nas.tables.table import LatencyTable, Row

TOLERANCE = 0.02
MOST_SHOWN = 10


def compare(a: LatencyTable, b: LatencyTable) -> dict[str, Any]:
    """Differences of two tables as a JSON mapping: of rows in both the ratio b / a, the share that agrees, the largest.

    Tables in different precisions are compared as if B were in that of A. Two rows agree where |a − b| ≤ 2 % of the
    larger + the spreads of both. Raises `TableError` for a key that is no layer that could be.
    """
    alike = a.precision == b.precision
    in_a, in_b = (
        {row.layer if alike else row.layer.changed(precision=a.precision): row for row in table.rows()}
        for table in (a, b)
    )
    pairs = [(row, in_b[layer]) for layer, row in in_a.items() if layer in in_b]
    ratios = [_ratio(*pair) for pair in pairs]
    known = [ratio for ratio in ratios if ratio is not None]
    unequal = [pair for pair in pairs if pair[0].latency_ms != pair[1].latency_ms]
    largest = sorted(unequal, key=lambda pair: -_difference(*pair))[:MOST_SHOWN]
    return {
        "a": _identity(a),
        "b": _identity(b),
        "rows": {"both": len(pairs), "only_a": len(in_a) - len(pairs), "only_b": len(in_b) - len(pairs)},
        "ratio": median(known) if known else None,
        "agreeing_pct": 100 * sum(agree(*pair) for pair in pairs) / len(pairs) if pairs else None,
        "largest": [
            {
                "layer": left.layer.row,
                "a_ms": left.latency_ms,
                "b_ms": right.latency_ms,
                "ratio": _ratio(left, right),
                "agrees": agree(left, right),
            }
            for left, right in largest
        ],
        "only_a": [layer.row for layer in in_a if layer not in in_b],
        "only_b": [layer.row for layer in in_b if layer not in in_a],
        "notes": _notes(a, b),
    }


def agree(a: Row, b: Row) -> bool:
    """Whether two rows are within 2 % plus their own spreads."""
    allowed = TOLERANCE * max(a.latency_ms, b.latency_ms) + a.spread_ms + b.spread_ms
    return abs(a.latency_ms - b.latency_ms) <= allowed


def _ratio(a: Row, b: Row) -> float | None:
    ratio = b.latency_ms / a.latency_ms if a.latency_ms else inf
    return ratio if isfinite(ratio) else None


def _difference(a: Row, b: Row) -> float:
    """Relative to the larger."""
    return abs(a.latency_ms - b.latency_ms) / max(a.latency_ms, b.latency_ms)


def _identity(table: LatencyTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "path": str(table.path),
        "device": table.header.summary,
        "device_fingerprint": table.header.device.fingerprint,
        "fingerprint": table.fingerprint,
    }


def _notes(a: LatencyTable, b: LatencyTable) -> list[str]:
    if a.fingerprint == b.fingerprint:
        return ["A and B are the same table"]
    notes = []
    prints = a.header.device.fingerprint, b.header.device.fingerprint
    if None in prints:
        notes.append("not both tables tell the fingerprint of their device: they may be of different ones")
    elif prints[0] != prints[1]:
        notes.append("the tables are of different devices: their fingerprints differ")
    notes += [f"of {table.name} only sums of rows mean something" for table in (a, b) if table.sums is not None]
    differences = a.header.differences(b.header)
    return notes + ([f"A and B differ in {', '.join(differences)}"] if differences else [])

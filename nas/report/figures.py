"""Figures as people read them: milliseconds, counts, shares, decisions. A figure and its unit stay on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.cost.cost import by_key
from nas.report.markup import clipped

SPACE = "\u00a0"
"""No line is broken at it."""
MOST_LETTERS = 400
"""Length of the text of one network's decisions."""


def milliseconds(ms: float) -> str:
    """Three digits or more, with the unit: `103.0 ms`, `4.95 ms`, `0.083 ms`."""
    return f"{ms:,.{1 if ms >= 10 else 2 if ms >= 1 else 3}f}{SPACE}ms"


def on_all(first: float, latencies: Mapping[str, float]) -> str:
    """Latency on all targets, in their order; on the `first` where no others are known."""
    return " / ".join(map(milliseconds, latencies.values() or [first]))


def millions(count: float) -> str:
    """`400 M`, `6.4 M`, `0.04 M`."""
    return f"{count / 1e6:,.{0 if count >= 1e8 else 1 if count >= 1e6 else 2}f}{SPACE}M"


def amount(key: str, value: float) -> str:
    """A cost by its key in results: `400 M`, `256 KiB`. Raises `NasError` for one that is not registered."""
    cost = by_key(key)
    return cost.amount(value).replace(" ", SPACE) if cost.unit else millions(value)


def score(value: float, unit: str) -> str:
    """An accuracy with its unit."""
    return f"{value:.1f}{SPACE}{unit}".rstrip()


def uncertain(value: float, sigma: float, unit: str) -> str:
    """An accuracy with its standard deviation and its unit: `67.2 ± 0.3 %`."""
    return f"{value:.1f}{SPACE}±{SPACE}{sigma:.1f}{SPACE}{unit}".rstrip()


def share(part: float) -> str:
    """`12 %`; what is there but small is not called nothing."""
    return f"<{SPACE}1{SPACE}%" if 0 < part < 0.005 else f"{100 * part:.0f}{SPACE}%"


def counted(number: int, noun: str) -> str:
    """`1 network`, `20 networks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def spoken(decisions: Mapping[str, Any]) -> str:
    """The decisions of one network, a line a stage: `stage1: depth 2, kernel 3`."""
    stages: dict[str, list[str]] = {}
    for name, option in decisions.items():
        stage, _, setting = name.rpartition(".")
        stages.setdefault(stage, []).append(f"{setting} {option}")
    return clipped("\n".join(f"{s}: {', '.join(o)}" if s else ", ".join(o) for s, o in stages.items()), MOST_LETTERS)

"""How true the table is: whole networks by the table and as they were measured or published, with a band of ±5 %."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from nas.errors import NasError
from nas.report.axis import Axis, linear
from nas.report.chart import area, area_key, chart, legend, line, line_key, mark, mark_key
from nas.report.figures import milliseconds
from nas.report.markup import clipped, element, joined
from nas.report.material import Material, Target
from nas.report.page import named
from nas.tables.check import check_table
from nas.tables.header import NetworksError
from nas.tables.references import read_references
from nas.tables.table import LatencyTable

BAND_PCT = 5.0
MOST_NETWORKS = 64


@dataclass(frozen=True)
class Known:
    """A network whose latency is known from elsewhere."""

    name: str
    table_ms: float
    ms: float
    deviation_ms: float
    """Standard error; 0 where none was stated."""

    @property
    def error_pct(self) -> float:
        """Of the table, as a share of what was measured."""
        return 100 * (self.table_ms / self.ms - 1)


def truth_section(material: Material) -> Markup:
    """Chart and list, or in words that there is nothing to hold a table against, of each target."""
    return named({at.name: _section(at) for at in material.targets})


def _section(at: Target) -> Markup:
    if at.table is None:
        return element("p", at.table_missing)
    try:
        networks, told = known_networks(at.table)
    except NasError as problem:
        networks, told = [], f"The networks that came with the table cannot be read: {problem}"
    winner = _winner(at)
    summary = _summary(at.table.header.error.networks)
    if not networks and winner is None:
        nothing = (
            "Nothing is known of how far this table is off on whole networks: none came with it, none was measured."
        )
        return element("p", " ".join(filter(None, [summary, told])) or nothing)
    words = [element("p", sentence) for sentence in (summary, at.table.noise() or "", told) if sentence]
    both = element("div", _chart(networks, winner, "published" in told), _list(networks, winner), class_="pair")
    return joined([*words, both])


def known_networks(table: LatencyTable) -> tuple[list[Known], str]:
    """Networks that came with a table, estimated with it as it is now, and in words what they are.

    Raises `NasError` where a file of them is missing or wrong, or the table does not answer for one.
    """
    header = table.header
    if header.references:
        kept = read_references(table.path, header.references)
        figures = zip(header.references, kept.networks, kept.ms, kept.deviation_ms, strict=True)
        found = [Known(e.network, table.estimate(n).latency_ms, ms, deviation) for e, n, ms, deviation in figures]
        told = (
            f"{len(found)} of the networks that checked the table were kept, with what they took on its day: "
            "none of them was fitted to."
        )
    else:
        checked = check_table(table)["whole_networks"]
        found = [Known(n["name"], n["table_ms"], n["published_ms"], 0.0) for n in checked]
        told = f"{len(found)} networks whose latency was published for this device." if found else ""
    return found[:MOST_NETWORKS], told


def _summary(error: NetworksError | None) -> str:
    if error is None:
        return ""
    told = (
        f"On {error.count:,} whole networks measured on the device the table was {error.mape_pct:.1f} % off on average "
        f"and {error.worst_pct:.1f} % at most; {error.within_5_pct:.0f} % of them were within 5 %."
    )
    parts = [
        f"the {name} {third.count} by {third.mape_pct:.1f} %, {third.worst_pct:.1f} % at most"
        for name, third in zip(("fastest", "middle", "slowest"), error.thirds, strict=False)
    ]
    return f"{told} By parts of the range: {'; '.join(parts)}." if parts else told


def _winner(at: Target) -> Known | None:
    measured = at.result.measured
    if measured is None:
        return None
    return Known("winner of this run", measured.latency_ms, measured.measured_ms, measured.measured_halfwidth_ms / 1.96)


def _chart(networks: list[Known], winner: Known | None, published: bool) -> Markup:
    shown = [*networks, *([winner] if winner else [])]
    low = min(min(n.table_ms, n.ms) for n in shown)
    high = max(max(n.table_ms, n.ms) for n in shown)
    what = "published" if published and winner is None else "measured or published" if published else "measured"
    x, y = linear(low, high, "latency by table, ms", pad=0.08), linear(low, high, f"{what}, ms", pad=0.08)
    ends = np.array([max(x.low, 0.0), x.high])
    band = BAND_PCT / 100
    outline = np.concatenate([ends / (1 - band), ends[::-1] / (1 + band)])  # where |table / known - 1| <= band
    layer = [
        area(x, y, np.concatenate([ends, ends[::-1]]), outline, "band"),
        line(x, y, ends, ends, "even"),
    ]
    marks = [_mark(x, y, network, "dot", "known") for network in networks]
    entries = [(mark_key("dot", "known"), "networks that came with the table")] if networks else []
    if winner:
        marks.append(_mark(x, y, winner, "star", "winner"))
        entries.append((mark_key("star", "winner"), "winner of this run, measured"))
    entries += [(line_key("even"), "the table is right"), (area_key("band"), f"the table is within ±{BAND_PCT:.0f} %")]
    label = f"Latency by the table against what was {what}, of {len(shown)} networks"
    return element("figure", chart(x, y, label, layer=layer, marks=marks), legend(entries))


def _mark(x: Axis, y: Axis, network: Known, shape: str, style: str) -> Markup:
    tip = (
        f"{clipped(network.name, 80)}: table {milliseconds(network.table_ms)}, known {milliseconds(network.ms)}, "
        f"the table is {network.error_pct:+.1f} % off"
    )
    return mark(x, y, (network.table_ms, network.ms), shape, style, tip)


def _list(networks: list[Known], winner: Known | None) -> Markup:
    rows = [
        element(
            "tr",
            element("td", clipped(network.name, 60)),
            element("td", f"{network.table_ms:,.2f}"),
            element("td", f"{network.ms:,.2f}"),
            element(
                "td",
                f"{round(network.error_pct, 1) + 0.0:+.1f} %",
                class_="" if abs(network.error_pct) <= BAND_PCT else "off",
            ),
        )
        for network in (*networks, *([winner] if winner else []))
    ]
    head = [element("th", name, scope="col") for name in ("network", "table, ms", "known, ms", "table off by")]
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    return element("div", table, class_="wide")

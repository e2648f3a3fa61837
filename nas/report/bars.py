"""The winner's latency layer by layer, with where each figure comes from: by colour, by pattern and in words."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from nas.errors import NasError
from nas.report.chart import area_key, legend
from nas.report.figures import milliseconds, share
from nas.report.markup import clipped, element, joined
from nas.report.material import Floats, Material, Target
from nas.report.page import named
from nas.report.placed import MOST_LAYERS, placed_layers
from nas.tables.rows import PROVENANCES
from nas.tables.table import describe

ROW = 24
"""Height of a bar and its gap, in pixels."""
LONGEST = 76.0
"""Percent of the width that the longest bar takes; its figure is written behind it."""

MEANINGS = {
    "measured": "measured on the device",
    "derived": "derived from measured rows, or nothing to compute",
    "simulated": "simulated, or taken over by ratio",
    "interpolated": "interpolated by the table's model",
}


def bars_section(material: Material) -> Markup:
    """A bar for each layer, and a legend with the share of each provenance, on each target."""
    return named({at.name: _section(material, at) for at in material.targets})


def _section(material: Material, at: Target) -> Markup:
    if at.table is None:
        return element("p", at.table_missing)
    if at.table.whole is not None or at.table.sums is not None:
        return element("p", "The table knows whole networks: it says nothing of their layers.", class_="note")
    layers = placed_layers(material)
    try:
        found = at.table.lookup([placed.layer for placed in layers])
    except NasError as problem:
        return element("p", f"The table does not answer for the winner's layers any more: {problem}")
    names = [placed.name for placed in layers[:MOST_LAYERS]]
    tips = [describe(placed.layer) for placed in layers[:MOST_LAYERS]]
    origins = [PROVENANCES[code] for code in found.provenance[:MOST_LAYERS]]
    drawing = bars(names, found.ms[:MOST_LAYERS], origins, tips)
    total = float(found.ms.sum())
    sums = np.bincount(found.provenance, weights=found.ms, minlength=len(PROVENANCES))
    entries = [
        (area_key(f"p-{name}"), f"{MEANINGS[name]}: {milliseconds(float(ms))}, {share(ms / max(total, 1e-12))}")
        for name, ms in zip(PROVENANCES, sums, strict=True)
        if ms > 0
    ]
    more = ""
    if len(layers) > len(names):
        rest = milliseconds(float(found.ms[MOST_LAYERS:].sum()))
        more = f" The last {len(layers) - len(names)} of {len(layers)} layers are not drawn; they take {rest}."
    words = f"{milliseconds(total)} in all, an estimate: the sum of the table's layers.{more}"
    note = element("p", words, class_="note")
    return joined([drawing, legend(entries), note])


def bars(names: list[str], ms: Floats, provenance: list[str], tips: list[str]) -> Markup:
    """Horizontal bars with a name before and milliseconds behind each."""
    longest = max(float(ms.max(initial=0)), 1e-12)
    rows = []
    for row, (name, value, word, tip) in enumerate(zip(names, ms.tolist(), provenance, tips, strict=True)):
        width = f"{LONGEST * value / longest:.2f}%"
        tooltip = element("title", f"{name}: {milliseconds(value)}, {word}\n{tip}")
        rows += [
            element("text", clipped(name, 15), x="-8", y=row * ROW + 16, class_="tick end"),
            element("rect", tooltip, x="0", y=row * ROW + 3, width=width, height=str(ROW - 6), class_=f"p-{word}"),
            element(
                "text",
                f"{value:.{2 if value >= 0.1 or value == 0 else 3}f} ms",
                x=width,
                dx="6",
                y=row * ROW + 16,
                class_="tick",
            ),
        ]
    label = f"Latency of {len(names)} layers by the table"
    svg = element("svg", *rows, role="img", aria_label=label, height=str(ROW * len(names)))
    return element("div", svg, class_="bars")

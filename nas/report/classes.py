"""Accuracy by class, with 95 % intervals of Wilson's (Journal of the American Statistical Association 22, 1927)."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from nas.report.figures import SPACE, counted
from nas.report.markup import clipped, element, joined
from nas.report.trained import Floats, Trained

Z = 1.96
"""Standard deviations of a normal distribution within which 95 % of it lies."""
MOST_CLASSES = 100
"""Classes that are drawn."""
ROW = 22
"""Height of a class, in pixels."""


def classes_section(trained: Trained) -> Markup:
    """A row a class, the worst first."""
    if trained.answers is None:
        return element("p", NO_ANSWERS)
    right, total = by_class(trained)
    low, high = wilson(right, total)
    order = np.argsort(np.where(total > 0, right / np.maximum(total, 1), 2.0), kind="stable")
    order = order[total[order] > 0]
    shown = order[:MOST_CLASSES]
    rows: list[Markup] = []
    for row, number in enumerate(shown.tolist()):
        share = right[number] / total[number]
        rows += _row(row, trained.classes[number], share, low[number], high[number], int(total[number]))
    label = f"Accuracy of {counted(len(shown), 'class')}, with 95 % intervals".replace("classs", "classes")
    svg = element("svg", *rows, role="img", aria_label=label, height=str(ROW * len(shown)))
    words = "Share of each class's test pictures that is recognised, worst first; lines are 95 % intervals (Wilson)."
    if len(shown) < len(order):
        words += f" The {len(order) - len(shown):,} classes that do better are not drawn."
    if len(order) < len(trained.classes):
        words += f" Of {len(trained.classes) - len(order):,} classes there are no test pictures."
    return joined([element("div", svg, class_="bars byclass"), element("p", words, class_="note")])


def by_class(trained: Trained) -> tuple[Floats, Floats]:
    """float64[classes] each: the test pictures of each class that are recognised, and all of them."""
    counts, classes = trained.counts, len(trained.classes)
    hits = counts[:, 0] == counts[:, 1]
    right, total = (np.bincount(each[:, 0], each[:, 2], classes) for each in (counts[hits], counts))
    return right.astype(np.float64), total.astype(np.float64)


def wilson(right: Floats, total: Floats) -> tuple[Floats, Floats]:
    """The ends of 95 % intervals of shares, float64[N] each; 0 and 1 where nothing was counted."""
    count = np.maximum(total, 1e-12)
    share, square = right / count, Z * Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z * np.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _row(row: int, name: str, share: float, low: float, high: float, total: int) -> list[Markup]:
    y, figure = row * ROW + 10, f"{100 * share:.0f}{SPACE}%"
    interval = f"{100 * low:.0f} to {100 * high:.0f} %"
    tip = element("title", f"{name}: {figure} of {total:,} pictures, {interval}")
    ends = {"x1": f"{100 * low:.2f}%", "x2": f"{100 * high:.2f}%"}
    return [
        element("text", clipped(name, 15), x="-8", y=y + 4, class_="tick end"),
        element("line", x1="0", x2="100%", y1=str(y), y2=str(y), class_="grid"),
        element("line", y1=str(y), y2=str(y), class_="interval", **ends),
        element("circle", tip, cx=f"{100 * share:.2f}%", cy=str(y), r="4.5", class_="front"),
        element("text", f"{figure} of {total:,}", x="100%", dx="10", y=y + 4, class_="tick"),
    ]


NO_ANSWERS = (
    "What the network said of the test pictures was not kept, as this training was made by an earlier version of nas. "
    "Train again for it: the command is below."
)

"""Chart: two axes and what is drawn between them, as one inline SVG of any width.

Places are percent and letters have the size of the page's text, so that a chart is as legible on a phone as on a
desk. Lines and areas, which SVG has no percent for, lie in a layer of 1,000 × 1,000 that is stretched; strokes are not.
Nothing is written between the axes, where it would cover curves at one width or another: what lines and marks stand for
is in the legend and in tooltips.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nas.report.axis import Axis
from nas.report.markup import element, number

Floats = NDArray[np.float64]

SHAPES = {
    "dot": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "square": "M-5-5h10v10h-10z",
    "triangle": "M0-6.5L6 4.5H-6z",
    "diamond": "M0-7L6 0L0 7L-6 0z",
    "down": "M0 6.5L6-4.5H-6z",
    "star": "M0-9L2.3-3.2L8.6-2.8L3.8 1.2L5.3 7.3L0 4L-5.3 7.3L-3.8 1.2L-8.6-2.8L-2.3-3.2z",
    "cross": "M-5-5L5 5M5-5L-5 5",
    "hexagon": "M-3.2-5.5H3.2L6.4 0L3.2 5.5H-3.2L-6.4 0z",
}
"""Outlines of marks around (0, 0), in pixels."""


def chart(x: Axis, y: Axis, label: str, *, layer: Iterable[Markup] = (), marks: Iterable[Markup] = ()) -> Markup:
    """The whole of it; `label` says what it shows to those who do not see it, `layer` is stretched, `marks` are not."""
    stretched = element(
        "svg",
        *layer,
        class_="layer",
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
    )
    drawing = element("svg", *_frame(x, y), stretched, *marks, role="img", aria_label=label)
    return element("div", drawing, class_="chart")


def _frame(x: Axis, y: Axis) -> Iterable[Markup]:
    for value, label in zip(x.ticks, x.labels, strict=True):
        at = _percent(x.place(value))
        yield element("line", x1=at, x2=at, y1="0", y2="100%", class_="grid")
        yield element("text", label, x=at, y="100%", dy="18", class_="tick mid")
    for value, label in zip(y.ticks, y.labels, strict=True):
        at = _percent(100 - y.place(value))
        yield element("line", x1="0", x2="100%", y1=at, y2=at, class_="grid")
        yield element("text", label, x="-8", y=at, dy="4", class_="tick end")
    yield element("line", x1="0", x2="100%", y1="100%", y2="100%", class_="axis")
    yield element("text", x.title, x="100%", y="100%", dy="38", class_="title end")
    yield element("text", y.title, x="-46", y="-14", class_="title")


def line(
    x: Axis, y: Axis, xs: Floats, ys: Floats, style: str, tip: str | None = None, *, steps: bool = False
) -> Markup:
    """A line for the layer, through points in order; with `steps`, level from each to the next."""
    across, up = _thousandths(x.places(xs)), _thousandths(100 - y.places(ys))
    if not len(across):
        return Markup("")
    if steps:
        words = [f"H{a}V{b}" for a, b in zip(across[1:], up[1:], strict=True)]
    else:
        words = [f"L{a} {b}" for a, b in zip(across[1:], up[1:], strict=True)]
    return element("path", _tip(tip), d=f"M{across[0]} {up[0]}" + "".join(words), class_=f"line {style}")


def area(x: Axis, y: Axis, xs: Floats, ys: Floats, style: str, tip: str | None = None) -> Markup:
    """A filled outline for the layer."""
    points = zip(_thousandths(x.places(xs)), _thousandths(100 - y.places(ys)), strict=True)
    return element("path", _tip(tip), d="M" + "L".join(f"{a} {b}" for a, b in points) + "z", class_=style)


def vertical(x: Axis, value: float, style: str, tip: str) -> Markup:
    """A line across the chart at a value of x."""
    at = _percent(x.place(value))
    return element("line", element("title", tip), x1=at, x2=at, y1="0", y2="100%", class_=style)


def horizontal(y: Axis, value: float, style: str, tip: str) -> Markup:
    """A line across the chart at a value of y."""
    at = _percent(100 - y.place(value))
    return element("line", element("title", tip), x1="0", x2="100%", y1=at, y2=at, class_=style)


def whisker(x: Axis, y: Axis, at: float, low: float, high: float, style: str) -> Markup:
    """A range of y at a value of x."""
    place = _percent(x.place(at))
    ends = {"y1": _percent(100 - y.place(low)), "y2": _percent(100 - y.place(high))}
    return element("line", x1=place, x2=place, class_=f"whisker {style}", **ends)


def mark(x: Axis, y: Axis, at: tuple[float, float], shape: str, style: str, tip: str) -> Markup:
    """A shape at a point with a tooltip."""
    places = {"x": _percent(x.place(at[0])), "y": _percent(100 - y.place(at[1]))}
    return element("svg", element("path", _tip(tip), d=SHAPES[shape], class_=style), class_="mark", **places)


def dot(x: Axis, y: Axis, at: tuple[float, float], style: str, tip: str | None) -> Markup:
    """A small round point."""
    places = {"cx": _percent(x.place(at[0])), "cy": _percent(100 - y.place(at[1]))}
    return element("circle", _tip(tip), r="3", class_=style, **places)


def legend(entries: Sequence[tuple[Markup, str]]) -> Markup:
    """Keys and what they stand for, under a chart."""
    return element("ul", *(element("li", key, element("span", words)) for key, words in entries), class_="legend")


def key(*drawn: Markup) -> Markup:
    """A picture of 24 × 16 for a legend, around its middle."""
    return element("svg", *drawn, viewBox="-12 -8 24 16", width="24", height="16", aria_hidden="true")


def line_key(style: str) -> Markup:
    """The key of a line."""
    return key(element("path", d="M-11 0H11", class_=f"line {style}"))


def mark_key(shape: str, style: str) -> Markup:
    """The key of a mark."""
    return key(element("path", d=SHAPES[shape], class_=style))


def area_key(style: str) -> Markup:
    """The key of an area."""
    return key(element("rect", x="-10", y="-6", width="20", height="12", class_=style))


def _tip(words: str | None) -> Markup | None:
    return None if words is None else element("title", words)


def _percent(value: float) -> str:
    return f"{number(value)}%"


def _thousandths(percents: Floats) -> list[str]:
    return [number(value) for value in np.round(np.clip(percents, -100, 200) * 10, 1).tolist()]

"""A figure for the docs: axes, series of marks with whiskers or lines, a legend; one SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.report.axis import Axis
from nas.report.chart import SHAPES
from nas.report.markup import Markup, element

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 34, 54
COLOURS = ("#c2410c", "#1d4ed8", "#15803d", "#7c3aed", "#be185d", "#0e7490", "#a16207", "#52525b")


@dataclass(frozen=True)
class Series:
    """Points (x, y, half of the whisker along y) of one name."""

    name: str
    points: Sequence[tuple[float, float, float]]
    shape: str = "dot"
    """One of `nas.report.chart.SHAPES`."""
    line: bool = False


def figure(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """The SVG, as text."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(value: float) -> float:
        return LEFT + wide * x.place(value) / 100

    def up(value: float) -> float:
        return TOP + high * (1 - y.place(value) / 100)

    drawn: list[Markup] = [
        element("rect", width=WIDTH, height=HEIGHT, fill="#ffffff"),
        element("text", title, x=LEFT, y=20, font_weight="bold"),
        element("text", x.title, x=LEFT + wide, y=HEIGHT - 12, text_anchor="end"),
        element("text", y.title, x=LEFT, y=TOP + 14, dx=6),
    ]
    for value, label in zip(x.ticks, x.labels, strict=True):
        drawn.append(element("line", x1=across(value), x2=across(value), y1=TOP, y2=TOP + high, stroke="#e5e7eb"))
        drawn.append(element("text", label, x=across(value), y=TOP + high + 18, text_anchor="middle"))
    for value, label in zip(y.ticks, y.labels, strict=True):
        drawn.append(element("line", x1=LEFT, x2=LEFT + wide, y1=up(value), y2=up(value), stroke="#e5e7eb"))
        drawn.append(element("text", label, x=LEFT - 8, y=up(value) + 4, text_anchor="end"))
    for index, one in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        if one.line:
            path = "M" + "L".join(f"{across(px):.1f} {up(py):.1f}" for px, py, _ in one.points)
            drawn.append(element("path", d=path, fill="none", stroke=colour, stroke_width=1.6))
        for px, py, half in one.points:
            tip = element("title", f"{one.name}: {px:g}, {py:g}" + (f" ± {half:g}" if half else ""))
            if half:
                drawn.append(
                    element("line", x1=across(px), x2=across(px), y1=up(py - half), y2=up(py + half), stroke=colour)
                )
            drawn.append(_mark(one.shape, colour, across(px), up(py), tip))
        place = TOP + 10 + 22 * index
        drawn.append(_mark(one.shape, colour, WIDTH - RIGHT + 18, place))
        drawn.append(element("text", one.name, x=WIDTH - RIGHT + 32, y=place + 4))
    return element(
        "svg",
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        font_family="system-ui, sans-serif",
        font_size="12",
        fill="#1f2937",
    )


def _mark(shape: str, colour: str, x: float, y: float, tip: Markup | None = None) -> Markup:
    look = {"d": SHAPES[shape], "stroke": "#ffffff", "fill": colour}
    return element("path", tip, transform=f"translate({x:.1f} {y:.1f})", **look)

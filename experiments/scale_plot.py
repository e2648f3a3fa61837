"""Draws `docs/scale.svg` from the results of `scale_search.py` and `scale_ledger.py length`.

python experiments/scale_plot.py experiments/results/scale_search.jsonl experiments/results/scale_ledger.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from nas.report.axis import Axis, linear, logarithmic
from nas.report.markup import Markup, element, number

WIDTH, HEIGHT = 330, 210
"""Of a panel, in pixels, without its margins."""
LEFT, TOP, RIGHT, BOTTOM = 58, 40, 16, 48
COLOURS = ("#1f6feb", "#c2410c", "#15803d")

Curve = tuple[str, Sequence[float], Sequence[float]]
"""A name, and points."""


def panel(place: int, title: str, x: Axis, y: Axis, curves: Iterable[Curve]) -> Markup:
    """Axes, curves, and their names above."""
    drawn: list[Markup] = [element("text", title, x=0, y=-22, font_weight="600")]
    for value, label in zip(x.ticks, x.labels, strict=True):
        at = WIDTH * x.place(value) / 100
        drawn.append(element("line", x1=at, x2=at, y1=0, y2=HEIGHT, stroke="#e3e6ea"))
        drawn.append(element("text", label, x=at, y=HEIGHT + 17, text_anchor="middle"))
    for value, label in zip(y.ticks, y.labels, strict=True):
        at = HEIGHT * (1 - y.place(value) / 100)
        drawn.append(element("line", x1=0, x2=WIDTH, y1=at, y2=at, stroke="#e3e6ea"))
        drawn.append(element("text", label, x=-8, y=at + 4, text_anchor="end"))
    drawn.append(element("text", x.title, x=WIDTH, y=HEIGHT + 36, text_anchor="end", fill="#57606a"))
    drawn.append(element("text", y.title, x=0, y=-7, fill="#57606a"))
    names: list[Markup] = []
    for (name, xs, ys), colour in zip(curves, COLOURS, strict=False):
        across = WIDTH * x.places(np.array(xs, dtype=np.float64)) / 100
        up = HEIGHT * (1 - y.places(np.array(ys, dtype=np.float64)) / 100)
        points = [(number(a), number(b)) for a, b in zip(across.tolist(), up.tolist(), strict=True)]
        path = "M" + "L".join(f"{a} {b}" for a, b in points)
        drawn.append(element("path", d=path, fill="none", stroke=colour, stroke_width=2))
        drawn += [element("circle", cx=a, cy=b, r=3, fill=colour) for a, b in points]
        names.append(element("tspan", f"  {name}", fill=colour))
    drawn.append(element("text", *names, x=WIDTH, y=-7, text_anchor="end", style="white-space: pre"))
    column, row = place % 2, place // 2
    left = LEFT + column * (LEFT + WIDTH + RIGHT)
    return element("g", *drawn, transform=f"translate({left} {TOP + row * (TOP + HEIGHT + BOTTOM)})")


def sweep(points: Sequence[Mapping[str, Any]], changed: str) -> list[Curve]:
    """Microseconds an evaluation of both controllers."""
    curves = []
    for controller in ("evolution", "nsga2"):
        mine = [p for p in points if p["changed"] == changed and p["controller"] == controller]
        curves.append((controller, [p[changed] for p in mine], [p["microseconds"] for p in mine]))
    return curves


def sweep_panel(place: int, points: Sequence[Mapping[str, Any]], changed: str) -> Markup:
    """Of one size, both axes logarithmic."""
    curves = sweep(points, changed)
    sizes, costs = ([value for curve in curves for value in curve[part]] for part in (1, 2))
    x = logarithmic(min(sizes), max(sizes), f"{changed}")
    y = logarithmic(min(1.0, *costs), 10 ** np.ceil(np.log10(max(costs))), "CPU µs an evaluation")
    return panel(place, f"Cost against {changed}", x, y, curves)


@click.command()
@click.argument("search", type=Path)
@click.argument("ledger", type=Path)
@click.option("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "scale.svg")
def main(search: Path, ledger: Path, out: Path) -> None:
    """Six panels, one picture."""
    points = [json.loads(line) for line in search.read_text().splitlines()]
    runs = [p for p in map(json.loads, ledger.read_text().splitlines()) if p["measured"] == "length"]
    lengths = [run["evaluations"] for run in runs]
    x = logarithmic(min(lengths), max(lengths), "evaluations of the run")
    seconds = [(name, lengths, [run[name]["cpu_seconds"] for run in runs]) for name in ("search", "resume", "report")]
    memory = [(name, lengths, [run[name]["peak_mib"] for run in runs]) for name in ("search", "report")]
    most = max(max(ys) for _, _, ys in memory)
    panels = [sweep_panel(place, points, changed) for place, changed in enumerate(("decisions", "options", "batch"))]
    panels += [
        sweep_panel(3, points, "population"),
        panel(4, "Whole commands", x, logarithmic(0.1, 100, "CPU seconds"), seconds),
        panel(5, "Largest memory", x, linear(0, most, "MiB", pad=0), memory),
    ]
    width, height = 2 * (LEFT + WIDTH + RIGHT), 3 * (TOP + HEIGHT + BOTTOM)
    ground = element("rect", width=width, height=height, fill="#ffffff")
    picture = element(
        "svg",
        ground,
        *panels,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        font_family="system-ui, sans-serif",
        font_size=12,
        fill="#1f2328",
    )
    out.write_text(f"{picture}\n")


if __name__ == "__main__":
    main()

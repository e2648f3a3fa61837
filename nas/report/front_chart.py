"""Accuracy against latency: what was evaluated, the front, the references, the winner and the bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from nas.cost.front import pareto_front
from nas.report.axis import Axis, linear
from nas.report.chart import area_key, chart, dot, legend, line, line_key, mark, mark_key, vertical, whisker
from nas.report.figures import counted, milliseconds, score, spoken, uncertain
from nas.report.markup import clipped, element, joined, number
from nas.report.material import Floats, Material, Target
from nas.report.page import named
from nas.report.thinning import Cells, Indices, cells, evenly
from nas.runs.ledger_file import STRETCH
from nas.runs.result import Found, Measured

MOST_DOTS = 200
"""Evaluations that are drawn one by one; more are counted in cells."""
MOST_MARKS = 40
"""Points of the front that have a mark and a tooltip."""
MOST_CORNERS = 400
"""Points of the front that its line goes through."""
REFERENCES = ("triangle", "square", "down", "hexagon", "diamond", "dot")
"""Shapes of as many references."""
COLUMNS, ROWS, LEVELS = 60, 36, 5


@dataclass(frozen=True)
class Front:
    """The evaluations of a run that none other beats, fastest first."""

    rows: Indices
    latency_ms: Floats
    accuracy: Floats


def front_of(material: Material, at: Target) -> Front:
    """The front of all that was evaluated, by the latency on a target."""
    rows = pareto_front(at.latency_ms, material.accuracy)
    return Front(rows, at.latency_ms[rows], material.accuracy[rows])


def front_section(material: Material) -> Markup:
    """The chart and its legend, of each target."""
    return named({at.name: _section(material, at) for at in material.targets})


def _section(material: Material, at: Target) -> Markup:
    front = front_of(material, at)
    x, y = _axes(material, at, front)
    ground, words, key = _evaluated(material, at, x, y)
    total = len(front.rows)
    marked = evenly(total, MOST_MARKS)
    few = "" if len(marked) == total else f", {len(marked)} of them marked"
    label = (
        f"Accuracy against latency of {counted(len(at.latency_ms), 'architecture')}; the winner has "
        f"{milliseconds(at.result.latency_ms)} by the table"
    )
    entries = [
        (key, words),
        (line_key("front"), f"front: {counted(total, 'architecture')} that none beats in both{few}"),
        (mark_key("star", "winner"), f"{_starred(material)}, ± one standard deviation of its accuracy"),
        *([(mark_key("diamond", "measured"), "winner as measured")] if _measured(material, at) else []),
        *((mark_key(shape, "reference"), f"reference {clipped(name, 60)}") for shape, name, _ in _references(material)),
        (line_key("bound"), asked(at.result.bound_ms)),
    ]
    return joined(
        [
            chart(
                x, y, label, layer=[*ground, front_line(x, y, front, "front")], marks=_marks(material, at, front, x, y)
            ),
            legend(entries),
            element("p", "Latencies and accuracies are estimates unless marked as measured.", class_="note"),
        ]
    )


def asked(bound: float) -> str:
    """Of the line of a bound on latency."""
    return f"asked ≤\u00a0{milliseconds(bound)}"


def front_line(x: Axis, y: Axis, front: Front, style: str, tip: str | None = None) -> Markup:
    """The best accuracy within each latency: level from one architecture to the next."""
    drawn = evenly(len(front.rows), MOST_CORNERS)
    return line(x, y, front.latency_ms[drawn], front.accuracy[drawn], style, tip, steps=True)


def front_marks(
    material: Material, front: Front, x: Axis, y: Axis, shape: str, style: str, name: str = ""
) -> Iterable[Markup]:
    """Marks on the front, with the decisions of each as a tooltip."""
    marked = evenly(len(front.rows), MOST_MARKS)
    for row, genotype in zip(marked, material.genotypes(front.rows[marked]), strict=True):
        network = material.space.choices(genotype)
        tip = f"{name}{_figures(material, front.latency_ms[row], front.accuracy[row])}\n{spoken(network)}"
        yield mark(x, y, (front.latency_ms[row], front.accuracy[row]), shape, f"small {style}", tip)


def axes_of(
    latencies: Sequence[Floats], accuracies: Sequence[Floats], shown: Sequence[tuple[float, float]], title: str
) -> tuple[Axis, Axis]:
    """Axes that hold all points of `shown`, and of the evaluations those that are not far slower or far worse."""
    x = np.array([point[0] for point in shown])
    y = np.array([point[1] for point in shown])
    lows: list[float] = []
    for latency, accuracy in zip(latencies, accuracies, strict=True):
        near = accuracy[(latency >= x.min()) & (latency <= x.max()) & np.isfinite(accuracy)]
        lows += [float(np.quantile(near, 0.02))] if len(near) else []
    return linear(x.min(), x.max(), "latency by table, ms"), linear(min([y.min(), *lows]), y.max(), title)


def _axes(material: Material, at: Target, front: Front) -> tuple[Axis, Axis]:
    result = material.result
    winner = result.searched
    shown = list(zip(front.latency_ms.tolist(), front.accuracy.tolist(), strict=True))
    shown += [(network.on(at.name), network.accuracy) for network in (winner, *result.references.values())]
    shown += [(at.result.bound_ms, winner.accuracy)]
    shown += [(winner.on(at.name), winner.accuracy + sign * winner.accuracy_sigma) for sign in (-1, 1)]
    if (measured := _measured(material, at)) is not None:
        shown.append((measured.measured_ms, winner.accuracy))
    return axes_of([at.latency_ms], [material.accuracy], shown, result.accuracy.title)


def _evaluated(material: Material, at: Target, x: Axis, y: Axis) -> tuple[list[Markup], str, Markup]:
    """What lies in the layer behind all marks, in words how much of it is drawn, and its key."""
    total = len(at.latency_ms)
    counts = Cells.none(COLUMNS, ROWS)
    for start in range(0, total, STRETCH):
        part = slice(start, start + STRETCH)
        counts += cells(x.places(at.latency_ms[part]), y.places(material.accuracy[part]), COLUMNS, ROWS)
    inside = int(counts.counts.sum())
    beyond = "" if inside == total else f"; {total - inside:,} are slower or less accurate than shown"
    if total <= MOST_DOTS:
        words = f"{inside:,} of {counted(total, 'evaluated architecture')}{beyond}"
        return [], words, mark_key("dot", "point")
    words = f"{inside:,} of {total:,} evaluated architectures, counted in cells: the darker, the more{beyond}"
    return density(counts), words, area_key("d3")


def density(counts: Cells) -> list[Markup]:
    """Cells by level, a path each."""
    width, height = 1000 / COLUMNS, 1000 / ROWS  # of the layer; a little more is drawn, so that no seams show
    paths = []
    for level, (low, high, found) in enumerate(counts.levels(LEVELS)):
        corners = [(number(c * width), number(1000 - (r + 1) * height)) for r, c in found.tolist()]
        outline = f"h{width + 0.5:.1f}v{height + 0.5:.1f}h{-width - 0.5:.1f}z"
        tip = f"{low:,} to {high:,} architectures in each of these cells" if high > low else f"{low:,} in each cell"
        path = "".join(f"M{across} {up}{outline}" for across, up in corners)
        paths.append(element("path", element("title", tip), d=path, class_=f"d{level}"))
    return paths


def _marks(material: Material, at: Target, front: Front, x: Axis, y: Axis) -> Iterable[Markup]:
    result = material.result
    winner, measured = result.searched, _measured(material, at)
    if len(at.latency_ms) <= MOST_DOTS:
        for row, genotype in enumerate(material.genotypes(np.arange(len(at.latency_ms)))):
            place = (float(at.latency_ms[row]), float(material.accuracy[row]))
            if 0 <= x.place(place[0]) <= 100 and 0 <= y.place(place[1]) <= 100:
                tip = f"{_figures(material, *place)}\n{spoken(material.space.choices(genotype))}"
                yield dot(x, y, place, "point", tip)
    yield vertical(x, at.result.bound_ms, "bound", asked(at.result.bound_ms))
    yield from front_marks(material, front, x, y, "dot", "front")
    for shape, name, network in _references(material):
        yield _network(material, at, x, y, network, (shape, "reference"), f"reference {name}")
    yield whisker(
        x,
        y,
        winner.on(at.name),
        winner.accuracy - winner.accuracy_sigma,
        winner.accuracy + winner.accuracy_sigma,
        "winner",
    )
    yield _network(material, at, x, y, winner, ("star", "winner"), _starred(material))
    if measured is not None:
        tip = f"winner, measured: {milliseconds(measured.measured_ms)} ± {milliseconds(measured.measured_halfwidth_ms)}"
        yield mark(x, y, (measured.measured_ms, winner.accuracy), "diamond", "small measured", tip)


def _measured(material: Material, at: Target) -> Measured | None:
    """The winner on its device, where it is in the chart."""
    return at.result.measured if material.published is None else None


def _starred(material: Material) -> str:
    return "winner" if material.published is None else "best that was searched (a published network won)"


def _references(material: Material) -> list[tuple[str, str, Found]]:
    """Shape, name and figures of each reference that is drawn."""
    found = material.result.references.items()
    return [(shape, name, network) for shape, (name, network) in zip(REFERENCES, found, strict=False)]


def _network(
    material: Material, at: Target, x: Axis, y: Axis, network: Found, look: tuple[str, str], name: str
) -> Markup:
    accuracy = uncertain(network.accuracy, network.accuracy_sigma, material.result.accuracy.unit)
    ms = network.on(at.name)
    tip = f"{clipped(name, 80)}: {milliseconds(ms)} by table, {accuracy}\n{spoken(network.decisions)}"
    return mark(x, y, (ms, network.accuracy), *look, tip)


def _figures(material: Material, latency_ms: float, accuracy: float) -> str:
    return f"{milliseconds(latency_ms)} by table, {score(accuracy, material.result.accuracy.unit)}"

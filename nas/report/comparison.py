"""Several runs of one space on one target in one report: fronts and progress overlaid, winners side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from nas.cost.cost import by_key
from nas.errors import RunError
from nas.report.axis import linear
from nas.report.chart import SHAPES, chart, key, legend, line, line_key, mark, mark_key, vertical
from nas.report.command import code, command_line
from nas.report.figures import amount, milliseconds, spoken, uncertain
from nas.report.front_chart import asked, axes_of, front_line, front_marks, front_of
from nas.report.markup import clipped, element, joined
from nas.report.material import Material, Target
from nas.report.page import named, page, section
from nas.report.progress import best_so_far, evaluations_axis, value_title
from nas.runs.result import OnTarget

MOST_RUNS = 8
_SHAPES = ("dot", "triangle", "square", "diamond", "down", "hexagon", "dot", "square")


def comparison(materials: Sequence[Material]) -> str:
    """The report as HTML. Raises `RunError` where the runs cannot stand in one chart."""
    check_comparable(materials)
    names = run_names(materials)
    first = materials[0]
    title = f"{len(materials)} runs: {first.space.name} on {clipped(_targets(first), 80)}"
    return page(
        title,
        f"Searches side by side: {', '.join(names)}",
        [
            section("winners", "Winners", _winners(materials, names)),
            section("fronts", "Accuracy against latency", _fronts(materials, names)),
            section("progress", "The searches", _progress(materials, names)),
            section("decisions", "The winners’ decisions", _decisions(materials, names)),
            section("reproduce", "How to reproduce", _commands(materials, names)),
        ],
    )


def check_comparable(materials: Sequence[Material]) -> None:
    """Raise `RunError`, with the rule, unless all are of the same space, table and kind of accuracy."""
    if not 2 <= len(materials) <= MOST_RUNS:
        raise RunError(f"A comparison is of 2 to {MOST_RUNS} runs, got {len(materials)}.")
    first = materials[0]
    if len({material.path.resolve() for material in materials}) < len(materials):
        raise RunError("A comparison is of different runs; one of them was given twice.")
    for other in materials[1:]:
        same = {
            "space": (first.setup.space, other.setup.space, first.space.name, other.space.name),
            "latency table": (first.setup.tables, other.setup.tables, _targets(first), _targets(other)),
            "accuracy": (*(m.result.accuracy.title for m in (first, other)),) * 2,
        }
        for what, (mine, theirs, my_name, their_name) in same.items():
            if mine != theirs:
                names = "" if my_name == their_name else f" ({their_name} and {my_name})"
                raise RunError(
                    f"{other.path}: runs are compared where space, latency table and kind of accuracy are the same; "
                    f"its {what} is not that of {first.path}{names}."
                )


def run_names(materials: Sequence[Material]) -> list[str]:
    """The folders' names, with a letter before each: folders of different places may be called the same."""
    return [f"{chr(65 + n)} {clipped(m.path.resolve().name, 40)}" for n, m in enumerate(materials)]


def _winners(materials: Sequence[Material], names: Sequence[str]) -> Markup:
    costs, together = (
        [m.result.winner.costs for m in materials],
        list(zip(*(m.targets for m in materials), strict=True)),
    )
    rows: list[tuple[str, list[str]]] = [
        *(row for at in together for row in _times(at, f" on {at[0].name}" if len(together) > 1 else "")),
        (materials[0].result.accuracy.label, [_accuracy(m) for m in materials]),
        *(
            (f"{by_key(cost).words}, counted", [amount(cost, c[cost]) if cost in c else "—" for c in costs])
            for cost in dict.fromkeys(cost for c in costs for cost in c)
        ),
        ("controller", [m.request.controller for m in materials]),
        ("found by", [_found_by(m) for m in materials]),
        ("objective", [m.request.goal for m in materials]),
        ("evaluated", [f"{len(m.values):,}" for m in materials]),
        ("time", [f"{m.result.seconds:,.1f} s" for m in materials]),
        ("seed", [str(m.request.seed) for m in materials]),
    ]
    told = [element("p", "Accuracies are estimates: " + materials[0].result.accuracy.provenance + ".", class_="note")]
    if len({material.setup.accuracy for material in materials}) > 1:
        told.append(
            element("p", "The accuracies of these runs rest on different estimates of the same kind.", class_="note")
        )
    return joined([_side_by_side(rows, names), *told])


def _targets(material: Material) -> str:
    return " and ".join(at.name for at in material.targets)


def _times(at: Sequence[Target], where: str) -> list[tuple[str, list[str]]]:
    """Rows of one target, which is that of each run."""
    on = [each.result for each in at]
    return [
        (f"asked{where}", [f"≤\u00a0{milliseconds(each.bound_ms)}" for each in on]),
        (f"table, estimated{where}", [milliseconds(each.latency_ms) for each in on]),
        ("its error", [f"± {each.latency_error_pct:.0f} %" for each in on]),
        ("measured", [_measured(each) for each in on]),
    ]


def _found_by(material: Material) -> str:
    """A winner that the proof found says nothing of the controller."""
    proof = material.result.proof
    improved = None if proof is None else proof.improved_by
    return "the controller" if improved is None else f"the proof, {improved:.3f} above the controller's"


def _side_by_side(
    rows: Sequence[tuple[str, Sequence[str]]], names: Sequence[str], *, differences: bool = False
) -> Markup:
    """A column a run; with `differences`, rows whose cells differ stand out."""
    head = element("tr", element("th", ""), *(element("th", name, scope="col") for name in names))
    body = [
        element(
            "tr",
            element("th", clipped(what, 60), scope="row"),
            *(element("td", clipped(cell, 80)) for cell in cells),
            class_="differs" if differences and len(set(cells)) > 1 else None,
        )
        for what, cells in rows
    ]
    table = element("table", element("thead", head), element("tbody", *body), class_="runs")
    return element("div", table, class_="wide")


def _measured(on: OnTarget) -> str:
    measured = on.measured
    if measured is None:
        return "—"
    return f"{milliseconds(measured.measured_ms)} ± {milliseconds(measured.measured_halfwidth_ms)}"


def _accuracy(material: Material) -> str:
    winner = material.result.winner
    return uncertain(winner.accuracy, winner.accuracy_sigma, material.result.winner_accuracy.unit)


def _fronts(materials: Sequence[Material], names: Sequence[str]) -> Markup:
    each = zip(*(material.targets for material in materials), strict=True)
    return named({at[0].name: _fronts_on(at, materials, names) for at in each})


def _fronts_on(at: Sequence[Target], materials: Sequence[Material], names: Sequence[str]) -> Markup:
    fronts = [front_of(material, target) for material, target in zip(materials, at, strict=True)]
    shown = [point for f in fronts for point in zip(f.latency_ms.tolist(), f.accuracy.tolist(), strict=True)]
    shown += [(m.result.searched.on(at[0].name), m.result.searched.accuracy) for m in materials]
    bounds = sorted({target.result.bound_ms for target in at})
    shown += [(bound, shown[0][1]) for bound in bounds]
    x, y = axes_of([], [], shown, materials[0].result.accuracy.title)
    layer, marks, entries = [], [], []
    for bound in bounds[:3]:
        marks.append(vertical(x, bound, "bound", asked(bound)))
    for number, (material, front, name) in enumerate(zip(materials, fronts, names, strict=True)):
        style, shape = f"s{number}", _SHAPES[number]
        layer.append(front_line(x, y, front, style, f"front of {name}"))
        marks += front_marks(material, front, x, y, shape, style, f"{name}\n")
        entries.append((_key(number), f"{name}: front of {len(front.rows):,}, from {len(material.values):,} evaluated"))
    for number, (material, name) in enumerate(zip(materials, names, strict=True)):
        winner = material.result.searched
        on, ms = at[number].result, winner.on(at[number].name)
        table = f"{milliseconds(on.latency_ms)} ± {on.latency_error_pct:.0f} %"
        tip = f"{name}, winner: {table} by table, {_accuracy(material)}\n{spoken(winner.decisions)}"
        marks.append(mark(x, y, (ms, winner.accuracy), "star", f"ringed s{number}", tip))
    entries.append((mark_key("star", "winner"), "winners, in the colour of their run"))
    entries.append((line_key("bound"), ", ".join(asked(bound) for bound in bounds[:3])))
    label = f"Fronts of {len(materials)} runs, accuracy against latency"
    note = "Latencies and accuracies are estimates. Lines lead through all of a front, marks are a selection."
    return joined([chart(x, y, label, layer=layer, marks=marks), legend(entries), element("p", note, class_="note")])


def _progress(materials: Sequence[Material], names: Sequence[str]) -> Markup:
    if len({value_title(material) for material in materials}) > 1:
        return element("p", "These runs maximised different values, which have no axis in common.")
    curves = [(n, *best_so_far(m)) for n, m in enumerate(materials) if len(m.values) > 1]
    curves = [curve for curve in curves if len(curve[1])]
    alone = [names[n] for n in range(len(materials)) if n not in {curve[0] for curve in curves}]
    told = f"Without a curve, as a single architecture or none within the bounds was evaluated: {', '.join(alone)}."
    words = element("p", told, class_="note") if alone else Markup("")
    if not curves:
        return words
    values = np.concatenate([value for _, _, value in curves])
    x = evaluations_axis(max(len(material.values) for material in materials))
    y = linear(float(values.min()), float(values.max()), value_title(materials[0]))
    layer = [line(x, y, count, value, f"s{n}", names[n], steps=True) for n, count, value in curves]
    entries = [(line_key(f"s{n}"), names[n]) for n, _, _ in curves]
    drawing = chart(x, y, "Best value within the bounds over the evaluations", layer=layer)
    return joined([drawing, legend(entries), words])


def _decisions(materials: Sequence[Material], names: Sequence[str]) -> Markup:
    space = materials[0].space
    chosen = [space.choices(space.canonical(material.genotype[None])[0]) for material in materials]
    rows = [(decision.name, [str(choice[decision.name]) for choice in chosen]) for decision in space.decisions]
    differing = sum(len(set(cells)) > 1 for _, cells in rows)
    words = f"{differing} of {len(rows)} decisions differ; they stand out."
    return joined([element("p", words), _side_by_side(rows, names, differences=True)])


def _commands(materials: Sequence[Material], names: Sequence[str]) -> Markup:
    parts = []
    for material, name in zip(materials, names, strict=True):
        parts += [
            element("h3", name),
            code(command_line(material.request, material.setup.planned, material.setup.batch, material.result.chosen)),
        ]
    setup = materials[0].setup
    prints = f"Space SHA-256 {setup.space}; table SHA-256 {', '.join(setup.tables)}."
    return joined([*parts, element("p", prints, class_="note")])


def _key(number: int) -> Markup:
    return key(
        element("path", d="M-11 0H11", class_=f"line s{number}"),
        element("path", d=SHAPES[_SHAPES[number]], class_=f"small s{number}"),
    )

"""The race: finalists and published networks as they were trained, and whether the estimates had told."""

from __future__ import annotations

from markupsafe import Markup

from nas.report.figures import on_all, uncertain
from nas.report.markup import clipped, element, joined
from nas.report.material import Material
from nas.runs.raced import Runner

COLUMNS = ("network", "top-1 in the race", "epochs", "begun", "table", "measured", "estimate")


def race_section(material: Material) -> Markup:
    """A row a network, the winner first, of a run that had a race."""
    result = material.result
    assert result.race is not None
    assert result.accuracy_check is not None
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in COLUMNS)))
    rows = [
        element("tr", *(element("td", cell) for cell in _cells(runner, material))) for runner in result.race.runners
    ]
    table = element("div", element("table", head, element("tbody", *rows)), class_="wide")
    check = f"By {result.accuracy.label}: {result.accuracy_check.told}."
    style = "" if result.accuracy_check.better_than_chance else "off"
    lost = [element("p", clipped(f"{each.told}.", 400), class_="off") for each in result.race.lost]
    note = f"Each was {result.race.provenance}. After each round the better half went on for twice as long."
    return joined(
        [table, *lost, element("p", clipped(check, 400), class_=style), element("p", clipped(note, 600), class_="note")]
    )


def _cells(runner: Runner, material: Material) -> tuple[str, ...]:
    unit = material.result.accuracy.unit
    return (
        clipped(runner.name, 60) if runner.width is None else f"{clipped(runner.name, 60)} × {runner.width:g}",
        uncertain(runner.top1, runner.top1_sigma, "%"),
        str(runner.epochs),
        "inherited weights" if runner.inherited else "from scratch",
        on_all(runner.latency_ms, runner.latencies),
        "—" if runner.measured_ms is None else on_all(runner.measured_ms, runner.measured),
        "—" if runner.estimate is None else uncertain(runner.estimate, runner.estimate_sigma or 0.0, unit),
    )

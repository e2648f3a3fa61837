"""The commands that make a run again, and that train and export its winner."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from nas.report.markup import element, joined
from nas.report.material import Material
from nas.report.overview import definitions, table_rows
from nas.runs.request import Request
from nas.runs.result import Chosen
from nas.runs.training_folder import TrainingFolder
from nas.system.command import command
from nas.system.places import ELASTIC

WHOLE = 32
"""Letters of a word that a phone has room for."""


def command_line(
    request: Request, planned: int | None = None, batch: int | None = None, chosen: Chosen | None = None
) -> str:
    """What to type for this search, with what it settled: what was chosen for it, the evaluations that a time became,
    and how many at once."""
    if chosen is not None:
        request = chosen.applied(request)
    budget = str(request.budget) if request.budget is not None else None
    if request.seconds is not None:
        budget = f"{_plain(request.seconds)}s" if planned is None else str(planned)
    return command(
        "search",
        **_searched(request),
        target=[aim.target for aim in request.aims],
        latency=_bounds(request),
        at_most=[f"{name}={_plain(bound)}" for name, bound in request.at_most.items()],
        objective=request.objective,
        controller=request.controller if request.controller != "evolution" else None,
        accuracy=request.accuracy,
        data=request.data,
        resolution=request.resolution,
        strides=request.strides,
        proxy_resolution=request.proxy_resolution,
        budget=budget,
        batch=batch or request.batch,
        finalists=None if request.finalists is None else str(request.finalists),
        skip_broken=request.skip_broken,
        prove=request.prove is True,
        no_prove=request.prove is False,
        seed=request.seed,
    )


def _searched(request: Request) -> dict[str, str | None]:
    """What is searched, as options."""
    if request.space.startswith(ELASTIC):
        return {"network": request.space.removeprefix(ELASTIC), "weights": request.weights}
    return {"space": request.space}


def _bounds(request: Request) -> list[str]:
    """One for each target; none where nobody gave any."""
    shown = request.aims if any(aim.asked for aim in request.aims) else ()
    return [
        f"{_plain(100 * (aim.latency_share or 1.0))}%" if aim.latency_ms is None else f"{_plain(aim.latency_ms)}ms"
        for aim in shown
    ]


def reproduce_section(material: Material) -> Markup:
    """Commands, versions and fingerprints."""
    request, setup, chosen = material.request, material.setup, material.result.chosen
    rows = [
        ("versions", ", ".join(f"{name} {version}" for name, version in setup.versions.items())),
        ("made", setup.created),
        ("seed", str(request.seed)),
        ("space", f"{material.space.name} · SHA-256 {setup.space}"),
        *(("table", f"{at.name} · SHA-256 {mark}") for at, mark in zip(material.targets, setup.tables, strict=True)),
        ("accuracy", f"SHA-256 {setup.accuracy}"),
        *(row for at in material.targets if at.table is not None for row in table_rows(at.table.header)),
    ]
    became = ""
    if request.seconds is not None and setup.planned is not None:
        became = f" Asked for were {request.seconds:g} s, which became {setup.planned:,}: that number repeats the run."
    return joined(
        [
            element("p", f"The same search again, with the same versions, space and table:{became}"),
            code(command_line(request, setup.planned, setup.batch, chosen)),
            *hand_over(material),
            definitions(rows),
        ]
    )


def code(line: str) -> Markup:
    """A command to copy; short words are not broken at their hyphens."""
    words = [element("span", word) if len(word) <= WHOLE else word for word in line.split(" ")]
    spaced = [word for pair in zip(words, [" "] * len(words), strict=True) for word in pair][:-1]
    return element("pre", element("code", *spaced))


def hand_over(material: Material) -> list[Markup]:
    """How to export the trained winner: from the training that there is, or one that is to be made first."""
    run = material.path
    trained = TrainingFolder.newest_from(run)
    if trained is not None:
        words = "The winner was trained; hand that training over:"
        return [element("p", words), code(export_line(trained.path))]
    place = run.resolve() if run.name in ("", "..") else run
    out = place.with_name(f"{place.name}-trained")
    data = material.request.data or "imagefolder:PICTURES"
    train = command("train", run, data=data, skip_broken=material.request.skip_broken, out=out)
    words = "The winner is not trained yet. Train it on pictures, then hand the training over:"
    return [element("p", words), code(train), code(export_line(out))]


def export_line(training: Path) -> str:
    """What to type to hand a training over."""
    return command("export", training, format="hf,onnx", out="model")


def _plain(value: float) -> str:
    """A number as `nas search` reads it back, exactly."""
    return str(int(value)) if float(value).is_integer() and value < 1e16 else repr(float(value))

"""Writing reports: of one run into its folder, of several side by side into a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.errors import NasError, RunError
from nas.report.bars import bars_section
from nas.report.command import reproduce_section
from nas.report.comparison import comparison
from nas.report.drawing import drawing_section
from nas.report.front_chart import front_section
from nas.report.markup import clipped, element
from nas.report.material import Material, read_material
from nas.report.options import options_section
from nas.report.overview import overview
from nas.report.page import page, section
from nas.report.progress import progress_section
from nas.report.race import race_section
from nas.report.trained import read_trained
from nas.report.training_report import training_report
from nas.report.truth import truth_section
from nas.runs.run import Run
from nas.runs.training_folder import TrainingFolder
from nas.system.atomic import write_atomic
from nas.system.command import command
from nas.system.teller import Teller

FILE = "report.html"

PARTS = {
    "front": ("Accuracy against latency", front_section),
    "race": ("The race", race_section),
    "progress": ("The search", progress_section),
    "truth": ("How true the table is", truth_section),
    "bars": ("The winner’s latency, layer by layer", bars_section),
    "drawing": ("The winner", drawing_section),
    "options": ("Options near the front", options_section),
    "reproduce": ("How to reproduce", reproduce_section),
}
"""The parts of a report under its head, in order."""


def write_report(run: Run, out: Path | None = None) -> Path:
    """Write the report of a finished run, by default `report.html` in its folder; returns its path.

    Raises `RunError` where the run is not finished or its folder cannot be understood.
    """
    path = out or run.path / FILE
    return _written(path, report(read_material(run)))


def write_training_report(training: TrainingFolder, out: Path | None = None) -> Path:
    """Write the report of a finished training, by default `report.html` in its folder; returns its path.

    Raises `NasError` where its folder cannot be understood.
    """
    path = out or training.path / FILE
    return _written(path, training_report(read_trained(training)))


def have_report(run: Run, teller: Teller) -> None:
    """At the end of a search: attempt the report, unless it is there."""
    if not (run.path / FILE).is_file():
        attempt_report(run, teller)


def attempt_report(run: Run, teller: Teller) -> Path | None:
    """As `write_report`, for the end of a search: what goes wrong is told in a line, and nothing is raised."""
    try:
        return write_report(run)
    except NasError as problem:
        why = str(problem)
    except OSError as problem:
        why = f"{problem.filename or run.path}: {problem.strerror}"
    except Exception as problem:  # a mistake of ours must not take back a result that is written; the command shows it
        why = f"a mistake in nas itself: {problem!r}"
    teller.say(f"no report was written ({why}). Again: {command('report', run.path)}")
    return None


def write_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Write one report of several finished runs of the same space and target; returns its path.

    Raises `RunError` where they are not.
    """
    return _written(out, comparison([read_material(run) for run in runs]))


def report(material: Material) -> str:
    """The report of one run as HTML."""
    name = material.path.resolve().name
    title = f"{material.space.name} on {clipped(' and '.join(at.name for at in material.targets), 80)}"
    created = material.setup.created[:16].replace("T", " ")
    shown = {name: part for name, part in PARTS.items() if name != "race" or material.result.race is not None}
    parts = {name: section(name, heading, make(material)) for name, (heading, make) in shown.items()}
    beside = element("div", parts.pop("bars"), parts.pop("drawing"), class_="pair winner")
    first = [parts.pop(name) for name in ("front", "race", "progress", "truth") if name in parts]
    order = [overview(material), *first, beside, *parts.values()]
    return page(title, f"Search report of the run {clipped(name, 80)} · {created} UTC", order)


def _written(path: Path, document: str) -> Path:
    try:
        write_atomic(path, document)
    except OSError as problem:
        raise RunError(f"{path}: cannot be written ({problem.strerror}). Choose another --out.") from None
    return path

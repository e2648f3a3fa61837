"""The commands that make a run again, and that train and export its winner."""

from __future__ import annotations

import shlex
from pathlib import Path

from markupsafe import Markup

from nas.report.markup import element, joined
from nas.report.material import Material
from nas.report.overview import definitions, table_rows
from nas.runs.request import Request

WHOLE = 32
"""Letters of a word that a phone has room for."""


def command_line(request: Request, planned: int | None = None) -> str:
    """What to type for this search, quoted for a shell; a time is written as the evaluations that it became."""
    words = ["nas", "search", "--space", request.space, "--target", request.target]
    if request.latency_ms is not None:
        words += ["--latency", f"{_plain(request.latency_ms)}ms"]
    for name, bound in request.at_most.items():
        words += ["--at-most", f"{name}={_plain(bound)}"]
    budget = str(request.budget) if request.budget is not None else None
    if request.seconds is not None:
        budget = f"{_plain(request.seconds)}s" if planned is None else str(planned)
    optional = {
        "--objective": request.objective,
        "--controller": request.controller if request.controller != "evolution" else None,
        "--accuracy": request.accuracy,
        "--data": request.data,
        "--resolution": request.resolution,
        "--strides": request.strides,
        "--proxy-resolution": request.proxy_resolution,
        "--budget": budget,
    }
    for name, value in optional.items():
        words += [] if value is None else [name, str(value)]
    words += ["--skip-broken"] if request.skip_broken else []
    words += ["--prove"] if request.prove else []
    return shlex.join([*words, "--seed", str(request.seed)])


def reproduce_section(material: Material) -> Markup:
    """Commands, versions and fingerprints."""
    request, setup = material.request, material.setup
    run = _place(material.path)
    data = "imagefolder:PICTURES" if request.data is None else request.data
    rows = [
        ("versions", ", ".join(f"{name} {version}" for name, version in setup.versions.items())),
        ("made", setup.created),
        ("seed", str(request.seed)),
        ("space", f"{material.space.name} · SHA-256 {setup.space}"),
        ("table", f"{material.result.target} · SHA-256 {setup.table}"),
        ("accuracy", f"SHA-256 {setup.accuracy}"),
        *([] if material.table is None else table_rows(material.table.header)),
    ]
    became = ""
    if request.seconds is not None and setup.planned is not None:
        became = f" Asked for were {request.seconds:g} s, which became {setup.planned:,}: that number repeats the run."
    return joined(
        [
            element("p", f"The same search again, with the same versions, space and table:{became}"),
            code(command_line(request, setup.planned)),
            element("p", "Train the winner on pictures, and hand it over:"),
            code(shlex.join(["nas", "train", run, "--data", data])),
            code(shlex.join(["nas", "export", run, "--format", "config,torch,onnx", "--out", "model"])),
            definitions(rows),
        ]
    )


def code(line: str) -> Markup:
    """A command to copy; short words are not broken at their hyphens."""
    words = [element("span", word) if len(word) <= WHOLE else word for word in line.split(" ")]
    spaced = [word for pair in zip(words, [" "] * len(words), strict=True) for word in pair][:-1]
    return element("pre", element("code", *spaced))


def _place(path: Path) -> str:
    return f"./{path}" if str(path).startswith("-") else str(path)


def _plain(value: float) -> str:
    """A number as `nas search` reads it back, exactly."""
    return str(int(value)) if float(value).is_integer() and value < 1e16 else repr(float(value))

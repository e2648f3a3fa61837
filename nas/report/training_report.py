"""The report of one training: what came out, how it came about, what it gets wrong, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from markupsafe import Markup

from nas.formats.config import TOP5_ABOVE
from nas.report.classes import classes_section
from nas.report.command import code, export_line
from nas.report.confusion import confusion_section
from nas.report.curves import curves_section
from nas.report.figures import millions, milliseconds, share
from nas.report.markup import clipped, element, joined
from nas.report.mistakes import mistakes_section
from nas.report.overview import card, definitions
from nas.report.page import page, section
from nas.report.trained import Trained
from nas.system.command import command

PARTS = {
    "curves": ("The training", curves_section),
    "classes": ("Accuracy by class", classes_section),
    "confusion": ("What is taken for what", confusion_section),
    "mistakes": ("Pictures that it gets wrong", mistakes_section),
}


def training_report(trained: Trained) -> str:
    """The report as HTML."""
    name = clipped(trained.path.resolve().name, 80)
    created = trained.created[:16].replace("T", " ")
    parts = [section(key, heading, make(trained)) for key, (heading, make) in PARTS.items()]
    parts += [
        section("latency", "Latency", joined(_latency(known, trained.path) for known in trained.known)),
        section("reproduce", "How to go on", _commands(trained)),
    ]
    title = f"{len(trained.classes):,} classes of {clipped(_text(trained.result.get('data'), 'name'), 80)}"
    return page(title, f"Report of the training {name} · {created} UTC", [_overview(trained), *parts], pictures=True)


def _overview(trained: Trained) -> Markup:
    network, test = trained.config.architecture, trained.result["test"]
    validation = (trained.result.get("last_epoch") or {}).get("validation_top1")
    cards = [
        card(
            "test top-1",
            f"{trained.top1:.1f}\u00a0±\u00a0{trained.error:.1f}\u00a0%",
            "measured, ± one standard error",
            f"{trained.count:,} pictures",
        ),
    ]
    if len(trained.classes) > TOP5_ABOVE and _is_number(test.get("top5")):
        cards.append(card("test top-5", f"{test['top5']:.1f}\u00a0%", "measured", ""))
    if _is_number(validation):
        cards.append(card("held-out top-1", f"{validation:.1f}\u00a0%", "measured, at the last epoch", ""))
    cards += [
        *(card("latency", *_told(known), "") for known in trained.known),
        card("MACs", millions(network.macs), "counted", ""),
        card("parameters", f"{network.params:,}", "counted", ""),
    ]
    return element("section", element("div", *cards, class_="cards"), definitions(_rows(trained)), id="overview")


def _rows(trained: Trained) -> list[tuple[str, str]]:
    result, request = trained.result, trained.request
    data, recipe, network = (result.get(key) or {} for key in ("data", "recipe", "network"))
    pictures = data.get("pictures") or {}
    splits = ", ".join(f"{count:,} {split}" for split, count in pictures.items() if _is_number(count))
    shape = trained.config.architecture
    return [
        ("data", f"{_text(data, 'name')} · {len(trained.classes):,} classes · pictures: {splits}"),
        (
            "network",
            f"{len(shape.layers)} layers · {shape.height} × {shape.width} px · weights {_text(network, 'weights')}",
        ),
        (
            "recipe",
            " · ".join(f"{name.replace('_', ' ')} {value}" for name, value in recipe.items() if _is_number(value)),
        ),
        *([("teacher", str(result["teacher"]))] if result.get("teacher") else []),
        ("seed", str(request.seed)),
        ("test", "of pictures that nothing was chosen by, once, after the last epoch, with averaged weights"),
        ("made", f"{trained.created} by nas {trained.nas}"),
        *(("note", str(note)) for note in result.get("notes") or ()),
    ]


def _told(known: Mapping[str, Any]) -> tuple[str, str]:
    """The best that is known of a latency, and what it is."""
    measured = known.get("measured")
    if isinstance(measured, dict) and _is_number(measured.get("measured_ms")):
        return milliseconds(measured["measured_ms"]), f"measured on {_text(known, 'target')}"
    if _is_number(known.get("ms")):
        return milliseconds(known["ms"]), f"by the table of {_text(known, 'target')}, estimated"
    return "—", "not known"


def _latency(known: Mapping[str, Any], path: Path) -> Markup:
    if not _is_number(known.get("ms")):
        words = (
            "The network's config has no latency: it came without, or had one of another number of classes. Look it up:"
        )
        return joined([element("p", words), code(command("estimate", path, target="TARGET"))])
    target = _text(known, "target")
    measured = known.get("measured")
    error = f" ± {known['error_pct']:.0f} %" if _is_number(known.get("error_pct")) else ""
    coverage = known.get("coverage")
    parts = coverage.items() if isinstance(coverage, dict) else ()
    rows = [("target", target), ("by table", f"{milliseconds(known['ms'])}{error}, estimated")]
    if _is_number(known.get("asked_ms")):
        rows.append(("asked", f"≤ {milliseconds(known['asked_ms'])}"))
    shares = ", ".join(f"{share(part)} {name}" for name, part in parts if _is_number(part) and part > 0)
    rows += [("of that", shares)] if shares else []
    if isinstance(measured, dict) and _is_number(measured.get("measured_ms")):
        half = measured.get("measured_halfwidth_ms")
        rows.append(
            (
                "measured",
                milliseconds(measured["measured_ms"]) + (f" ± {milliseconds(half)}" if _is_number(half) else ""),
            )
        )
    else:
        rows.append(("measured", "not measured"))
    rows.append(("table", f"SHA-256 {_text(known, 'table')}"))
    words = "As the search found it that this network comes from; a training changes weights, which change no latency."
    return joined([element("p", words), definitions(rows)])


def _commands(trained: Trained) -> Markup:
    request = trained.request
    again = command(
        "train",
        request.config,
        data=request.data,
        epochs=request.epochs,
        batch=request.batch,
        lr=None if request.lr is None else repr(request.lr),
        seed=request.seed,
        weights=request.weights,
        from_scratch=request.from_scratch,
        teacher=request.teacher,
        skip_broken=request.skip_broken,
        out=trained.path.with_name(f"{trained.path.resolve().name}-again"),
    )
    return joined(
        [
            element("p", "Hand it over, as a folder with a model card and as ONNX:"),
            code(export_line(trained.path)),
            element("p", "The same training again:"),
            code(again),
        ]
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(mapping: object, key: str) -> str:
    return str(mapping.get(key, "not known")) if isinstance(mapping, dict) else "not known"

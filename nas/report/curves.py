"""A training's curves: loss, accuracy and learning rate over its epochs."""

from __future__ import annotations

from math import log

import numpy as np
from markupsafe import Markup

from nas.report.axis import Axis, counting, linear
from nas.report.chart import chart, dot, horizontal, legend, line, line_key
from nas.report.markup import element, joined
from nas.report.thinning import evenly
from nas.report.trained import Floats, Trained

MOST_EPOCHS = 400
"""Epochs that a curve goes through."""
MOST_DOTS = 40
"""Epochs up to which each has a dot."""

KEYS = {"train": "training pictures, as they are augmented", "validation": "held-out pictures, averaged weights"}
STYLES = {"train": "s0", "validation": "s1"}


def curves_section(trained: Trained) -> Markup:
    """Three charts, and of each curve what it is of."""
    epochs = trained.epochs
    drawn = evenly(len(epochs["epoch"]), MOST_EPOCHS)
    if not len(drawn):
        return element("p", "metrics.csv has no epochs, so there are no curves to show.")
    epochs = {name: values[drawn] for name, values in epochs.items()}
    classes = len(trained.classes)
    figures = [
        _figure("Loss", "cross-entropy, nats", epochs, "loss", chance=(log(classes), chance_words(classes))),
        _figure("Accuracy", "top-1, %", epochs, "top1"),
        _rate(epochs),
    ]
    words = []
    if np.isnan(epochs["validation_top1"]).all():
        words.append("No pictures were held out.")
    elif np.isnan(epochs["validation_loss"]).any():
        words.append("The held-out loss was not recorded by the version of nas that trained.")
    smoothing = (trained.result.get("recipe") or {}).get("label_smoothing")
    if smoothing:
        words.append(f"The training loss is of labels that are smoothed by {smoothing:g}, so that it does not reach 0.")
    if trained.request.teacher:
        words.append("It is in part the divergence from the teacher, which is no cross-entropy with labels.")
    return joined([element("div", *figures, class_="pair"), element("p", " ".join(words), class_="note")])


def chance_words(classes: int) -> str:
    """Of the line of chance in a chart of losses."""
    return f"guessing: ln {classes:,} = {log(classes):.2f}"


def _figure(
    title: str, unit: str, epochs: dict[str, Floats], what: str, chance: tuple[float, str] | None = None
) -> Markup:
    """The two curves of a figure that is told of both kinds of pictures."""
    curves = {kind: epochs[f"{kind}_{what}"] for kind in KEYS}
    known = {kind: values for kind, values in curves.items() if np.isfinite(values).any()}
    shown = [value for values in known.values() for value in values[np.isfinite(values)].tolist()]
    shown += [chance[0]] if chance else []
    if not shown:
        return element("figure", element("h3", title), element("p", "It was not recorded."))
    x, y = _epochs(epochs), linear(min(shown), max(shown), unit)
    layer, marks, entries = [], [], []
    for kind, values in known.items():
        here = np.isfinite(values)
        at, values = epochs["epoch"][here], values[here]
        layer.append(line(x, y, at, values, STYLES[kind]))
        marks += _dots(x, y, at, values, kind, unit)
        entries.append((line_key(STYLES[kind]), KEYS[kind]))
    if chance:
        marks.insert(0, horizontal(y, chance[0], "chance", chance[1]))
        entries.append((line_key("chance"), chance[1]))
    drawing = chart(x, y, f"{title} over {len(epochs['epoch']):,} epochs", layer=layer, marks=marks)
    return element("figure", element("h3", title), drawing, legend(entries))


def _rate(epochs: dict[str, Floats]) -> Markup:
    x, y = _epochs(epochs), linear(0.0, float(np.nanmax(np.append(epochs["learning_rate"], 0.0))), "learning rate")
    here = np.isfinite(epochs["learning_rate"])
    at, values = epochs["epoch"][here], epochs["learning_rate"][here]
    marks = _dots(x, y, at, values, "train", "learning rate")
    drawing = chart(x, y, "Learning rate over the epochs", layer=[line(x, y, at, values, "s0")], marks=marks)
    return element("figure", element("h3", "Learning rate at the epoch's last step"), drawing)


def _epochs(epochs: dict[str, Floats]) -> Axis:
    return counting(int(epochs["epoch"].max()), "epochs")


def _dots(x: Axis, y: Axis, at: Floats, values: Floats, kind: str, unit: str) -> list[Markup]:
    if len(at) > MOST_DOTS:
        return []
    points = zip(at.tolist(), values.tolist(), strict=True)
    return [dot(x, y, point, STYLES[kind], f"epoch {point[0]:.0f}: {point[1]:.4g} ({unit})") for point in points]

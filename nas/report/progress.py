"""How a search came along: the best value within the bounds, a front's hypervolume, or a policy's curves."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import numpy as np
from markupsafe import Markup

from nas.cost.front import dominated_share, pareto_front
from nas.report.axis import Axis, linear, logarithmic
from nas.report.chart import chart, dot, horizontal, legend, line, line_key
from nas.report.curves import chance_words
from nas.report.figures import counted, score
from nas.report.front_chart import asked
from nas.report.markup import element, joined
from nas.report.material import Floats, Material
from nas.report.thinning import averaged, evenly, rises

MOST_RISES = 60
MOST_MEANS = 240
"""Means of neighbouring steps that a policy's curve goes through."""
CHECKPOINTS = 60
"""Points of the hypervolume's curve."""
LOG_FROM = 1_000
"""Evaluations from which on their axis is one of logarithms: most is gained early."""

TITLES = {
    "expected_ms": ("Expected latency", "ms by table"),
    "loss": ("Loss", "of the weights, on training pictures"),
    "entropy": ("Undecidedness", "entropy, 1: all options alike"),
    "skips": ("Skipped layers", "mean chance of a skip"),
}
"""What a policy's curves show, and their unit."""


def progress_section(material: Material) -> Markup:
    """The curves that this kind of search has, or why it has none."""
    if material.curves is not None:
        return policy_curves(material.curves, material.targets[0].result.bound_ms, material.architecture.num_classes)
    if material.request.learns:
        return element("p", "The run folder has no policy.csv, so there are no curves of the policy to show.")
    if material.request.controller == "exact":
        return element("p", "The best architecture was solved for, not searched: there is no progress to show.")
    best = _best(material)
    if not material.request.goal.startswith("front"):
        return best
    return joined([element("div", best, _hypervolume(material), class_="pair")])


def evaluations_axis(total: int) -> Axis:
    """The axis from the first evaluation to the last."""
    title = "evaluations"
    return logarithmic(1, total, f"{title}, logarithmic") if total >= LOG_FROM else linear(0, total, title, pad=0)


def best_so_far(material: Material) -> tuple[Floats, Floats]:
    """Evaluations after which the best value within the bounds went up, and that value; the end is added."""
    values = np.where(material.within, material.values, -np.inf)
    at = rises(values)
    if not len(at):
        return np.zeros(0), np.zeros(0)
    return np.append(at + 1.0, len(values)), np.append(values[at], values[at[-1]])


def value_title(material: Material) -> str:
    """What is maximised, for an axis."""
    if material.request.goal.startswith("mnasnet"):
        return f"best {material.request.goal} product"
    return f"best {material.result.accuracy.title}"


def _best(material: Material) -> Markup:
    count, value = best_so_far(material)
    total, unit = len(material.values), material.result.accuracy.unit
    if not len(count):
        return element("p", "No evaluation is within the bounds.")
    if total < 2:
        return element("p", "A single architecture was evaluated.")
    x, y = evaluations_axis(total), linear(float(value.min()), float(value.max()), value_title(material))
    dots = []
    for at in evenly(len(count) - 1, MOST_RISES):
        tip = f"after {counted(int(count[at]), 'evaluation')}: {score(float(value[at]), unit)}"
        dots.append(dot(x, y, (float(count[at]), float(value[at])), "front", tip))
    drawing = chart(
        x,
        y,
        f"Best value within the bounds over {total:,} evaluations",
        layer=[line(x, y, count, value, "front", steps=True)],
        marks=dots,
    )
    last = int(count[-2])
    words = f"Found after {last:,} of {total:,} different architectures; it rose {counted(len(count) - 1, 'time')}."
    proof = material.result.proof
    if proof is not None and proof.improved_by is not None:
        words += f" The winner is none of these: the proof found it, {proof.improved_by:.3f} above the best of them."
    return element("figure", element("h3", "Best within the bounds"), drawing, element("p", words, class_="note"))


def _hypervolume(material: Material) -> Markup:
    """The share of the area that the front dominates, over the evaluations: see `dominated_share`."""
    first = material.targets[0]
    total, largest = len(material.values), first.result.attainable[1]
    ends = evenly(total + 1, CHECKPOINTS + 1)[1:]
    front, shares, start = np.zeros((0, 2)), [], 0
    for end in ends.tolist():
        new = np.stack([first.latency_ms[start:end], material.accuracy[start:end]], axis=1)
        points = np.concatenate([front, new])
        front = points[pareto_front(points[:, 0], points[:, 1])]
        shares.append(dominated_share(front[:, 0], front[:, 1], largest))
        start = end
    x = linear(0, total, "evaluations", pad=0)
    y = linear(min(shares), max(shares), "share of the area")
    drawn = line(x, y, ends.astype(np.float64), np.array(shares), "front")
    words = (
        f"Area between the front, the largest attainable latency and an accuracy of 0, as a share of what a network of "
        f"no latency and the best accuracy would dominate; at the end {shares[-1]:.4f}."
    )
    drawing = chart(x, y, "Hypervolume of the front over the evaluations", layer=[drawn])
    return element("figure", element("h3", "Hypervolume"), drawing, element("p", words, class_="note"))


def policy_curves(curves: Mapping[str, Floats], bound: float, classes: int) -> Markup:
    """Expected latency against the bound, loss against that of guessing, entropy and skips over the steps."""
    columns = np.stack([curves[name] for name in ("step", *TITLES)], axis=1)
    if len(columns) < 2:
        return element("p", "The policy was trained for fewer than two steps: there are no curves to show.")
    means = averaged(columns, MOST_MEANS)
    steps = means[:, 0]
    x = linear(0, float(columns[-1, 0]), "training steps", pad=0)
    figures = []
    levels = {"expected_ms": (bound, "bound", asked(bound)), "loss": (log(classes), "chance", chance_words(classes))}
    for number, (name, (title, unit)) in enumerate(TITLES.items(), 1):
        values, level = means[:, number], levels.get(name)
        held = [*values.tolist(), *([level[0]] if level else [])]
        y = linear(min(held), max(held), unit)
        drawing = chart(
            x,
            y,
            f"{title} over {len(columns):,} training steps",
            layer=[line(x, y, steps, values, "front")],
            marks=[horizontal(y, *level)] if level else [],
        )
        key = legend([(line_key(level[1]), level[2])]) if level else None
        figures.append(element("figure", element("h3", title), drawing, key))
    kept = len(means)
    few = "" if kept == len(columns) else f" as {kept} means of neighbours"
    note = element(
        "p", f"{len(columns):,} training steps{few}; the latency is an estimate by the table.", class_="note"
    )
    return joined([element("div", *figures, class_="pair"), note])

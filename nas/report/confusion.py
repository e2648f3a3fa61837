"""Confusion: which classes are taken for which, as a matrix that is legible for 2 to 100 classes, and as a list."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from nas.report.classes import NO_ANSWERS
from nas.report.markup import clipped, element, joined
from nas.report.trained import Trained

Counts = np.ndarray[tuple[int, int], np.dtype[np.int64]]

MOST_CLASSES = 100
"""Classes that have a row and a column."""
SIDES = ((12, 40), (30, 28), (MOST_CLASSES, 13))
"""Up to so many classes a cell is so many pixels high and wide."""
COUNTED = 28
"""Pixels from which on a cell has its count in it."""
TIPS = 400
"""Cells that have a tooltip where they have no count, those of the commonest mistakes."""
LETTERS = 14
"""Of a class's name."""
MOST_PAIRS = 10
LEVELS = (0.02, 0.1, 0.25, 0.5)
"""Shares of a class's pictures at which a cell gets darker."""


def confusion_section(trained: Trained) -> Markup:
    """The matrix and the pairs that are confused most."""
    if trained.answers is None:
        return element("p", NO_ANSWERS)
    shown = _shown(trained)
    matrix = trained.confusion(shown)
    names = [trained.classes[number] for number in shown.tolist()]
    few = ""
    if len(shown) < len(trained.classes):
        few = f" Of {len(trained.classes):,} classes these are the {len(shown)} that are confused most."
    words = (
        "Rows are the classes that pictures have, columns those that they are taken for. The larger its share of the "
        f"row, the darker a cell.{few}"
    )
    parts = [element("div", draw(matrix, names), class_="wide"), element("div", _pairs(trained))]
    return joined([element("p", words), element("div", *parts, class_="pair" if len(shown) <= SIDES[0][0] else None)])


def draw(matrix: Counts, names: list[str]) -> Markup:
    """The matrix as SVG, of a size that follows from the number of classes."""
    count = len(names)
    side = next(side for most, side in SIDES if count <= most)
    font = min(12.5, side - 2.0)
    left = round(0.62 * font * max(len(clipped(name, LETTERS)) for name in names)) + 10
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    level = np.digitize(shares, LEVELS)
    parts: list[Markup] = []
    for hit in (True, False):
        for number in range(len(LEVELS) + 1):
            cells = np.argwhere((level == number) & (matrix > 0) & (np.eye(count, dtype=bool) == hit))
            path = "".join(f"M{left + c * side} {left + r * side}h{side}v{side}h{-side}z" for r, c in cells.tolist())
            if path:
                parts.append(element("path", d=path, class_=f"{'hit' if hit else 'miss'} c{number}"))
    ends = left + count * side
    outline = "".join(f"M{left} {left + n * side}H{ends}M{left + n * side} {left}V{ends}" for n in range(count + 1))
    parts.append(element("path", d=outline, class_="cells"))
    for number, name in enumerate(names):
        middle = left + (number + 0.5) * side
        text = clipped(name, LETTERS)
        turned = f"rotate(-90 {middle:g} {left - 5})"
        baseline = middle + 0.35 * font
        parts += [
            element("text", text, x=left - 5, y=baseline, class_="tick end", font_size=f"{font:g}px"),
            element("text", text, x=middle, y=left - 5, dy="0.35em", transform=turned, font_size=f"{font:g}px"),
        ]
    if side >= COUNTED:
        for row, column in np.argwhere(matrix > 0).tolist():
            x, y = left + (column + 0.5) * side, left + (row + 0.5) * side + 4
            tip = element("title", _tip(matrix, names, row, column))
            dark = "on" if level[row, column] >= 3 else ""
            parts.append(element("text", tip, f"{matrix[row, column]}", x=x, y=y, class_=f"mid cell {dark}".strip()))
    else:
        off = np.where(np.eye(count, dtype=bool), 0, matrix)
        for cell in np.argsort(-off, axis=None, kind="stable")[:TIPS].tolist():
            row, column = divmod(cell, count)
            if off[row, column]:
                tip = element("title", _tip(matrix, names, row, column))
                place = {"x": str(left + column * side), "y": str(left + row * side)}
                parts.append(element("rect", tip, width=str(side), height=str(side), class_="told", **place))
    size = str(ends + 2)
    label = f"Confusion of {count} classes"
    return element("svg", *parts, role="img", aria_label=label, width=size, height=size, class_="confusion")


def _tip(matrix: Counts, names: list[str], row: int, column: int) -> str:
    return f"{matrix[row, column]:,} of class {names[row]} taken for {names[column]}"


def _shown(trained: Trained) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The classes that have a row: all, or those that have most mistakes on either side, in their order."""
    classes = len(trained.classes)
    if classes <= MOST_CLASSES:
        return np.arange(classes)
    wrong = trained.counts[trained.counts[:, 0] != trained.counts[:, 1]]
    mistakes = sum(np.bincount(wrong[:, side], wrong[:, 2], classes) for side in (0, 1))
    return np.sort(np.argsort(-np.asarray(mistakes), kind="stable")[:MOST_CLASSES])


def _pairs(trained: Trained) -> Markup:
    """The commonest mistakes."""
    wrong = trained.counts[trained.counts[:, 0] != trained.counts[:, 1]]
    if not len(wrong):
        return element("p", "No test picture is taken for another class.")
    totals = np.bincount(trained.counts[:, 0], trained.counts[:, 2], len(trained.classes))
    rows = []
    for true, said, count in wrong[np.argsort(-wrong[:, 2], kind="stable")[:MOST_PAIRS]].tolist():
        cells = [trained.classes[true], trained.classes[said], f"{count:,}", f"{100 * count / totals[true]:.0f} %"]
        rows.append(element("tr", *(element("td", clipped(cell, 60)) for cell in cells)))
    head = [element("th", name, scope="col") for name in ("class", "taken for", "pictures", "of the class")]
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    return joined([element("h3", "Confused most"), element("div", table, class_="wide")])

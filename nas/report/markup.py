"""Markup: HTML and SVG that is escaped by construction.

What is not `Markup` (of markupsafe) is text, and text is escaped where it becomes a part of an element; so a name from
a table's header or a space's file cannot become anything but text.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

VOID = frozenset({"br", "meta", "path", "circle", "img", "line", "rect"})
"""Elements that are closed at once, so that what is inline SVG is XML too."""


def element(tag: str, *children: str | None, **attributes: str | float | None) -> Markup:
    """`<tag attributes>children</tag>`; an attribute's `_` is written `-`, and a last one is dropped (`class_`).

    Attributes and children that are None are left out. Numbers are written with at most two decimals.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inside = joined(child for child in children if child is not None)
    return Markup(f"<{tag}{written}/>" if tag in VOID and not inside else f"<{tag}{written}>{inside}</{tag}>")


def joined(children: Iterable[str]) -> Markup:
    """Several one after another."""
    return Markup("").join(child if isinstance(child, Markup) else _printable(child) for child in children)


def clipped(words: str, most: int) -> str:
    """Words of at most so many letters."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def number(value: float) -> str:
    """At most two decimals, without zeros at the end: `12.5`, `3`."""
    written = f"{value:.2f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _value(value: str | float) -> str:
    return escape(_printable(value)) if isinstance(value, str) else number(value)


def _printable(words: str) -> str:
    """Without control characters and lone surrogates, which neither XML nor UTF-8 have."""
    return "".join(letter if letter.isprintable() or letter in "\n \u00a0" else "�" for letter in words)

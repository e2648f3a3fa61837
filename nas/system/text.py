"""Texts that came from elsewhere, as messages and terminals may show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MANY = 5
"""Names that begin alike, from which on `listed` does not spell them out."""


def printable(text: str, most: int = 160) -> str:
    """Its first so many letters, without what moves a cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:most])


def one_line(text: object, most: int = 300) -> str:
    """The same in one line."""
    return printable(" ".join(str(text).split()), most)


def short(value: object, most: int = 60) -> str:
    """A value as Python writes it, on one line, cut off where it is longer."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Iterable[str]) -> str:
    """Names in one line; of many that begin alike, up to a `-`, only how they begin and how many there are."""
    firsts = [(name, name.partition("-")[0]) for name in names]
    counts = Counter(first for _, first in firsts)
    shown = (name if counts[first] < MANY else f"{first}-… ({counts[first]})" for name, first in firsts)
    return ", ".join(dict.fromkeys(shown))

"""The page: one HTML document with everything in it, which is forbidden by itself to load or to run anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from markupsafe import Markup

import nas
from nas.report.markup import clipped, element, joined

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content security: no network, no scripts, no pictures; the style sheet is in the page."""
PICTURES = "; img-src data:"
"""What is added where pictures are in the page, too."""


def page(title: str, subtitle: str, sections: Iterable[Markup], *, pictures: bool = False) -> str:
    """The document as text; it may have `pictures` in it."""
    style = Markup((Path(__file__).parent / "page.css").read_text())
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY + PICTURES * pictures),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    header = element("header", element("h1", title), element("p", subtitle))
    footer = element("footer", f"Written by nas {nas.__version__}. One file: it loads nothing and runs no script.")
    main = element("main", header, *sections, footer)
    return f"<!doctype html>\n{element('html', head, element('body', _patterns(), main), lang='en')}\n"


def section(name: str, title: str, content: Markup) -> Markup:
    """A part of the page, with its heading."""
    return element("section", element("h2", title), content, id=name)


def named(parts: Mapping[str, Markup]) -> Markup:
    """Several parts with a name above each; a single one needs none."""
    if len(parts) == 1:
        return joined(parts.values())
    return joined(element("div", element("h3", clipped(name, 80)), part) for name, part in parts.items())


def _patterns() -> Markup:
    """Fills that differ without colour, by provenance."""
    lines = {
        "derived": element("path", d="M-2 2L2-2M0 8L8 0M6 10L10 6"),
        "simulated": joined(element("circle", cx=str(x), cy=str(y), r="1.3") for x, y in ((2, 2), (6, 6))),
        "interpolated": element("path", d="M0 1.5H8M0 5.5H8"),
    }
    patterns = [
        element(
            "pattern",
            element("rect", width="8", height="8", class_="ground"),
            drawn,
            id=f"pattern-{name}",
            width="8",
            height="8",
            patternUnits="userSpaceOnUse",
            class_=f"q-{name}",
        )
        for name, drawn in lines.items()
    ]
    return element("svg", element("defs", *patterns), class_="patterns", width="0", height="0", aria_hidden="true")

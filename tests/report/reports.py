"""Reports taken apart."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

MOST_BYTES, WITH_PICTURES = 300_000, 600_000


def change(file: Path, **changes: Any) -> None:
    """Change entries of a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Page(HTMLParser):
    """A report: well-formed, or an AssertionError; its tags, attributes and text."""

    def __init__(self, path: Path, most: int = MOST_BYTES) -> None:
        super().__init__(convert_charrefs=True)
        self.html = path.read_text()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.parts: list[str] = []
        self.feed(self.html)
        self.close()
        assert self.open == []
        assert len(self.html.encode()) < most
        self.text = " ".join(" ".join(self.parts).split())
        self.svgs = [ElementTree.fromstring(svg) for svg in outermost_svgs(self.html)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.parts.append(data)

    def part(self, name: str) -> str:
        """The HTML of a section."""
        found = re.search(rf'<section id="{name}">(.*?)</section>', self.html, re.DOTALL)
        assert found is not None, name
        return found[1]


def outermost_svgs(html: str) -> list[str]:
    """The text of each inline SVG that is not within another."""
    found, depth, start = [], 0, 0
    for match in re.finditer(r"<svg\b[^>]*?(/?)>|</svg>", html):
        if match[0] == "</svg>":
            depth -= 1
            if depth == 0:
                found.append(html[start : match.end()])
        elif not match[1]:
            start = match.start() if depth == 0 else start
            depth += 1
    return found


def loads_nothing(page: Page) -> bool:
    """No script, no frame, no link, no address anywhere, and a policy that forbids them."""
    forbidden = {"script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "use", "a"}
    addresses = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "style")]
    handlers = [name for name, _ in page.attributes if name.startswith("on")]
    style = re.search(r"<style>(.*?)</style>", page.html, re.DOTALL)
    return (
        not forbidden & set(page.tags)
        and addresses == handlers == []
        and style is not None
        and "@import" not in style[1]
        and all(place.startswith("#") for place in re.findall(r"url\(([^)]*)\)", page.html))
        and "default-src 'none'" in "".join(value or "" for _, value in page.attributes)
    )

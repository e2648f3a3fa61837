"""What a stranger wrote and we print, draw, or write into code: it stays text."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from box import Box
from hostile_networks import config, exported

from nas.devices.device import Fault
from nas.devices.hosted import MOST_TALK, Hosted, Runner

SCRIPT = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='alert(1)'"
SCRIPT += " \x1b]0;owned\x07\x1b[2J\u202e"
CODE = '"""\nopen("../canary", "w")\n"""\\'


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Box:
    """A finished run, in whose result every text is a stranger's."""
    box = Box(tmp_path_factory.mktemp("searched") / "box")
    found = box.run(["search", "--space", "mobile", "--target", "pixel-cpu", "--budget", "100", "--out", "theirs"])
    assert found.code == 0, found
    file = box.here / "theirs" / "result.json"
    result = json.loads(file.read_text())
    result |= {"space": SCRIPT, "target": SCRIPT, "device": SCRIPT, "notes": [SCRIPT], "written": [SCRIPT]}
    result["accuracy"] = dict.fromkeys(result["accuracy"], SCRIPT)
    result["references"] = {SCRIPT: next(iter(result["references"].values()))}
    file.write_text(json.dumps(result))
    setup = json.loads((file.parent / "setup.json").read_text())
    (file.parent / "setup.json").write_text(json.dumps(setup | {"accuracy": SCRIPT, "versions": {SCRIPT: SCRIPT}}))
    return box


class Tags(HTMLParser):
    """The elements of a page and the names of their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(name for name, _ in attrs)}


def test_a_report_of_scripts(searched: Box) -> None:
    found = searched.run(["report", "theirs"])
    assert found.code == 0, found
    html = (searched.here / "theirs" / "report.html").read_text()
    assert "alert(1)" in html
    assert not Tags(html).seen & {"script", "img", "src", "onerror", "onload", "href", "iframe", "object", "link"}
    assert "default-src &#39;none&#39;" in html
    assert html.count("</style>") == 1
    assert all(letter.isprintable() or letter in "\n\u00a0" for letter in html)


@pytest.mark.parametrize("words", [["search", "--resume", "--out", "theirs"], ["report", "theirs"]])
def test_a_terminal_gets_no_escape_sequences(searched: Box, words: list[str]) -> None:
    found = searched.run(words)
    assert found.code == 0, found
    assert all(letter.isprintable() or letter == "\n" for letter in found.printed + found.said)


@pytest.mark.parametrize("space", ["\x1b]0;owned\x07\x1b[2J", "../../outside", "mobile; touch ../canary"])
def test_a_space_that_a_network_names_stays_text(tmp_path: Path, space: str) -> None:
    """It is part of the reason why there is no latency."""
    box = Box(tmp_path / "box")
    found = box.run(["estimate", box.write("c.json", json.dumps(config() | {"space": space})), "--target", "cpu"])
    assert (found.code, found.changed) == (0, ())
    assert "cpu has no table of" in found.printed
    assert all(letter.isprintable() or letter == "\n" for letter in found.printed + found.said)


def test_code_in_names_stays_text(tmp_path: Path) -> None:
    """model.py holds the names of decisions and of the space."""
    box = Box(tmp_path / "box")
    document = config() | {"space": CODE, "decisions": {CODE: CODE, '"': '"""', "\\": "\\"}}
    found = box.run(exported(json.dumps(document), "torch", "hf", "onnx")(box))
    assert found.code == 0, found
    module = ast.parse((box.here / "out" / "model.py").read_text())
    docstring, *rest = module.body
    assert isinstance(docstring, ast.Expr)
    assert "canary" in ast.literal_eval(docstring.value)
    assert {type(each) for each in rest} <= {
        ast.Import,
        ast.ImportFrom,
        ast.ClassDef,
        ast.FunctionDef,
        ast.If,
        ast.Assign,
    }
    assert not any("canary" in ast.unparse(each) for each in rest)
    assert not box.canary.exists()


class Endless:
    """A board that says what it is asked to say, for ever."""

    def __init__(self, line: str) -> None:
        self.line, self.said = line, 0

    def put(self, files: Mapping[str, bytes | Path]) -> None: ...

    def close(self) -> None: ...

    def run(self, argv: Sequence[str], silence_s: float) -> Iterator[str]:
        while True:
            self.said += 1
            yield self.line


@pytest.mark.parametrize("line", ['{"alive": 1}', '{"remark": "load", "value": 0.5}', '{"anything": []}'])
def test_a_board_that_talks_for_ever(line: str) -> None:
    board = Endless(line)
    with pytest.raises(Fault, match="lines one after another that are no sample"):
        _ = Hosted(lambda: board, Runner(("worker",), {})).info
    assert board.said == MOST_TALK + 1

"""What is printed for the user to type is right: all of it is parsed, and what is cheap is run."""

from __future__ import annotations

import ast
import html
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pictures import pets
from small_run import SPACE, nas

import nas as package
from nas.cli import cli
from nas.errors import TableError
from nas.formats.card import EXAMPLES
from nas.system.command import command
from nas.tables.target import target_path

ROOT = Path(package.__file__).parent
NAMES = "|".join(cli.commands)
TYPED = re.compile(rf"(?<![\w.@-])nas (?:{NAMES})\b[^`\n…;]*")
PROSE = {"nas train goes on from them"}
"""Sentences about a command."""


def parse(words: list[str]) -> click.Context:
    """The context of `nas WORDS`. Raises `click.ClickException` for what the program does not know."""
    named = cli.commands[words[0]]
    if isinstance(named, click.Group) and len(words) > 1:
        named, words = named.commands[words[1]], words[1:]
    return named.make_context(words[0], words[1:])


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """All texts of a module with their lines; what is put into them is `1`, which all types of options take."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "1" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def written() -> Iterator[tuple[str, str]]:
    """Every command in a text of the package that is no docstring, and where it stands."""
    for file in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(file.read_text())
        within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in within | docs or not isinstance(node, ast.JoinedStr | ast.Constant):
                continue
            for line, text in [next(texts(node), (0, ""))]:
                for match in TYPED.finditer(text):
                    yield f"{file.relative_to(ROOT)}:{line}", match[0].rstrip(" .,):").partition(". ")[0]


WRITTEN = [(place, line) for place, line in written() if line not in PROSE]


@pytest.mark.parametrize(("place", "line"), WRITTEN, ids=[place for place, _ in WRITTEN])
def test_every_command_in_a_message_is_known(place: str, line: str) -> None:
    words = shlex.split(line)[1:]
    if len(words) == 1 or (len(words) == 2 and words[0] in ("table", "spaces")):  # named, not typed: `nas devices`
        assert isinstance(cli.commands[words[0]], click.Group) or words[0] in cli.commands
        return
    parse(words)


def test_there_are_such_messages() -> None:
    assert len(WRITTEN) > 10


def test_every_command_that_is_put_together_has_known_options() -> None:
    found = 0
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command":
                assert isinstance(node.args[0], ast.Constant)
                named = cli.commands[node.args[0].value]
                options = {name for parameter in named.params for name in parameter.opts + parameter.secondary_opts}
                used = {f"--{keyword.arg.replace('_', '-')}" for keyword in node.keywords if keyword.arg}
                assert used <= options, f"{file}:{node.lineno}: {used - options}"
                found += 1
    assert found > 5


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            command("train", Path("a b"), data="imagefolder:/it's here"),
            ["train", "a b", "--data", "imagefolder:/it's here"],
        ),
        (command("report", Path("-x")), ["report", "./-x"]),
        (command("search", at_most=["macs=1", "peak=2"], prove=True, skip_broken=False, seed=0), None),
        (command("export", "a", out=Path("$HOME/*"), data=None), ["export", "a", "--out", "$HOME/*"]),
    ],
)
def test_a_command_is_quoted(line: str, words: list[str] | None) -> None:
    words = words or ["search", "--at-most", "macs=1", "--at-most", "peak=2", "--prove", "--seed", "0"]
    assert shlex.split(line) == ["nas", *words]


def lines_of(report: Path) -> list[list[str]]:
    """The commands that a report prints, without `nas`."""
    blocks = re.findall(r"<pre><code>(.*?)</code></pre>", report.read_text())
    return [shlex.split(html.unescape(re.sub(r"<[^>]*>", "", block)))[1:] for block in blocks]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose name has a space, with a space file in such a folder and pictures of two classes."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (folder := tmp_path / "a folder" / "of mine").mkdir(parents=True)
    (folder / "small.yaml").write_text(SPACE)
    pets(folder.parent)
    return folder.parent


@pytest.mark.parametrize(
    ("asked", "out"),
    [
        ([], None),
        (["--resolution", "32"], None),
        (["--classes", "2"], "cpu"),  # a folder that is called as a device is
        (["--resolution", "32", "--classes", "2"], "my boards/pi"),
    ],
)
def test_the_search_after_a_profile_uses_its_table(here: Path, asked: list[str], out: str | None) -> None:
    words = ["profile", "--space", "of mine/small.yaml", "--target", "fake", "--budget", "1s", "--precision", "50%"]
    said = nas(*words, *asked, *(["--out", out] if out else []), cwd=here).stdout
    line = re.search(r"^use it +(nas search .*)$", said, re.MULTILINE)
    table = re.search(r"^sha256 +([0-9a-f]+)$", said, re.MULTILINE)
    assert line is not None
    assert table is not None
    assert ("PICTURES: a folder with a folder for each of its classes" in said) == ("--classes" in asked)
    search = [word.replace("PICTURES", "pets") for word in shlex.split(line[1])[1:]]
    done = nas(*search, "--accuracy", "zero-cost:params", "--budget", "9", "--out", "run", cwd=here)
    assert "is measured now" not in done.stderr
    assert json.loads((here / "run" / "setup.json").read_text())["table"] == table[1]


def test_the_winner_is_handed_over_trained(here: Path) -> None:
    """A search, its report, and what that prints: first to train and to export, then to export what was trained."""
    words = ["search", "--space", "of mine/small.yaml", "--target", "fake", "--latency", "1s", "--budget", "9"]
    nas(
        *words,
        "--accuracy",
        "zero-cost:params",
        "--data",
        "imagefolder:pets",
        "--batch",
        "3",
        "--out",
        "my run",
        cwd=here,
    )
    again, train, export = lines_of(here / "my run" / "report.html")
    assert parse(again).params["batch"] == 3
    assert train[:2] == ["train", "my run"]
    assert export[1] == train[train.index("--out") + 1] == "my run-trained"
    nas(*train, "--epochs", "1", cwd=here)
    nas(*export, cwd=here)
    assert {"model.onnx", "README.md", *EXAMPLES} <= {path.name for path in (here / "model").iterdir()}
    assert "Trained." in (here / "model" / "README.md").read_text()
    assert nas("report", "my run", cwd=here).stdout == "my run/report.html\n"
    assert lines_of(here / "my run" / "report.html") == [again, export]
    nas("report", "my run-trained", cwd=here)
    handed, same = lines_of(here / "my run-trained" / "report.html")
    assert handed == export
    nas(*same, "--epochs", "1", cwd=here)
    for name in ("model.safetensors", "answers.json"):
        assert (here / "my run-trained-again" / name).read_bytes() == (here / "my run-trained" / name).read_bytes()


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("mobile", "nas profile --space mobile --target cpu:4t"),
        ("mobile-96px-6c", "nas profile --space mobile --target cpu:4t --resolution 96 --strides drop --classes 6"),
        ("mobile-96px-keep", "nas profile --space mobile --target cpu:4t --resolution 96 --strides keep"),
        ("mine", "nas profile --space mine.yaml --target cpu:4t"),
        ("my own-6c", "nas profile --space 'my own.yaml' --target cpu:4t --classes 6"),
    ],
)
def test_how_a_missing_table_is_made(space: str, says: str, here: Path) -> None:
    with pytest.raises(TableError, match=re.escape(says) + "$") as told:
        target_path("cpu:4t", space)
    parse(shlex.split(str(told.value).partition("Make it: nas ")[2]))


def test_going_on_with_a_training_whose_folder_has_a_space(here: Path) -> None:
    (here / "half done").mkdir()
    (here / "half done" / "checkpoint.safetensors").touch()
    told = nas("export", "half done", "--out", "x", cwd=here, code=2).stderr
    assert "Go on with it: nas train --resume --out 'half done'" in told

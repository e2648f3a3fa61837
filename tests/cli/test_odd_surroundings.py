"""Where the command line may find itself: names that are no text, terminals that are none, folders that are gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from nas.cli import cli
from nas.errors import NasError
from nas.system.atomic import write_atomic

SEARCH = ["search", "--space", "mobile", "--target", "pixel-cpu", "--latency", "60ms", "--budget", "50", "--out", "run"]
NO_TEXT = os.fsdecode(b"\xff")  # a file's name may be any bytes


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_names_that_are_no_text_come_back_from_json(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    write_atomic(file, json.dumps({"data": f"imagefolder:ü/{NO_TEXT}"}, ensure_ascii=False))
    assert json.loads(file.read_text("utf-8")) == {"data": f"imagefolder:ü/{NO_TEXT}"}
    assert "ü" in file.read_text("utf-8")


@pytest.mark.parametrize("name", [NO_TEXT, "a\nb", "x" * 5_000], ids=ascii)
@pytest.mark.parametrize(
    "words",
    [
        [*SEARCH, "--data", "NAME"],
        [*SEARCH, "--data", "imagefolder:NAME"],
        [*SEARCH, "--accuracy", "table:NAME"],
        [*SEARCH, "--controller", "NAME"],
        ["search", "--space", "mobile", "--target", "NAME"],
        ["profile", "--space", "NAME", "--target", "fake"],
        ["estimate", "NAME", "--target", "pixel-cpu"],
    ],
    ids=lambda words: " ".join(words[-2:]),
)
def test_a_name_of_nothing_is_refused_whatever_it_is(here: Path, words: list[str], name: str) -> None:
    found = CliRunner().invoke(cli, [word.replace("NAME", name) for word in words], standalone_mode=False)
    assert isinstance(found.exception, NasError | OSError)  # both are exit code 2
    assert list(here.iterdir()) == []


def test_a_run_and_its_pictures_in_folders_that_are_no_text(here: Path) -> None:
    for label in "ab":
        (here / f"p{NO_TEXT}" / label).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (9, 9), (40 * number, 0, 0)).save(here / f"p{NO_TEXT}" / label / f"{number}.png")
    Path(f"s{NO_TEXT}.yaml").write_text(
        "format: nas-space/1\nname: s\nsource: test\ninput: {resolution: 8}\nnum_classes: 2\nactivation: relu\n"
        "stages:\n  - {name: stem, block: conv, width: 8, stride: 2, kernel: {choice: [3, 5]}}\nhead: {width: 16}\n"
    )
    words = ["search", "--space", f"s{NO_TEXT}.yaml", "--target", "fake", "--latency", "1ms", "--budget", "2"]
    words += [
        "--data",
        f"imagefolder:p{NO_TEXT}",
        "--accuracy",
        "supernet:2",
        "--finalists",
        "0",
        "--out",
        f"run{NO_TEXT}",
    ]
    for command in (words, ["search", "--resume", "--out", words[-1]], ["report", words[-1], "--json"]):
        found = CliRunner().invoke(cli, command, standalone_mode=False)
        assert found.exception is None, found.exception
        assert "run" in found.stdout
    assert json.loads(Path(words[-1], "request.json").read_text())["request"]["data"].endswith(f"p{NO_TEXT}")


def test_what_is_printed_of_a_name_are_its_bytes() -> None:
    script = "import nas.system.streams as s; s.open_streams(); print('\\udcff')"
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=strict)
    assert found.stdout == b"\xff\n"


def test_no_terminal_no_letters_and_no_folder(tmp_path: Path) -> None:
    """All at once: ASCII, 20 columns, closed handles, an unknown home, a current folder that was removed."""
    script = "mkdir gone && cd gone && rmdir ../gone && exec {} -m nas {} <&- {}"
    odd = {"COLUMNS": "20", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "/nowhere"}
    for words, handles, code, part in (
        ("spaces list", "2>&-", 0, "mobile"),
        ("search --space mobile --target pixel-cpu --budget 9", "2>&1", 2, "Choose another --out"),
        ("table list", ">&- 2>&-", 0, ""),
    ):
        found = subprocess.run(
            ["sh", "-c", script.format(sys.executable, words, handles)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, **odd, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert found.returncode == code, found.stderr
        assert part in found.stdout
        assert "Traceback" not in found.stdout + found.stderr

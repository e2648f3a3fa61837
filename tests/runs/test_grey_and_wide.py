"""Networks for a grey camera, and for pictures that are not square: searched, trained, measured and handed over."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nas.cli import cli
from nas.data import load_data
from nas.errors import NasError
from nas.space.load import load_space

WIDE = """
format: nas-space/1
name: wide
source: a grey camera
input: {resolution: [12, 20], channels: 1}
num_classes: 2
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 8, stride: 2, kernel: {choice: [3, 5]}, expansion: 2}
head: {width: 16}
"""
SEARCH = ["search", "--target", "fake", "--latency", "50ms", "--data", "digits", "--finalists", "0", "--space"]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A command, run here with wide.yaml beside it; raises what ends it, and returns what it prints."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("wide.yaml").write_text(WIDE)

    def run(*words: str) -> str:
        found = CliRunner().invoke(cli, words, standalone_mode=False)
        if found.exception is not None:
            raise found.exception
        return found.stdout

    return run


def content(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_from_a_search_to_what_is_handed_over(typed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = typed(*SEARCH, "wide.yaml", "--accuracy", "supernet:2", "--budget", "2", "--out", "run")
    assert "digits at 12 × 20 px in grey" in found
    assert "measured" in found
    assert "12 × 20 px · 1,151 pictures" in typed("train", "run", "--data", "digits", "--epochs", "1", "--out", "t")
    config = content("t/config.json")
    assert config["input"] == {"channels": 1, "height": 12, "width": 20}
    grey = load_data("digits", (12, 20), channels=1)
    assert grey.train.pictures.shape == (1151, 12, 20, 1)
    assert config["pictures"]["mean"] == list(grey.mean)
    assert config["pictures"]["std"] == list(grey.std)
    typed("export", "t", "--format", "onnx,torch,hf,int8", "--data", "digits", "--out", "out")
    assert content("out/int8.json")["accuracy"]["float32"]["top1"] == content("t/result.json")["test"]["top1"]
    assert "Pictures are grey on the scale 0 to 1" in Path("out/model.py").read_text()
    card = Path("out/README.md").read_text()
    assert "| colours | grey; " in card
    assert "| resize | to cover 12 × 20 pixels, " in card
    program = next(text for text in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "onnxruntime" in text)
    with chdir("out"), redirect_stdout(StringIO()) as printed:
        monkeypatch.setattr(sys, "argv", ["program"])
        exec(program, {})
    assert f"```text\n{printed.getvalue()}```" in card
    assert "measured" in typed("verify", "t", "--target", "fake", "--tolerance", "100%")
    assert typed("report", "run").strip() == "run/report.html"
    assert "12 × 20 px" in Path("run/report.html").read_text()


@pytest.mark.parametrize(
    "how",
    [
        ["--controller", "single-path"],
        ["--controller", "fbnet"],
        ["--accuracy", "zero-cost"],
    ],
    ids=lambda how: how[1],
)
def test_all_that_learns_from_pictures_takes_them_as_they_are(typed: Callable[..., str], how: list[str]) -> None:
    typed(*SEARCH, "wide.yaml", *how, "--budget", "2", "--out", "run")
    assert content("run/winner/config.json")["input"]["channels"] == 1


@pytest.mark.parametrize("how", [[], ["--controller", "reinforce"], ["--accuracy", "train:1"]], ids=str)
def test_channels_that_no_picture_has_are_refused_before_anything_is_measured(
    typed: Callable[..., str], tmp_path: Path, how: list[str]
) -> None:
    Path("wide.yaml").write_text(WIDE.replace("channels: 1", "channels: 4"))
    with pytest.raises(NasError, match="pictures have 3 channels, or 1 where they are grey, and this network takes 4"):
        typed(*SEARCH, "wide.yaml", *how, "--out", "run")
    assert [path.name for path in Path().iterdir()] == ["wide.yaml"]
    assert not (tmp_path / "XDG_DATA_HOME").exists()


@pytest.mark.parametrize(
    "resolution", ["[12]", "[12, 20, 3]", "[0, 20]", "[12, 99999999]", "[12, a]", "[]", "{choice: [[12, 20], 16]}"]
)
def test_what_is_no_resolution(typed: Callable[..., str], resolution: str) -> None:
    Path("wide.yaml").write_text(WIDE.replace("[12, 20]", resolution))
    with pytest.raises(NasError, match=r"wide\.yaml: input\.resolution") as found:
        typed("spaces", "show", "wide.yaml")
    assert len(str(found.value).splitlines()) <= 2


def test_a_resolution_on_the_command_line_is_square(typed: Callable[..., str]) -> None:
    space = load_space("wide.yaml", resolution=32)
    assert (space.name, space.picture) == ("wide-32px", (1, 32, 32))
    assert load_space("wide.yaml").picture == (1, 12, 20)
    config = ["--proxy-resolution", "6", "is", "of", "the", "shorter", "side"]
    typed(*SEARCH, "wide.yaml", *config[:2], "--accuracy", "supernet:2", "--budget", "2", "--out", "run")
    assert "at 6 × 10 px in grey" in content("run/result.json")["accuracy"]["provenance"]

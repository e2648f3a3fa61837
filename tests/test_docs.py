"""Every command, Python example and YAML space in README and docs is run; every option and page is mentioned."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli import cli
from nas.space.load import load_space

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("nas ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "latency_tables").symlink_to(ROOT / "latency_tables")
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_run(page: Path, folder: Path) -> None:
    for command in commands(page):
        arguments = shlex.split(command, comments=True)[1:]
        if "--resume" in arguments:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "nas",
                    "search",
                    "--space",
                    "mobile",
                    "--target",
                    "pixel-cpu",
                    "--budget",
                    "2000",
                ],
                cwd=folder,
                capture_output=True,
            )
        result = subprocess.run([sys.executable, "-m", "nas", *arguments], cwd=folder, capture_output=True, text=True)
        assert result.returncode == 0, f"{command}\n{result.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_examples_run(page: Path, folder: Path) -> None:
    for example in blocks(page, "python"):
        subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=folder, check=True, env=os.environ)


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, n) for page in PAGES for n, text in enumerate(blocks(page, "yaml")) if "nas-space/1" in text],
)
def test_example_spaces_load(page: Path, number: int, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(blocks(page, "yaml")[number])
    assert load_space(path).size > 1


def test_every_option_is_documented() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for name, command in cli.commands.items():
        assert f"nas {name}" in text
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("--") or option in text, f"{option} of nas {name}"


def test_every_page_is_reachable_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for page in PAGES[1:]:
        assert f"docs/{page.name}" in text
    for target in re.findall(r"\]\(([^)#]+\.md)\)", text):
        assert (ROOT / target).is_file()


def test_every_experiment_named_exists_and_is_named() -> None:
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"experiments/(\w+\.py)", text))
    assert named == {path.name for path in (ROOT / "experiments").glob("*.py")}

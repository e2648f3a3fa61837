"""Runs to report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nas import search
from nas.runs.run import Run
from nas.system.places import shipped_folder


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of the same question: `few` and `front`."""
    folder = tmp_path_factory.mktemp("runs")
    question = {"space": "mobile", "target": "pixel-cpu", "latency_ms": 75.0}
    search(out=folder / "few", budget=3_000, prove=False, at_most={"macs": 4e8}, **question)
    search(out=folder / "front", budget=2_000, controller="nsga2", **question)
    return folder


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Run:
    """A copy of `few` that a test may change."""
    shutil.copytree(searched / "few", tmp_path / "few")
    return Run.load(tmp_path / "few")


@pytest.fixture
def own_table(tmp_path: Path) -> Path:
    """A copy of the shipped table that a test may change."""
    return Path(shutil.copytree(shipped_folder("latency_tables") / "pixel-cpu", tmp_path / "table"))

"""A controller and an accuracy of one's own, by the command line: they search, and are asked for again."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import nas, write_small

OWN = """
import numpy as np

class Mine:
    def __init__(self, space, initial, budget):
        self.space = space
    def ask(self, n, rng):
        return self.space.canonical(self.space.sample(n, rng))
    def tell(self, population, values, violations):
        pass

class Sum:
    label, unit, provenance, fingerprint = "sum of options", "", "made up", "1"
    def __init__(self, space, means):
        pass
    def __call__(self, population):
        return population.sum(axis=1, dtype=np.float64)
    def uncertainty(self, population):
        return np.zeros(len(population))

class Half:
    def ask(self, n, rng):
        pass

not_called = 3
"""


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    (tmp_path / "nas_own.py").write_text(OWN)
    return write_small(tmp_path)[:-2]  # without its accuracies


def test_both_search_and_are_asked_for_again(small: list[str], tmp_path: Path) -> None:
    code = ["--controller", "nas_own:Mine", "--accuracy", "nas_own:Sum"]
    done = nas(*small, *code, "--budget", "20", "--out", "run", cwd=tmp_path)
    assert "sum of options" in done.stdout
    nas("search", "--resume", "--out", "run", cwd=tmp_path)  # it is finished: nothing is run
    nas("export", "run", "--format", "study", "--out", "study", cwd=tmp_path)
    nas("report", "run", cwd=tmp_path)
    (tmp_path / "run" / "result.json").unlink()
    refused = nas("search", "--resume", "--out", "run", cwd=tmp_path, code=2)
    assert "its controller is 'nas_own:Mine': to go on runs that code" in refused.stderr
    assert f"say so: {' '.join(code)}" in refused.stderr
    assert "its accuracy is" in nas("search", "--resume", "--out", "run", *code[:2], cwd=tmp_path, code=2).stderr
    nas("search", "--resume", "--out", "run", *code, cwd=tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--controller", "nas_nowhere:Mine"], "No module named 'nas_nowhere', neither installed nor in the folder"),
        (["--controller", "nas_own:Yours"], "has no attribute 'Yours'"),
        (["--controller", "nas_own:Half"], "this one lacks tell"),
        (["--accuracy", "nas_own:Mine"], "this one lacks label and unit"),
        (["--controller", "nas_own:not_called"], "this one lacks ask and tell"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_is_left(
    small: list[str], tmp_path: Path, options: list[str], told: str
) -> None:
    accuracy = [] if "--accuracy" in options else ["--accuracy", "zero-cost:macs"]
    done = nas(*small, *accuracy, *options, "--out", "run", cwd=tmp_path, code=2)
    assert told in done.stderr
    assert not (tmp_path / "run").exists()

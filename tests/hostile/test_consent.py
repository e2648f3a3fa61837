"""Pictures that are code are named again by who goes on with a folder; then they are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import RunError
from nas.runs.request import Request
from nas.runs.run import Run
from nas.runs.training_folder import TrainingFolder
from nas.runs.training_request import TrainingRequest

CODE = "python:own.data"


def test_a_run(tmp_path: Path) -> None:
    request = Request(space="mobile", target="pixel-cpu", controller="fbnet", data=CODE)
    begun = Run.create(tmp_path / "run", request)
    begun.release()
    with pytest.raises(RunError, match=f"If you know it, say so: --data {CODE}"):
        Run.resume(begun.path, {})
    with pytest.raises(RunError, match="this run has data"):
        Run.resume(begun.path, {"data": "python:other.data"})
    again = Run.resume(begun.path, {"data": CODE})
    assert again.request == request
    assert again.go_on.endswith(f"--data {CODE}")
    again.release()


def test_a_training(tmp_path: Path) -> None:
    request = TrainingRequest(config="c.json", data=CODE)
    begun = TrainingFolder.create(tmp_path / "training", request)
    begun.release()
    with pytest.raises(RunError, match=f"If you know it, say so: --data {CODE}"):
        TrainingFolder.resume(begun.path, {})
    again = TrainingFolder.resume(begun.path, {"data": CODE})
    assert again.request == request
    again.release()


def test_pictures_that_are_none_are_not_asked_for(tmp_path: Path) -> None:
    begun = Run.create(tmp_path / "run", Request(space="mobile", target="pixel-cpu", controller="fbnet", data="digits"))
    begun.release()
    again = Run.resume(begun.path, {})
    assert "--data" not in again.go_on
    again.release()

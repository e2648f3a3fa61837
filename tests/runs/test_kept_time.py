"""A budget of time is kept where the machine becomes slower: what comes later is cut, recorded, the same on resume."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tellers import Said

from nas.errors import RunError
from nas.runs.past import FILE, Tuning, late
from nas.runs.race import Course
from nas.runs.request import Request


def tuning(folder: Path | None, **changes: Any) -> Tuning:
    """Two epochs of ten steps, then a hundred of the supernet that cost twice as much, in 100 seconds."""
    file = None if folder is None else folder / FILE
    return Tuning(**{"file": file, "epochs": 2, "steps": 100, "per_epoch": 10, "seconds": 100.0, "work": 2.0} | changes)


@pytest.mark.parametrize(
    ("changes", "took", "steps"),
    [
        ({}, 10.0, 90),  # 0.5 s a step: 90 s for steps of 1 s
        ({}, 40.0, 15),  # 2 s a step: 60 s for steps of 4 s
        ({}, 99.0, 10),  # an epoch in any case
        ({}, 300.0, 10),
        ({"seconds": None}, 40.0, 100),
        ({"epochs": 0}, 0.0, 100),  # it was trained on these pictures: nothing was timed
    ],
)
def test_a_supernet_gets_the_steps_that_fit(changes: dict[str, Any], took: float, steps: int, tmp_path: Path) -> None:
    plan = tuning(tmp_path, **changes)
    assert plan.settle(took) == steps
    assert tuning(tmp_path, **changes).settle(0.0) == steps  # gone on with
    assert tuning(None, **changes).settle(took) == steps


@pytest.mark.parametrize("text", ["[]", "{}", '{"epochs": 1}', '{"epochs": 1, "steps": "many"}', '{"epochs"'])
def test_a_plan_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RunError, match=FILE):
        tuning(tmp_path).settle(1.0)


def test_what_tuning_took_too_long_is_the_races(tmp_path: Path) -> None:
    request = Request(space="mobile", target="fake", seconds=100.0)
    assert late(request, tmp_path, 1_000.0) == 0.0  # nothing was tuned
    tuning(tmp_path).settle(50.0)
    assert late(request, tmp_path, 19.0) == 0.0  # of 70 s
    assert late(request, tmp_path, 30.0) == pytest.approx(10.0)
    assert late(Request(space="mobile", target="fake"), tmp_path, 1_000.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "epochs", "kept"),
    [
        (150.0, [3, 6, 12], [3, 6, 12]),  # 120 s are left, 24 epochs of one network: 2 x 6 + 12
        (90.0, [3, 6], [3, 6]),  # 12, and 12 fit
        (60.0, [3, 6], [3, 3]),  # 6 fit
        (35.0, [3, 6], [3]),  # none
        (20.0, [3, 6], [3]),
        (None, [3, 6], [3, 6]),
    ],
)
def test_later_rounds_of_a_race_are_cut_to_the_time(
    seconds: float | None, epochs: list[int], kept: list[int], tmp_path: Path
) -> None:
    (tmp_path / "race").mkdir()
    file = tmp_path / "race" / "race.json"
    file.write_text(json.dumps({"entries": [], "epochs": epochs, "seconds": seconds}))
    nothing = SimpleNamespace()
    course = Course(nothing, nothing, nothing, tmp_path, nothing, Said(), None)  # type: ignore[arg-type]
    for _ in range(2):  # once more, it is settled
        course._settle(epochs, 1, 30.0, 5.0, 2)
        assert epochs == kept
        assert json.loads(file.read_text())["epochs"] == kept

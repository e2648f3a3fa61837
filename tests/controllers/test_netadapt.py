"""`--controller netadapt`: what a round proposes, which proposal it goes on from, and how it ends."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nas.controllers.netadapt import NetAdapt
from nas.space.space import Population
from nas.testing import line
from tests.small_run import nas, write_small

WEIGHTS = np.array([1.0, 2.0, 4.0])
"""Of each option step in the cost, by decision."""


def excess(bound: float, population: Population) -> np.ndarray:
    return (population @ WEIGHTS) / bound - 1


def told(controller: NetAdapt, worth: np.ndarray) -> Population:
    """A round: what is proposed and not known, each worth a sum over decisions."""
    proposals = controller._proposals.copy()
    asked = controller.ask(len(proposals), np.random.default_rng(0))
    controller.tell(asked, (asked @ worth)[:, None], np.maximum(excess(7, asked), 0))
    return proposals


def test_a_round_proposes_the_least_step_that_is_enough_and_goes_on_from_the_least_loss() -> None:
    space, largest = line([4, 4, 4]), np.array([[3, 3, 3]], np.uint8)
    controller = NetAdapt(space, largest, steps=7, excess=partial(excess, 7))  # 21 at first, so a step is 2
    worth = np.array([1.0, 1.0, 5.0])
    assert told(controller, worth).tolist() == [[3, 3, 3], [3, 3, 3]]
    assert told(controller, worth).tolist() == [[1, 3, 3], [3, 2, 3], [3, 3, 2]]  # costs 2, 2 and 4 less
    assert controller._current.tolist() == [3, 2, 3]  # loses 0.5 per cost; the others 1 and 1.25
    assert told(controller, worth).tolist() == [[1, 2, 3], [3, 1, 3], [3, 2, 2]]
    assert controller._current.tolist() == [3, 1, 3]
    for _ in range(30):
        told(controller, worth)
    assert controller.ended
    assert controller.ask(5, np.random.default_rng(0)).shape == (5, 3)


def test_the_bounds_are_met_with_the_most_that_they_allow() -> None:
    """Where no change makes a whole step, a part of one will do; when the bounds are met, smaller steps begin anew."""
    space, largest = line([4, 4, 4]), np.array([[3, 3, 3]], np.uint8)
    controller = NetAdapt(space, largest, steps=1, excess=partial(excess, 7))
    told(controller, np.ones(3))
    assert controller._proposals.tolist() == [[3, 3, 1]]  # no change brings 21 to 7, one comes halfway
    met = []
    for number in range(60):
        asked = controller.ask(4, np.random.default_rng(number))
        controller.tell(asked, asked.sum(axis=1, dtype=float)[:, None], np.maximum(excess(7, asked), 0))
        met += [int(genotype.sum()) for genotype in asked if excess(7, genotype) <= 0]
    assert controller.ended
    assert max(met) == 5  # (3, 2, 0): within 7 no options are more in sum


def test_what_meets_the_bounds_already_is_left_for_the_largest_network() -> None:
    space, small = line([4, 4, 4]), np.array([[0, 1, 0]], np.uint8)
    controller = NetAdapt.sized(space, small, None, partial(excess, 7))
    assert controller.ask(2, np.random.default_rng(0)).tolist() == [[0, 1, 0], [3, 3, 3]]
    everything = NetAdapt.sized(space, small, None, partial(excess, 70))  # all networks meet this one
    told(everything, np.ones(3))
    assert everything.ended


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small space with its table and accuracies."""
    place = tmp_path_factory.mktemp("small")
    write_small(place)
    return place


SEARCH = ["search", "--space", "small.yaml", "--target", "board", "--controller", "netadapt"]
TABLE = ["--accuracy", "table:accuracies.csv"]


@pytest.mark.parametrize(
    "bounds",
    [["--latency", "0.02ms"], ["--latency", "0.03ms", "--at-most", "macs=60k,peak=12KiB"], ["--latency", "1s"]],
)
def test_a_search_ends_within_its_bounds_before_its_budget(folder: Path, tmp_path: Path, bounds: list[str]) -> None:
    command = [*SEARCH, *TABLE, *bounds, "--json"]
    document = json.loads(nas(*command, "--out", str(tmp_path / "run"), cwd=folder).stdout)
    assert all(document["winner"][name] <= bound for name, bound in document["bounds"].items())
    assert document["evaluations"] < 500  # of the budget, and of 768 networks
    (tmp_path / "run" / "result.json").unlink()
    again = json.loads(nas("search", "--resume", "--json", "--out", str(tmp_path / "run"), cwd=folder).stdout)
    assert again["winner"] == document["winner"]
    assert again["evaluations"] == document["evaluations"]


@pytest.mark.parametrize(
    ("arguments", "part", "code"),
    [
        ([*TABLE, "--latency", "0.02ms", "--objective", "mnasnet-soft"], "its objective is `bound`", 2),
        ([*TABLE, "--latency", "0.02ms", "--objective", "front"], "front", 2),
        ([*TABLE, "--latency", "0.001ms"], "this space attains", 1),
        ([*TABLE, "--latency", "50%"], "no reference network", 2),
        ([*TABLE, "--latency", "0.02ms", "--prove"], "a sum of arrays", 2),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, list) else None,
)
def test_wrong_requests(folder: Path, arguments: list[str], part: str, code: int) -> None:
    done = nas(*SEARCH, *arguments, cwd=folder, code=code)
    assert part in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not (folder / "runs").exists()


def test_one_evaluation_is_enough_to_meet_the_bound(folder: Path, tmp_path: Path) -> None:
    command = [*SEARCH, *TABLE, "--latency", "0.02ms", "--budget", "1", "--json", "--out", str(tmp_path / "run")]
    assert json.loads(nas(*command, cwd=folder).stdout)["winner"]["latency_ms"] <= 0.02

"""The race at the end of a search on pictures: who is in it, who wins, and what it says of the estimates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_run import SPACE, nas

from nas.data import load_data
from nas.errors import Diverged, GivenUp, Interrupted, OutOfMemory
from nas.runs import heat, race
from nas.runs.agreement import agreement
from nas.runs.network import find_network
from nas.runs.race import fitting, rounds
from nas.runs.request import Request
from nas.runs.run import Run
from nas.training.network import network_of
from nas.training.score import evaluate
from nas.workers import Here

SEARCH = ["search", "--space", "small.yaml", "--target", "fake", "--data", "digits"]
QUICK = [*SEARCH, "--accuracy", "supernet:3", "--budget", "8"]
TIGHT, WIDE = ["--latency", "30us"], ["--latency", "300us"]
"""Too little for any published network, and enough for one."""


pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.yaml").write_text(SPACE)
    monkeypatch.setattr(race, "EPOCHS", 1)
    monkeypatch.setattr(race, "NETWORKS", ("mobilenetv3-small-1.0",))  # scaling each takes half a second
    return tmp_path


@dataclass
class Trainings:
    """Stands in for trainings: the more parameters, the better. Those whose numbers are in `fails` fail like that."""

    fails: dict[int, Exception] = field(default_factory=dict)
    done: int = 0

    def __call__(self, network: torch.nn.Module, data: object, recipe: Any, **_: object) -> SimpleNamespace:
        self.done += 1
        if self.done - 1 in self.fails:
            raise self.fails[self.done - 1]
        parameters = sum(parameter.numel() for parameter in network.parameters())
        top1 = 100 * parameters / (parameters + 1e5)
        return SimpleNamespace(network=network, history=[SimpleNamespace(validation_top1=top1)] * recipe.epochs)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    stand_in = Trainings()
    monkeypatch.setattr(heat, "fit", stand_in)
    return stand_in


def test_the_winner_is_who_trained_best(here: Path) -> None:
    document = json.loads(nas(*QUICK, *TIGHT, "--finalists", "3", "--json", "--out", "r", cwd=here).stdout)
    first, *others = document["race"]["runners"]
    assert len(others) == 2
    assert document["race"]["epochs"] == [1, 2]
    assert first["epochs"] == 3
    assert all(runner["inherited"] and runner["measured_ms"] <= 1.03 * 0.03 for runner in (first, *others))
    assert len({str(runner["decisions"]) for runner in (first, *others)}) == 3
    assert document["winner"]["decisions"] == document["estimated"]["decisions"] == first["decisions"]
    assert document["winner"]["accuracy"] == first["top1"] >= others[0]["top1"]
    assert document["accuracy_check"]["finalists"] == 3
    network = find_network(here / "r")
    assert network.config.weights == "trained"
    assert network.weights is not None
    digits = load_data("digits", 16)
    score = evaluate(network_of(network.config.architecture, network.weights).eval(), digits, digits.validation)
    assert score.top1 == pytest.approx(first["top1"])
    assert not (here / "r" / "race").exists()
    page = (here / "r" / "report.html").read_text()
    assert "The race" in page
    assert "no better than chance" in page


@pytest.mark.parametrize("accuracy", ["supernet:1", "zero-cost:params"])
def test_branches_are_raced_and_the_winner_has_them_merged(here: Path, accuracy: str) -> None:
    (here / "small.yaml").write_text(
        "format: nas-space/1\nname: reps\nsource: test\nnum_classes: 10\ninput: {resolution: 16}\nactivation: relu\n"
        "stages:\n  - {name: stem, block: rep, width: 8, stride: 2, kernel: 3}\n"
        "  - {name: body, block: rep, width: {choice: [8, 12]}, kernel: {choice: [3, 7]}, depthwise: true}\n"
    )
    words = ("--accuracy", accuracy, "--budget", "2", "--finalists", "2", "--json", "--out", "r")
    document = json.loads(nas(*SEARCH, *TIGHT, *words, cwd=here).stdout)
    first, *others = document["race"]["runners"]
    assert [runner["inherited"] for runner in (first, *others)] == [accuracy == "supernet:1"] * 2
    network = find_network(here / "r")
    assert [layer.branched for layer in network.config.architecture.layers] == [False] * 3
    assert network.weights is not None
    digits = load_data("digits", 16)
    score = evaluate(network_of(network.config.architecture, network.weights).eval(), digits, digits.validation)
    assert score.top1 == pytest.approx(first["top1"])


def test_a_published_network_that_wins_is_called_by_its_name(here: Path, trainings: Trainings) -> None:
    done = nas(*QUICK, *WIDE, "--finalists", "2", "--out", "r", cwd=here)
    result = Run.load(here / "r").result
    assert result.race is not None
    assert result.winner.name == result.race.runners[0].name == "mobilenetv3-small-1.0"
    assert result.winner.decisions == {}
    assert result.winner.latency_ms <= 0.3
    assert "winner    mobilenetv3-small-1.0, scaled · asked ≤ 0.30 ms · measured" in done.stdout
    assert "from scratch" in done.stdout
    config = json.loads((here / "r" / "winner" / "config.json").read_text())
    assert config["metrics"]["scaled"]["from"] == "mobilenetv3-small-1.0"
    assert "a published network won: mobilenetv3-small-1.0" in (here / "r" / "report.html").read_text()
    found = [runner.name for runner in result.race.runners if runner.decisions is not None]
    assert sorted(found) == ["finalist-1", "finalist-2"]


def test_interrupted_it_goes_on_with_who_is_not_trained_yet(here: Path, trainings: Trainings) -> None:
    command = [*QUICK, *TIGHT, "--finalists", "4", "--out"]
    nas(*command, "whole", cwd=here)
    assert trainings.done == 4 + 2  # of finalists alone: the published network is too slow
    trainings.done, trainings.fails = 0, {5: Interrupted("stopped.")}
    error = nas(*command, "cut", cwd=here, code=130).stderr
    assert "5 trainings of the race are kept. Go on: nas search --resume --out cut" in error
    trainings.done, trainings.fails = 0, {}
    nas("search", "--resume", "--out", "cut", cwd=here)
    assert trainings.done == 1
    whole, cut = (Run.load(here / name).result.model_dump() for name in ("whole", "cut"))
    assert cut["winner"] == whole["winner"]
    assert cut["race"]["runners"] == whole["race"]["runners"]
    assert cut["accuracy_check"] == whole["accuracy_check"]


DIVERGED = Diverged("Training has diverged: the loss is no number, at or shortly before step 7. Take a lower --lr.")
SHORT = OutOfMemory("The cpu has too little memory for batches of 64 pictures. Take a smaller --batch.")


@pytest.mark.parametrize(
    ("fails", "lost", "ranked", "epochs", "reason"),
    [
        ({0: DIVERGED}, [1], 3, 3, "finalist-1 was lost in round 1: Training has diverged"),
        ({1: DIVERGED, 3: SHORT}, [1, 1], 2, 3, "finalist-4 was lost in round 1: The cpu has too little memory"),
        ({4: SHORT, 5: DIVERGED}, [2, 2], 4, 1, "was lost in round 2: The cpu has too little memory"),
    ],
    ids=["one", "half", "the whole last round"],
)
def test_a_network_that_cannot_be_trained_is_lost_and_the_others_go_on(
    here: Path,
    trainings: Trainings,
    fails: dict[int, Exception],
    lost: list[int],
    ranked: int,
    epochs: int,
    reason: str,
) -> None:
    trainings.fails = fails
    done = nas(*QUICK, *TIGHT, "--finalists", "4", "--out", "r", cwd=here)
    result = Run.load(here / "r").result
    assert result.race is not None
    assert result.accuracy_check is not None
    assert trainings.done == 6
    assert [each.round for each in result.race.lost] == lost
    assert result.race.runners[0].epochs == epochs
    assert len(result.race.runners) == result.accuracy_check.finalists == ranked
    assert all(reason in text for text in (done.stdout, done.stderr, (here / "r" / "report.html").read_text()))
    assert "Take a" not in done.stdout + done.stderr


def test_a_race_that_loses_all_is_an_error_and_begins_anew(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(architecture: Any, weights: Any) -> torch.nn.Module:
        return network_of(architecture, {name: value * float("nan") for name, value in weights.items()})

    monkeypatch.setattr(heat, "network_of", broken)
    error = nas(*QUICK, *TIGHT, "--finalists", "2", "--out", "r", cwd=here, code=2).stderr
    last = error.splitlines()[-1]
    assert "None of the 2 networks of the race could be trained. finalist-1: Training has diverged" in last
    assert "--resume" in last
    monkeypatch.setattr(heat, "network_of", network_of)
    result = json.loads(nas("search", "--resume", "--json", "--out", "r", cwd=here).stdout)
    assert result["race"]["lost"] == []


def test_a_network_whose_workers_die_is_lost(here: Path, trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def map_(self: Here, work: Any, laps: Any, *, gpu: bool) -> Iterator[Any]:
        asked.append([lap.key for lap in laps])
        for index, lap in enumerate(laps):
            if lap.key == "0-1":
                raise GivenUp("Piece of work 2 was given up after 4 tries: its worker was lost. Last: it.", index)
            yield index, work(lap)

    monkeypatch.setattr(Here, "map", map_)
    nas(*QUICK, *TIGHT, "--finalists", "3", "--out", "r", cwd=here)
    result = Run.load(here / "r").result
    assert result.race is not None
    assert asked == [["0-0", "0-1", "0-2"], ["0-2"], ["1-2", "1-0"]]
    assert [each.told for each in result.race.lost] == [
        "finalist-2 was lost in round 1: Piece of work 2 was given up after 4 tries: its worker was lost"
    ]


def test_a_policy_races_its_one_network(here: Path, trainings: Trainings) -> None:
    words = [*SEARCH, *TIGHT, "--controller", "reinforce", "--budget", "2", "--json", "--out", "r"]
    document = json.loads(nas(*words, cwd=here).stdout)
    assert [runner["name"] for runner in document["race"]["runners"]] == ["finalist-1"]
    assert document["accuracy_check"]["kendall_tau"] is None


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([*QUICK, *TIGHT, "--finalists", "-1"], "0 to 64 finalists"),
        ([*QUICK, *TIGHT, "--finalists", "1000000000"], "0 to 64 finalists"),
        ([*QUICK, *TIGHT, "--finalists", "2.5"], "not a valid integer"),
        (["search", "--space", "small.yaml", "--target", "fake", *TIGHT, "--finalists", "4"], "add --data"),
        (["search", "--resume", "--out", "r", "--finalists", "3"], "has finalists 0"),
    ],
)
def test_wrong_requests(here: Path, words: list[str], part: str) -> None:
    if "--resume" in words:
        old = Request(space="mobile", target="pixel-cpu", data="digits").to_json()
        del old["finalists"]
        (here / "r").mkdir()
        (here / "r" / "request.json").write_text(json.dumps({"format": "nas-run/1", "request": old}))
    error = nas(*words, cwd=here, code=2).stderr
    assert part in error
    assert len(error.splitlines()) <= 2


def test_what_is_not_said_of_a_race() -> None:
    assert Request(space="mobile", target="pixel-cpu").raced == 0
    raced = Request(space="mobile", target="pixel-cpu", data="digits", seconds=900.0)
    assert raced.raced == 4
    assert (raced.race_seconds, raced.before_race.seconds) == (450, 450)
    assert Request.from_json(raced.to_json()) == raced
    old = {name: value for name, value in raced.to_json().items() if name != "finalists"}
    assert Request.from_json(old).raced == 0
    assert Request.from_json(old).before_race.seconds == 900


@pytest.mark.parametrize(
    ("estimates", "standing", "tau", "better"),
    [
        ([4, 3, 2, 1], [4, 3, 2, 1], 1.0, True),  # one of 24 orders
        ([4, 3, 2, 1], [4, 3, 1, 2], 2 / 3, False),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0, False),
        ([3, 2, 1], [3, 2, 1], 1.0, False),
        ([1, 1, 1, 1], [4, 3, 2, 1], 0.0, False),
        ([*range(8)], [0, 1, 2, 3, 4, 5, 7, 6], 26 / 28, True),
    ],
)
def test_agreement(estimates: list[float], standing: list[float], tau: float, better: bool) -> None:
    check = agreement(estimates, standing)
    assert check.kendall_tau == pytest.approx(tau)
    assert check.low is not None
    assert check.high is not None
    assert -1 <= check.low <= tau + 1e-9
    assert tau - 1e-9 <= check.high <= 1
    assert check.better_than_chance is better
    assert ("no better than chance" in check.told) is not better


def test_one_finalist_has_no_order() -> None:
    assert agreement([1.0], [1.0]).kendall_tau is None


@pytest.mark.parametrize(
    ("count", "most", "epochs"),
    [
        (7, 1e9, [64, 128, 256]),
        (7, 23 * 3, [3, 6, 12]),
        (7, 22, [1, 1, 1]),
        (7, 8, [1]),
        (7, 0, [1]),
        (1, 5, [5]),
        (2, 4, [2]),
    ],
)
def test_as_many_epochs_as_there_is_time_for(count: int, most: float, epochs: list[int]) -> None:
    assert fitting(count, most) == epochs
    assert rounds(count, 1)[0] == 1

"""One network for several devices: a bound on each, in every kind of search, and in all that a run says of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import nas as command

import nas
from nas.cost.factors import Factor, Factors
from nas.errors import NasError, RunError, Unattainable
from nas.formats.card import to_card
from nas.policies.bound import Tightest
from nas.runs.aim import MOST
from nas.runs.objective import Objective
from nas.runs.request import Request

FLEET = ["--target", "pixel-cpu", "--latency", "75ms", "--target", "pixel3", "--latency", "60%"]
TARGETS = ("pixel-cpu", "pixel3")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> nas.Run:
    """A fleet of two; nothing in it is changed."""
    out = tmp_path_factory.mktemp("fleet") / "run"
    words = ["search", "--space", "mobile", *FLEET, "--budget", "3000", "--no-prove", "--out", "run"]
    assert "≤ 75.0 ms on pixel-cpu, ≤ 59.5 ms on pixel3 · table" in command(*words, cwd=out.parent).stdout
    return nas.Run.load(out)


def by_tables(decisions: dict[str, Any]) -> dict[str, float]:
    """Latency of a network of `mobile` on each target."""
    space = nas.load_space("mobile")
    genotype = space.encode([decisions])
    return {name: float(nas.latency(space, nas.load_table(name))(genotype)[0]) for name in TARGETS}


def test_every_figure_of_a_run_is_there_for_each_target(run: nas.Run) -> None:
    document = run.to_json()
    winner = document["winner"]
    assert winner["latencies"] == pytest.approx(by_tables(winner["decisions"]))
    assert winner["latency_ms"] == winner["latencies"]["pixel-cpu"]
    assert list(document["bounds"]) == ["latency_ms", "latency_ms@pixel3"]
    assert [on["target"] for on in document["fleet"]] == [*TARGETS]
    for on, bound in zip(document["fleet"], document["bounds"].values(), strict=True):
        assert winner["latencies"][on["target"]] == on["latency_ms"] <= on["bound_ms"] == bound
        assert on["attainable"][0] < bound < on["attainable"][1]
        assert sum(on["coverage"].values()) == pytest.approx(1)
    reference = document["references"]["efficientnet-b0"]
    assert document["bounds"]["latency_ms@pixel3"] == pytest.approx(0.6 * reference["latencies"]["pixel3"])
    metrics = json.loads((run.path / "winner" / "config.json").read_text())["metrics"]
    assert [told["ms"] for told in metrics["latencies"]] == [*winner["latencies"].values()]
    assert to_card(
        run.architecture, decisions=None, space=None, metrics=metrics, weights_from="random", pictures=None
    ).count("## Latency") == 2  # fmt: skip


def test_the_front_has_whatever_none_beats_in_accuracy_and_every_latency(run: nas.Run) -> None:
    points = np.array([[p.accuracy, -p.on("pixel-cpu"), -p.on("pixel3")] for p in run.front])
    no_worse = (points[:, None] >= points[None]).all(axis=2)
    assert no_worse.sum() == len(points)
    rows = list(csv.DictReader((run.path / "front.csv").read_text().splitlines()))
    assert list(rows[0])[:2] == ["latency_ms", "latency_ms@pixel3"]
    assert [float(row["latency_ms@pixel3"]) for row in rows] == [p.on("pixel3") for p in run.front]


def test_the_report_shows_each_target(run: nas.Run) -> None:
    page = (run.path / "report.html").read_text()
    for text in ("asked on pixel-cpu", "asked on pixel3", "Google Pixel 3", "60 % of the latency of the space"):
        assert text in page
    assert page.count("Accuracy against latency of 3,000 architectures") == 2
    assert "--target pixel-cpu --target pixel3 --latency 75ms --latency 60%" in page.replace("</span>", "").replace(
        "<span>", ""
    )


def test_a_finished_run_of_a_fleet_is_gone_on_with_by_the_same_words_alone(run: nas.Run) -> None:
    words = ["search", "--space", "mobile", *FLEET, "--out", "run", "--resume", "--json"]
    again = command(*words, cwd=run.path.parent)
    assert json.loads(again.stdout)["winner"] == run.to_json()["winner"]
    asked: dict[str, Any] = {"target": [*TARGETS], "latency_ms": [75, None], "latency_share": [None, 0.6]}
    assert nas.search(space="mobile", **asked, out=run.path, resume=True).winner == run.winner
    for changed in ({"target": "pixel-cpu"}, {"target": TARGETS[::-1]}, {"latency_ms": (75.0, 60.0)}):
        with pytest.raises(RunError, match="Leave the option out"):
            nas.search(**{**asked, **changed}, out=run.path, resume=True)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["--target", "pixel-cpu", "--target", "pixel3", "--latency", "75ms"], "got 1 for 2 targets"),
        (["--target", "pixel-cpu", "--latency", "75ms", "--latency", "60ms"], "got 2 for 1 targets"),
        (["--target", "pixel-cpu", "--target", "pixel-cpu"], "got 'pixel-cpu' more than once"),
        ([word for n in range(MOST + 1) for word in ("--target", f"ssh:board{n}")], f"1 to {MOST} targets"),
        ([*FLEET, "--target", "nowhere"], "got 2 for 3 targets"),
        (["--target", "pixel-cpu", "--target", "nowhere"], "nowhere"),
        ([*FLEET[:-1], "60"], "positive number with its unit"),
        (["--target", "pixel-cpu", "--target", "nb201-pixel3"], "not in the table nb201-pixel3"),
    ],
)
def test_odd_fleets_are_told_in_a_line(tmp_path: Path, words: list[str], rule: str) -> None:
    told = command("search", "--space", "mobile", *words, "--out", "run", cwd=tmp_path, code=2).stderr
    assert rule in told
    assert len(told.strip().splitlines()) <= 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("target", [(), (1, 2), ("pixel-cpu", None), None])
def test_targets_are_text(target: Any) -> None:
    with pytest.raises(NasError, match="target"):
        Request(space="mobile", target=target)


def test_two_tables_of_one_name_are_no_fleet(tmp_path: Path) -> None:
    folder = nas.load_table("pixel-cpu").path
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("table.csv", "table.yaml"):
        (copy / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(NasError, match="told apart by their tables' names, got 'pixel-cpu'"):
        nas.search(space="mobile", target=("pixel-cpu", str(copy)), budget=10, out=tmp_path / "run")


@pytest.mark.parametrize("controller", ["nsga2", "surrogate", "netadapt", "optuna:tpe"])
def test_every_controller_keeps_each_bound(tmp_path: Path, controller: str) -> None:
    run = nas.search(
        space="mobile", target=TARGETS, latency_ms=(75.0, 70.0), controller=controller, budget=40, prove=False,
        objective="front" if controller == "nsga2" else "bound", out=tmp_path / "run",
    )  # fmt: skip
    assert run.winner.on("pixel-cpu") <= 75
    assert run.winner.on("pixel3") <= 70


def random_sums(rng: np.random.Generator, count: int) -> tuple[dict[str, Factors], np.ndarray[Any, Any]]:
    """Sums over four decisions that go against each other, and all their values."""
    cards = (2, 3, 2, 3)
    keys = ["latency_ms", *(f"latency_ms@t{n}" for n in range(1, count))]
    costs = {key: Factors.of(cards, 0.1, [Factor((a,), rng.random(cards[a])) for a in range(4)]) for key in keys}
    everything = np.stack(np.unravel_index(np.arange(36), cards), axis=1).astype(np.uint8)
    return costs, np.stack([cost(everything) for cost in costs.values()], axis=1)


def refusal(objective: Objective) -> str:
    """What is said of bounds that cannot be met; empty where nothing is."""
    try:
        objective.check_attainable()
    except Unattainable as told:
        return str(told)
    return ""


@pytest.mark.parametrize("seed", range(12))
def test_what_is_attainable_together_is_told_where_bounds_are_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs, values = random_sums(rng, 3)
    targets, refuted = {key: f"t{number}" for number, key in enumerate(costs)}, 0
    for share in np.linspace(0.02, 0.6, 7):
        bounds = {key: float(np.quantile(column, share)) for key, column in zip(costs, values.T, strict=True)}
        objective = Objective(None, costs, bounds, tuple(bounds), targets=targets)  # type: ignore[arg-type]
        possible = (values <= [*bounds.values()]).all(axis=1).any()
        told = refusal(objective)
        assert not (told and possible)
        if told:
            assert "together, though each alone can be met. One that comes near them has" in told
            assert " ms on t" in told
        refuted += bool(told)  # what no weights refute is left to the search
    assert refuted


def test_policies_know_the_tightest_target() -> None:
    costs, values = random_sums(np.random.default_rng(0), 2)
    limits = list(zip(costs.values(), (1.0, 2.0), strict=True))
    everything = np.stack(np.unravel_index(np.arange(36), (2, 3, 2, 3)), axis=1).astype(np.uint8)
    assert Tightest(limits)(everything) == pytest.approx((values / [1, 2]).max(axis=1))
    assert (Tightest(limits[:1])(everything) == values[:, 0]).all()

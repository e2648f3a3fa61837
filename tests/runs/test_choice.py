"""What accuracy is estimated from where nobody said: by costs, by what there is, and as it is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from nas.accuracy.make import Means, make_evaluator
from nas.accuracy.prior import fit, prior_of
from nas.controllers.gaussian_process import Encoding
from nas.errors import NasError
from nas.runs.choice import Costs, choose
from nas.runs.plan import stages
from nas.runs.request import Request
from nas.runs.result import Chosen
from nas.space.load import load_space

ASKED = Request(space="mobile", target="pixel-cpu", data="digits", seconds=450.0, finalists=0)
COSTS = Costs(training=60.0, step=1.0, evaluation=2.0, rule="progressive", epoch=20)


@pytest.mark.parametrize(
    ("costs", "given", "accuracy"),
    [
        (COSTS, {"prior": True}, "prior:5"),  # 450 s hold 7 trainings
        (replace(COSTS, training=200.0), {"prior": True}, "prior:0"),
        (replace(COSTS, training=10.0), {"prior": True}, "train"),
        (replace(COSTS, training=30.0), {"prior": False}, "train"),
        (replace(COSTS, training=30.0), {"prior": False, "spread": True, "at_once": 2}, "asha"),
        (replace(COSTS, step=0.1), {"prior": False}, "supernet:progressive,2700"),
        (replace(COSTS, step=0.1, epoch=1_000), {"prior": False}, "zero-cost"),  # less than five epochs
        (COSTS, {"prior": False}, "zero-cost"),
        (COSTS, {"prior": True, "together": True}, "supernet:progressive,270"),
        (replace(COSTS, training=1e6, step=1e6), {"prior": False, "together": True}, "supernet:progressive,1"),
    ],
)
def test_the_choice_follows_from_what_fits(costs: Costs, given: dict[str, object], accuracy: str) -> None:
    chosen = choose(ASKED, costs, **given)  # type: ignore[arg-type]
    assert chosen.accuracy == accuracy
    assert "a training of 3 epochs takes" in chosen.why
    assert chosen.applied(ASKED).seconds is None  # it became a number
    assert chosen.applied(ASKED).budget == chosen.evaluations >= 1


def test_evaluations_that_were_asked_for_are_made() -> None:
    asked = replace(ASKED, seconds=None, budget=5)
    assert choose(asked, replace(COSTS, training=80.0), prior=False).accuracy == "train"  # 5 of them fit
    assert choose(asked, COSTS, prior=True).evaluations == 5


@pytest.mark.parametrize(("finalists", "accuracy"), [(0, "zero-cost"), (4, "supernet:progressive,2700")])
def test_workers_have_something_to_do(finalists: int, accuracy: str) -> None:
    asked = replace(ASKED, finalists=finalists)
    assert choose(asked, replace(COSTS, step=0.1), prior=False, spread=True).accuracy == accuracy


def test_what_too_little_time_says_is_how_much_would_do() -> None:
    assert "--budget 12m would do" in choose(ASKED, COSTS, prior=False).why
    assert "--budget 24m would do" in choose(replace(ASKED, finalists=4), COSTS, prior=False).why


def test_most_of_the_time_of_a_trained_network_is_for_tuning() -> None:
    assert stages(ASKED, None, network=True) == {"tune": pytest.approx(315), "search": pytest.approx(135)}


def test_stages_share_the_time() -> None:
    chosen = choose(ASKED, COSTS, prior=True)
    assert stages(ASKED, chosen) == {"tune": 360, "search": pytest.approx(90)}
    alone = choose(ASKED, replace(COSTS, training=200.0), prior=True)
    assert stages(ASKED, alone) == {"search": 450}
    assert stages(replace(ASKED, target="cpu", accuracy="train"), None) == {"profile": None, "search": 450}
    assert stages(replace(ASKED, data=None, seconds=None), None) == {"search": None}
    raced = replace(ASKED, finalists=4)
    assert stages(raced, alone) == {"search": 225, "race": 225}
    assert stages(replace(raced, seconds=None, budget=9), None) == {"tune": None, "search": None, "race": None}


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, True),
        ({"classes": 6}, True),
        ({"resolution": 96, "classes": 6}, True),
        ({"resolution": 32, "strides": "drop"}, True),
    ],
)
def test_the_prior_serves_the_space_in_any_size(changes: dict[str, object], known: bool) -> None:
    assert (prior_of(load_space("mobile", **changes)) is not None) == known  # type: ignore[arg-type]


def test_a_space_that_is_only_called_so_has_no_prior() -> None:
    space = replace(load_space("single-path", classes=6), name="mobile-6c")
    assert prior_of(space) is None


@pytest.mark.parametrize("argument", ["3", "x", "12,", "12,0", "1001", "-1"])
def test_a_prior_is_refused_what_it_does_not_take(argument: str) -> None:
    with pytest.raises(NasError, match="takes a number"):
        make_evaluator(f"prior:{argument}", load_space("mobile", classes=6), Means())


def test_a_space_without_a_prior_is_refused_one() -> None:
    with pytest.raises(NasError, match="no predictor for networks of 'single-path"):
        make_evaluator("prior:0", load_space("single-path"), Means())


@pytest.mark.parametrize(("slope", "agrees"), [(2.0, 1), (-2.0, -1)])
def test_trainings_turn_a_prior_round_where_they_say_so(slope: float, agrees: int) -> None:
    space = load_space("mobile", classes=6)
    prior = prior_of(space)
    assert prior is not None
    rng = np.random.default_rng(0)
    learned, others = (space.canonical(space.sample(n, rng)) for n in (12, 200))
    values = 40 + slope * (prior(learned) - 60) + rng.normal(size=12)
    fitted = fit(prior, learned, values, np.ones(12), Encoding(space.cardinalities))
    assert agrees * kendalltau(fitted.mean(others), prior(others)).statistic > 0.95
    assert agrees * fitted.tau > 0.5


def test_trainings_that_differ_by_chance_leave_the_rank_as_it_is() -> None:
    space = load_space("mobile", classes=6)
    prior = prior_of(space)
    assert prior is not None
    learned = space.canonical(space.sample(8, np.random.default_rng(0)))
    values = prior(learned) + np.tile([-0.5, 0.5], 4)
    fitted = fit(prior, learned, values, np.full(8, 3.0), Encoding(space.cardinalities))
    assert fitted.process.kernel.amplitude == 0
    assert kendalltau(fitted.mean(learned), prior(learned)).statistic == pytest.approx(1)


def test_a_choice_is_read_as_it_was_written(tmp_path: Path) -> None:
    chosen = choose(ASKED, COSTS, prior=True)
    assert Chosen.model_validate(json.loads(json.dumps(chosen.model_dump()))) == chosen

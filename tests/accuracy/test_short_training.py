"""`--accuracy train`: a training that diverges is a figure like others, and is kept like them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tellers import Said

from nas.accuracy import short_training
from nas.accuracy.make import Means, make_evaluator
from nas.data import load_data
from nas.errors import Diverged, RunError
from nas.space.load import load_space
from tests.small_run import SPACE


def test_a_training_that_diverges_counts_as_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.yaml").write_text(SPACE)
    space, teller, trained = load_space(tmp_path / "small.yaml"), Said(), list[int]()

    def fit(network: Any, data: Any, recipe: Any, watch: Any, **_: object) -> SimpleNamespace:
        trained.append(sum(parameter.numel() for parameter in network.parameters()))
        watch(SimpleNamespace(epoch=1, validation_top1=31.5))
        if len(trained) == 2:
            raise Diverged("Training has diverged.")
        watch(SimpleNamespace(epoch=2, validation_top1=52.5))
        return SimpleNamespace(network=network)

    monkeypatch.setattr(short_training, "fit", fit)
    population = space.canonical(space.sample(20, np.random.default_rng(0)))
    three = population[np.sort(np.unique(population, axis=0, return_index=True)[1])[:3]]
    means = Means(load_data("digits", 16), folder=tmp_path, teller=teller)
    assert make_evaluator("train:2", space, means)(three).tolist() == [52.5, 0.0, 52.5]
    assert [line for line in teller.lines if "diverged" in line] == [
        "0 % of the held-out pictures: a training seems to have diverged"
    ]
    again = make_evaluator("train:2", space, means)
    assert again(three).tolist() == [52.5, 0.0, 52.5]
    assert len(trained) == 3
    file = tmp_path / "trainings.jsonl"
    whole = file.read_text()
    for cut, rule in (
        (whole.replace("31.5", '"31.5"', 1), "line 2: not a training: `top1` is a list of percents"),
        (whole.replace("nas-trainings", "another"), "these trainings are of another request"),
        (whole.replace("depth", "breadth"), "line 2: not a training"),
    ):
        file.write_text(cut)
        with pytest.raises(RunError, match=rule):
            make_evaluator("train:2", space, means)(three)

"""The learning rate and the average, by hand."""

from __future__ import annotations

from math import cos, pi

import pytest
import torch
from torch import nn

from nas.errors import NasError
from nas.training.average import Average, decay_at
from nas.training.choices import default_rate, former_rate
from nas.training.recipe import Recipe
from nas.training.schedule import learning_rate


def test_it_rises_in_a_line_and_falls_as_half_a_cosine() -> None:
    recipe = Recipe(learning_rate=0.8, warmup=0.2)
    rates = [learning_rate(recipe, step, 20) for step in range(20)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])  # 20 % of 20 steps
    assert rates[4] == pytest.approx(0.8)
    assert rates[12] == pytest.approx(0.4)  # half way between step 4 and 20
    assert rates[19] == pytest.approx(0.4 * (1 + cos(pi * 15 / 16)))


def test_without_warm_up_and_with_nothing_else() -> None:
    assert learning_rate(Recipe(learning_rate=0.8, warmup=0.0), 0, 1) == pytest.approx(0.8)
    assert [learning_rate(Recipe(learning_rate=0.8, warmup=1.0), step, 4) for step in range(4)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8]
    )


def test_rates_go_with_the_batch() -> None:
    assert default_rate(64, inherited=False) == pytest.approx(0.1)
    assert default_rate(256, inherited=False) == pytest.approx(0.4)
    assert default_rate(32, inherited=True) == pytest.approx(0.02)
    assert default_rate(128, inherited=True, norm="tune") == pytest.approx(0.01)
    assert former_rate(64, inherited=True) == pytest.approx(0.02)


def test_the_average_forgets_its_start_quickly() -> None:
    assert decay_at(1, 0.999) == pytest.approx(2 / 11)
    assert decay_at(100, 0.999) == pytest.approx(101 / 110)
    assert decay_at(100_000, 0.999) == 0.999
    assert decay_at(100, 0.0) == 0.0


def test_an_average_of_weights_and_of_statistics() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    average = Average(network, 0.999)
    with torch.no_grad():
        network[0].weight.fill_(3.0)
    network[1].running_mean.fill_(11.0)
    average.update(1)
    assert average.network[0].weight.item() == pytest.approx(2 / 11 * 1 + 9 / 11 * 3)
    assert average.network[1].running_mean.item() == pytest.approx(9 / 11 * 11)
    assert not average.network[0].weight.requires_grad
    assert network[0].weight.item() == 3.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("batch", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("label_smoothing", 1.0),
        ("distillation", 2.0),
    ],
)
def test_recipes_that_are_none(name: str, value: float) -> None:
    with pytest.raises(NasError, match=f"`{name}` of a training"):
        Recipe(**{name: value})

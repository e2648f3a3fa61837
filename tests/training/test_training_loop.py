"""The loop: it learns, it is deterministic, and it goes on exactly."""

from __future__ import annotations

import csv
import os
import signal
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY
from torch import Tensor, nn
from torch.nn import functional

from nas.blocks.build import build
from nas.data import Data
from nas.data.batches import Augmentation
from nas.errors import Interrupted, NasError, OutOfMemory, RunError
from nas.formats.weights import random_weights
from nas.system.checkpoint import read_checkpoint
from nas.training import fit as loop
from nas.training.fit import Fitted, fit
from nas.training.network import network_of
from nas.training.recipe import Recipe
from nas.training.score import Score, evaluate
from nas.training.stepper import sgd
from nas.training.teacher import divergence

SHORT = Recipe(epochs=3, learning_rate=0.3)


def tiny(seed: int = 0) -> nn.Module:
    return network_of(TINY, random_weights(TINY, seed))


def few(data: Data) -> Data:
    """Four batches of training pictures."""
    return data.subset(256)


def state(fitted: Fitted) -> dict[str, Tensor]:
    return fitted.network.state_dict()


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_three_layers_read_digits(digits: Data) -> None:
    fitted = fit(tiny(), digits, Recipe(epochs=12, learning_rate=0.3), seed=0)
    score = evaluate(fitted.network, digits, digits.test)
    assert score.top1 > 80
    assert score.top5 > score.top1
    assert score.count == len(digits.test)
    assert [epoch.step for epoch in fitted.history] == [17 * n for n in range(1, 13)]  # 1,151 // 64 = 17
    assert fitted.history[-1].train_loss < fitted.history[0].train_loss
    assert not fitted.network.training


def test_one_seed_one_network(digits: Data) -> None:
    one, again, other = (fit(tiny(), few(digits), SHORT, seed=seed) for seed in (1, 1, 2))
    assert_equal(state(one), state(again))
    assert not torch.equal(state(one)["0.0.conv.weight"], state(other)["0.0.conv.weight"])


@pytest.mark.parametrize("step", [1, 4, 5, 11])
def test_after_a_crash_the_same_weights(digits: Data, tmp_path: Path, monkeypatch: Any, step: int) -> None:
    data = few(digits)
    whole = fit(tiny(), data, SHORT, seed=0)
    monkeypatch.setattr("nas.training.stepper.CHECKPOINT_SECONDS", 0.0)  # after every step
    real = loop.train_batch

    def failing(data: Data, number: int, *rest: Any) -> Any:
        if number == step:
            raise ZeroDivisionError
        return real(data, number, *rest)

    monkeypatch.setattr(loop, "train_batch", failing)
    with pytest.raises(ZeroDivisionError):
        fit(tiny(), data, SHORT, seed=0, folder=tmp_path)
    monkeypatch.setattr(loop, "train_batch", real)
    seen: list[int] = []
    resumed = fit(tiny(seed=5), data, SHORT, seed=0, folder=tmp_path, watch=lambda epoch: seen.append(epoch.epoch))
    assert_equal(state(whole), state(resumed))
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert seen == list(range(step // 4 + 1, 4))
    for row, epoch in zip(rows, whole.history, strict=True):
        for name in ("step", "train_loss", "train_top1", "validation_top1", "learning_rate"):
            assert float(row[name]) == getattr(epoch, name), name


def test_a_finished_training_is_read_back(digits: Data, tmp_path: Path) -> None:
    first = fit(tiny(), few(digits), SHORT, seed=0, folder=tmp_path)
    again = fit(tiny(seed=1), few(digits), SHORT, seed=0, folder=tmp_path)
    assert_equal(state(first), state(again))
    assert first.history == again.history


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("seed", {"seed": 1}),
        ("recipe", {"recipe": replace(SHORT, epochs=4)}),
        ("data", {"data": "fewer"}),
        ("network", {"network": nn.Sequential(nn.Flatten(), nn.Linear(768, 10))}),
        ("teacher", {"teacher": tiny()}),
    ],
)
def test_a_checkpoint_of_another_training(digits: Data, tmp_path: Path, what: str, change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"network": tiny(), "data": few(digits), "recipe": SHORT, "seed": 0, "folder": tmp_path}
    fit(**given)
    if what == "data":
        change = {"data": digits.subset(192)}
    with pytest.raises(RunError, match=f"this checkpoint is of another {what}"):
        fit(**given | change)


def test_a_loss_that_is_no_number_keeps_the_checkpoint(digits: Data, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("nas.training.stepper.CHECKPOINT_SECONDS", 0.0)
    real = loop.train_batch

    def poisoned(data: Data, number: int, *rest: Any) -> Any:
        x, y = real(data, number, *rest)
        return (x * float("inf"), y) if number == 6 else (x, y)

    monkeypatch.setattr(loop, "train_batch", poisoned)
    with pytest.raises(NasError, match=r"no finite number, at or shortly before step 7\..*lower --lr") as caught:
        fit(tiny(), few(digits), SHORT, seed=0, folder=tmp_path)
    assert "is kept" in str(caught.value)
    assert "\n" not in str(caught.value)
    tensors, kept = read_checkpoint(tmp_path / loop.CHECKPOINT)
    assert kept["step"] == 6
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_short_memory_is_told_in_one_line(digits: Data) -> None:
    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(768, 10)

        def forward(self, x: Tensor) -> Tensor:
            torch.empty(1 << 60)
            return self.linear(x.flatten(1))  # type: ignore[no-any-return]

    with pytest.raises(OutOfMemory, match=r"cpu has too little memory for batches of 64 .* smaller --batch"):
        fit(Greedy(), few(digits), SHORT, seed=0)


def test_other_errors_of_torch_are_not_taken_for_it(digits: Data) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(5, 10)), few(digits), SHORT, seed=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_checkpoint(
    digits: Data, tmp_path: Path, monkeypatch: Any, number: signal.Signals
) -> None:
    data, real = few(digits), loop.train_batch

    def interrupted(data: Data, step: int, *rest: Any) -> Any:
        if step == 5:
            os.kill(os.getpid(), number)
        return real(data, step, *rest)

    monkeypatch.setattr(loop, "train_batch", interrupted)
    with pytest.raises(Interrupted, match="6 of 12 steps are kept"):
        fit(tiny(), data, SHORT, seed=0, folder=tmp_path)
    monkeypatch.setattr(loop, "train_batch", real)
    assert_equal(state(fit(tiny(), data, SHORT, seed=0, folder=tmp_path)), state(fit(tiny(), data, SHORT, seed=0)))


def test_weights_decay_and_nothing_else(digits: Data) -> None:
    network = tiny()
    groups = sgd(network, SHORT.momentum, SHORT.weight_decay).param_groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed = {names[id(parameter)] for parameter in groups[0]["params"]}
    assert groups[0]["weight_decay"] == SHORT.weight_decay
    assert groups[1]["weight_decay"] == 0
    assert decayed == {name for name in names.values() if name.endswith(("conv.weight", "linear.weight"))}
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_everything_at_once_learns_too(digits: Data) -> None:
    teacher = fit(tiny(), digits, Recipe(epochs=8, learning_rate=0.3), seed=0).network
    recipe = Recipe(epochs=8, learning_rate=0.3, augmentation=Augmentation(cutout=0.25, mixup=0.2), distillation=0.7)
    pupil = fit(tiny(seed=3), digits, recipe, seed=1, teacher=teacher)
    assert evaluate(pupil.network, digits, digits.test).top1 > 60


def test_batches_prepared_ahead_are_the_same(digits: Data, monkeypatch: Any) -> None:
    plain = fit(tiny(), few(digits), SHORT, seed=0)
    monkeypatch.setitem(loop.AHEAD, "cpu", 3)
    monkeypatch.setattr(loop._Training, "batch", _unpinned)
    assert_equal(state(plain), state(fit(tiny(), few(digits), SHORT, seed=0)))


def _unpinned(self: Any, step: int) -> Any:
    return loop.train_batch(self.data, step, self.recipe.batch, self.seed, self.recipe.augmentation)


def test_a_divergence_by_hand() -> None:
    student, teacher = torch.tensor([[0.0, 2 * log(3)]]), torch.tensor([[0.0, 0.0]])
    # at temperature 2 the student says 1/4, 3/4 and the teacher 1/2, 1/2
    expected = 4 * (0.5 * log(0.5 / 0.25) + 0.5 * log(0.5 / 0.75))
    assert divergence(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_scores_by_hand(digits: Data) -> None:
    class First(nn.Module):
        """Says class 0, then 1, …, whatever it sees."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.arange(9.0, -1.0, -1.0).repeat(len(x), 1)

    labels = torch.from_numpy(digits.test.labels)
    score = evaluate(First(), digits, digits.test, batch=100)
    assert score.top1 == pytest.approx(100 * (labels == 0).double().mean().item())
    assert score.top5 == pytest.approx(100 * (labels < 5).double().mean().item())
    total = sum(exp(-n) for n in range(10))
    assert score.loss == pytest.approx((labels.double().mean() + log(total)).item(), rel=1e-5)
    assert Score(100.0, 100.0, 0.0, 96).standard_error == pytest.approx(100 * (0.98 * 0.02 / 100) ** 0.5)
    with pytest.raises(ValueError, match="no score"):
        evaluate(First(), digits, replace(digits.test, labels=labels.numpy()[:0]))


def test_no_validation_pictures_no_figure(digits: Data) -> None:
    data = replace(few(digits), validation=digits.validation.take(torch.arange(0).numpy()))
    assert all(epoch.validation_top1 is None for epoch in fit(tiny(), data, SHORT, seed=0).history)


def test_drawn_weights_are_those_of_the_network() -> None:
    weights = random_weights(TINY, 3)
    network = network_of(TINY, weights)
    assert (
        functional.mse_loss(network.state_dict()["0.0.conv.weight"], torch.from_numpy(weights["0.0.conv.weight"])) == 0
    )
    assert network.state_dict().keys() == build(TINY).state_dict().keys()

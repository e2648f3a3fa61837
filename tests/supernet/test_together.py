"""Two processes train a supernet as one does: with rules, and with policies. Over gloo, on CPUs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from descents import TINY
from gloo import figures

NAMES = ("uniform", "fair", "sandwich", "reinforce", "single-path", "fbnet", "proxyless")

PROGRAM = """
import json, sys
from functools import partial

import torch
from torch.nn import functional


def affine(x, mean, variance, weight, bias, training=True, momentum=0.1, eps=1e-5):
    return x * weight[None, :, None, None] + bias[None, :, None, None]


if sys.argv[1] == "plain":  # scale and shift without statistics: those are each process's own
    functional.batch_norm = affine

from descents import never, state

from nas.cost.counts import macs, params
from nas.data import load_data
from nas.policies.descent import Descent
from nas.policies import POLICIES
from nas.supernet import SUPERNETS
from nas.policies.bound import Bounds
from nas.space.load import load_space
from nas.supernet.rules import RULES
from nas.supernet.training import WeightSettings, WeightTraining
from nas.system.teller import Silent
from nas.training.processes import alone, joined

space, data = load_space(sys.argv[2]), load_data("digits", 8)
settings = WeightSettings(batch=16, warm_up=3, learning_rate=0.02)
costs = {"latency_ms": macs(space) * 1e-5, "params": params(space)}
bounds = {name: sum(cost.bounds()) / 2 for name, cost in costs.items()}


def train(name, team):
    torch.manual_seed(team.rank)  # the first one's weights are everyone's
    supernet = SUPERNETS[POLICIES[name].supernet if name in POLICIES else "superkernel"](space)
    training = WeightTraining(supernet, data, 8, 0, settings, team)
    if name in RULES:
        losses = []
        for step in range(training.planned):
            x, y = training.batch(step)
            losses.append(training.step(step, partial(RULES[name], supernet, x, y, training.rng(step, 0))))
        tensors = training.stepper.tensors()
    else:
        policy = POLICIES[name](space, supernet, costs["latency_ms"], bounds["latency_ms"])
        descent = Descent(training, policy, Bounds(costs, bounds))
        descent.run(Silent(), never)
        losses, tensors = [record.loss for record in descent.records], state(descent)
    own = {key: [float(value.double().sum()), float(value.double().norm())] for key, value in tensors.items()}
    mine = sum(map(sum, own.values()))
    return {"losses": losses, "tensors": own, "alike": team.sums([mine])[0] == team.count * mine}


names = sys.argv[3:]
with joined() as team:
    both = {name: train(name, team) for name in names}
if team.first:
    print(json.dumps([{name: train(name, alone()) for name in names}, both]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], list[dict[str, Any]]]:
    """What one process and two came to, by what is trained and how it is normalised."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "tiny.yaml").write_text(TINY)

    @cache
    def all_of(how: str) -> list[dict[str, Any]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(folder))
            found: list[dict[str, Any]] = json.loads(figures(PROGRAM, how, str(folder / "tiny.yaml"), *NAMES, count=2))
        return found

    return lambda name, how: [found[name] for found in all_of(how)]


@pytest.mark.parametrize("name", NAMES)
def test_without_statistics_of_batches_two_processes_are_as_one(
    name: str, trained: Callable[[str, str], list[dict[str, Any]]]
) -> None:
    """Losses, weights, momenta, a policy's parameters and its thresholds; what differs is the order of sums."""
    one, two = trained(name, "plain")
    assert two["alike"]
    assert np.allclose(one["losses"], two["losses"], rtol=1e-4)
    assert one["tensors"].keys() == two["tensors"].keys()  # what no network has used has no momentum in either
    for key, (total, norm) in one["tensors"].items():
        assert np.allclose([total, norm], two["tensors"][key], rtol=1e-3, atol=1e-3 * norm + 1e-7), key


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_with_them_each_process_normalises_by_its_own_half(
    name: str, trained: Callable[[str, str], list[dict[str, Any]]]
) -> None:
    one, two = trained(name, "normalised")
    assert two["alike"]
    assert not np.allclose(one["losses"], two["losses"], rtol=1e-4)  # statistics of 8 pictures are not those of 16
    assert np.allclose(one["losses"], two["losses"], rtol=0.3)

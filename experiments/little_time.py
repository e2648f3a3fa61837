"""What ranks networks when there is little time: a prior, the prior corrected by trainings, or a supernet.

    python experiments/little_time.py --pictures trashnet-128x96.tar [--pixels 32] [--networks 10] [--epochs 5]
        [--trainings 6] [--out experiments/results/little_time.json]

Networks of `mobile` of about equal MACs are trained by themselves, longer than a search does: what they come to is held
against five estimates. The trainings that correct the prior are of other networks, for 3 epochs, and each supernet is
trained for as many seconds as these take together. Every piece is kept in the file as soon as it is known; a further
call goes on from there, and prints Kendall's tau with its standard error over the networks (by the jackknife).
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from nas.accuracy.make import Means, make_evaluator
from nas.accuracy.prior import fit, prior_of
from nas.accuracy.shared import Shared
from nas.accuracy.short_training import Training
from nas.controllers.gaussian_process import Encoding
from nas.cost.counts import macs, params
from nas.data import load_data
from nas.data.data import Data
from nas.space.load import load_space
from nas.space.space import Population, Space
from nas.supernet.rules import RULES
from nas.supernet.shared_weights import SharedSettings, SharedWeights
from nas.system.atomic import write_atomic
from nas.system.teller import Silent
from nas.training.recipe import Recipe
from nas.training.score import standard_error

RULES_TRIED = ("progressive", "uniform", "sandwich")
MOST_STEPS = 10_000


class Pieces:
    """What is known already, by its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def __call__(self, name: str, make: Any) -> Any:
        if name not in self.known:
            self.known[name] = make()
            write_atomic(self.path, json.dumps(self.known, indent=1) + "\n")
            print(f"{name}: {self.known[name]}", flush=True)
        return self.known[name]


def drawn(space: Space, networks: int, trainings: int) -> tuple[Population, Population]:
    """Random networks between the quartiles of MACs' lower half: those that are judged, and others to learn from."""
    population = space.canonical(space.sample(2_000, np.random.default_rng(0)))
    cost = macs(space)(population)
    low, high = np.quantile(cost, [0.2, 0.35])
    alike = population[(cost >= low) & (cost <= high)]
    return alike[:networks], alike[networks : networks + trainings]


def trained(space: Space, data: Data, epochs: int, genotype: NDArray[np.uint8]) -> dict[str, Any]:
    """The curve of a network's training, and its seconds."""
    start = perf_counter()
    curve = Training(data, Recipe(epochs=epochs), 1 if epochs == 3 else 0)(space.decode(genotype))
    return {"top1": list(curve), "seconds": perf_counter() - start}


def inherited(space: Space, data: Data, rule: str, seconds: float, judged: Population) -> dict[str, Any]:
    """Top-1 of the judged networks with weights of a supernet that was trained for so long."""
    weights = SharedWeights(space, data, SharedSettings(rule=rule), 0, None, Silent())
    pace = weights.fresh_training()
    begun = perf_counter()
    for step in range(4):  # the first is slower
        begun = perf_counter() if step == 1 else begun
        x, y = pace.batch(step)
        pace.step(step, partial(RULES[rule], pace.supernet, x, y, pace.rng(step, 0), 1.0))
    steps = max(10, min(MOST_STEPS, int(3 * seconds / (perf_counter() - begun))))
    weights.plan(steps)
    start = perf_counter()
    weights.train()
    took = perf_counter() - start
    return {"steps": steps, "seconds": took, "top1": Shared(weights)(judged).tolist()}


def tau(estimate: Any, truth: NDArray[np.float64]) -> str:
    """Kendall's, with its standard error by leaving out one network at a time."""
    values = np.asarray(estimate, dtype=np.float64)
    left = [np.delete(np.arange(len(truth)), i) for i in range(len(truth))]
    parts = np.array([kendalltau(values[rows], truth[rows]).statistic for rows in left])
    error = np.sqrt((len(truth) - 1) * np.mean((parts - parts.mean()) ** 2))
    return f"{kendalltau(values, truth).statistic:+.2f} ± {error:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--pixels", type=int, default=32)
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--trainings", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "little_time.json")
    given = parser.parse_args()
    data = load_data(f"imagefolder:{given.pictures}", given.pixels)
    space = load_space("mobile", resolution=96, classes=len(data.classes))
    prior = prior_of(space)
    assert prior is not None
    judged, others = drawn(space, given.networks, given.trainings)
    piece = Pieces(given.out)
    learned = [piece(f"short-{i}", partial(trained, space, data, 3, g)) for i, g in enumerate(others)]
    seconds = sum(part["seconds"] for part in learned)
    by_rule = {}
    for rule in RULES_TRIED[:1]:
        by_rule[rule] = piece(f"supernet-{rule}", partial(inherited, space, data, rule, seconds, judged))
    long = [piece(f"long-{i}", partial(trained, space, data, given.epochs, g)) for i, g in enumerate(judged)]
    for rule in RULES_TRIED[1:]:
        by_rule[rule] = piece(f"supernet-{rule}", partial(inherited, space, data, rule, seconds, judged))
    zero = piece("zero-cost", lambda: make_evaluator("zero-cost", space, Means())(judged).tolist())
    truth = np.array([part["top1"][-1] for part in long])
    values = np.array([part["top1"][-1] for part in learned])
    errors = np.array([standard_error(value, len(data.validation)) for value in values])
    corrected = fit(prior, others, values, errors, Encoding(space.cardinalities))
    print(f"{len(truth)} networks, top-1 {truth.min():.1f} … {truth.max():.1f} %, {len(data.validation)} held out")
    rows = {
        "the prior alone": prior(judged),
        f"the prior corrected by {len(values)} trainings": corrected.mean(judged),
        **{f"supernet, {rule}, {part['steps']} steps": part["top1"] for rule, part in by_rule.items()},
        "zero-cost": zero,
        "MACs": macs(space)(judged),
        "parameters": params(space)(judged),
    }
    for name, estimate in rows.items():
        print(f"{name:<44} tau {tau(estimate, truth)}")


if __name__ == "__main__":
    main()

"""Choice: what accuracy is estimated from where there are pictures and nobody said, by what a training costs here.

In B seconds fit n short trainings of one network, and in six tenths of B S steps of a supernet:

n < 30 and a prior  → `prior`: a rank from ImageNet, corrected by what trainings fit (alone, where fewer than 4 do)
n >= 12             → `train`; with workers `asha`, which leaves off with those that fall behind
S >= 2,000, 5 epochs → `supernet`, `progressive` in a deep space: drawing all decisions at once learns nothing there
else                → `zero-cost`, as without pictures: nothing could be learned that ranks
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from nas.accuracy import EVALUATORS
from nas.accuracy.prior import prior_of
from nas.errors import RunError
from nas.runs.plan import FILE, TUNE_SHARES, USUAL_SECONDS
from nas.runs.problem import Subject
from nas.runs.request import RACE_SHARE, Request
from nas.runs.result import Chosen
from nas.runs.run import Run
from nas.space.space import Space
from nas.system.pace import minutes
from nas.system.teller import Silent, Teller
from nas.workers import Workers

if TYPE_CHECKING:
    from nas.data.data import Data
    from nas.supernet.shared_weights import SharedWeights
    from nas.training.processes import Processes

FEW, ENOUGH, LEAST = 30, 12, 4
"""Trainings: fewer do not outdo a prior; so many rank by themselves; fewer do not correct a prior."""
MOST_CORRECTING = 24
STEPS, EPOCHS = 2_000, 5
"""A supernet that has learned less ranks nothing (`experiments/cifar_front.py`, `experiments/supernet_ranking.py`)."""
MOST_STEPS = 20_000
DEEP = 12
"""Layers of the middle network from which on a supernet opens from its middle."""
FORWARD = 3
"""Passes forward that cost as much as one step of training."""
SCORE_S = 0.5
"""Of a zero-cost score, about."""
MOST_TRAININGS, LEAST_EVALUATIONS = 150, 20


@dataclass(frozen=True)
class Costs:
    """What learning from pictures costs here, in seconds."""

    training: float
    """The middle network of a space, for the epochs of a short training, with its scores on held-out pictures."""
    step: float
    """Of a supernet, by `rule`."""
    evaluation: float
    """A network with inherited weights: its statistics and its score."""
    rule: str
    epoch: int
    """Steps of an epoch."""

    @classmethod
    def measured(cls, space: Space, data: Data, seed: int) -> Costs:
        """By a few steps of the middle network and of a supernet, whose weights are then thrown away."""
        from nas.accuracy.one_thread import one_thread
        from nas.accuracy.shared import MOST_PICTURES
        from nas.accuracy.short_training import EPOCHS as SHORT
        from nas.data.batches import batches_per_epoch
        from nas.supernet.shared_weights import SharedSettings, SharedWeights
        from nas.supernet.subnet import CALIBRATION
        from nas.training.choices import REFERENCE_BATCH
        from nas.training.pace import picture_seconds

        middle = space.decode(space.canonical(((space.cardinalities - 1) // 2).astype(np.uint8)[None])[0])
        rule = "progressive" if len(middle.layers) > DEEP else "uniform"
        with one_thread():
            picture = picture_seconds(middle, data, seed)
        held_out = len(data.validation)
        settings = SharedSettings(rule=rule)
        step = _step_seconds(SharedWeights(space, data, settings, seed, None, Silent()))
        return cls(
            training=SHORT * picture * (len(data.train) + held_out / FORWARD),
            step=step,
            evaluation=picture * (CALIBRATION + min(MOST_PICTURES, held_out)) / FORWARD,
            rule=rule,
            epoch=batches_per_epoch(len(data.train), REFERENCE_BATCH),
        )


def chosen_for(run: Run, subject: Subject, team: Processes | None, workers: Workers, teller: Teller) -> Chosen | None:
    """What a run chose when it began, or chooses now; None where the accuracy was said, or is that of a trained
    network's weights or of a policy's. Raises `RunError` where setup.json has no such choice."""
    request, setup = run.request.before_race, run.read(FILE)
    if setup is not None:  # of an older version it has none, and means what it meant
        try:
            return None if setup.get("chosen") is None else Chosen.model_validate(setup["chosen"])
        except ValidationError:
            raise RunError(f"{run.path}/{FILE}: `chosen` says no accuracy that was chosen.") from None
    open_to_choice = request.accuracy is None and not (request.learns or request.solves)
    if subject.data is None or subject.network is not None or not open_to_choice:
        return None
    teller.say(f"what a training costs here is measured first, on {subject.data.name}")
    costs = Costs.measured(subject.space, subject.data, request.seed)
    at_once = workers.at_once(True) if workers.option else 1
    chosen = choose(
        request,
        costs,
        prior=prior_of(subject.space) is not None,
        at_once=at_once,
        spread=bool(workers.option),
        together=team is not None,
    )
    teller.say(f"accuracy is by {chosen.accuracy}: {chosen.why}")
    return chosen


def choose(
    request: Request, costs: Costs, *, prior: bool, at_once: int = 1, spread: bool = False, together: bool = False
) -> Chosen:
    """What to estimate accuracy from, of a search by costs measured. `at_once` trainings run at the same time; where
    they are `spread` over workers, or processes train `together`, not all that there is can be chosen."""
    seconds = request.seconds or USUAL_SECONDS
    tuned = TUNE_SHARES["supernet"]
    fit = int(at_once * seconds / costs.training)
    steps = int(tuned * seconds / costs.step)
    enough = min(ENOUGH, request.budget or ENOUGH)
    asked = request.budget
    took = (
        f"a training of 3 epochs takes {_time(costs.training)} here and a step of a supernet {_time(costs.step)}, "
        f"so that {fit:,} or {steps:,} of them fit into {minutes(seconds)}"
    )

    def is_(accuracy: str, evaluations: int, why: str) -> Chosen:
        return Chosen(
            accuracy=accuracy,
            evaluations=asked or max(1, evaluations),
            training_s=costs.training,
            supernet_step_s=costs.step,
            why=f"{took}; {why}",
        )

    scored = min(EVALUATORS["supernet"].budget, int((1 - tuned) * seconds / costs.evaluation))
    shared = is_(
        f"supernet:{costs.rule},{min(MOST_STEPS, max(1, steps))}",
        max(LEAST_EVALUATIONS, scored),
        "weights are shared by all networks",
    )
    if together:
        return shared
    if prior and fit < FEW:
        correcting = min(MOST_CORRECTING, int(TUNE_SHARES["prior"] * fit))
        correcting = max(LEAST, correcting) if spread else correcting
        if correcting < LEAST:
            return is_("prior:0", EVALUATORS["predictor"].budget, "the predictor gives a rank from ImageNet, alone")
        why = f"the predictor gives a rank from ImageNet, which {correcting} trainings correct"
        return is_(f"prior:{correcting}", EVALUATORS["prior"].budget, why)
    if fit >= enough and spread:
        return is_("asha", min(MOST_TRAININGS, fit), "those that fall behind are left off")
    if fit >= enough:
        return is_("train", min(MOST_TRAININGS, fit), "each network is trained by itself")
    if steps >= max(STEPS, EPOCHS * costs.epoch) and (request.raced or not spread):  # the race is for workers
        return shared
    left = 1 - RACE_SHARE if request.raced else 1.0
    wanted = ceil(ENOUGH * costs.training / at_once / left / 60)
    why = f"too few to learn a rank from, so that scores of untrained networks are taken; --budget {wanted}m would do"
    return is_("zero-cost", min(EVALUATORS["zero-cost"].budget, int(seconds / SCORE_S)), why)


def _step_seconds(weights: SharedWeights) -> float:
    """A step of a supernet with all its decisions drawn."""
    from nas.supernet.rules import RULES
    from nas.training.pace import SLOW_S

    training, rule, pace = weights.fresh_training(), RULES[weights.settings.rule], 0.0
    with training.stepper.memory_told():
        for step in range(4):
            start = perf_counter()
            x, y = training.batch(step)
            training.step(step, partial(rule, training.supernet, x, y, training.rng(step, 0), 1.0))
            took = perf_counter() - start
            pace += took / 3 if step else 0.0
            if not step and took > SLOW_S:
                return took
    return pace


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s" if seconds < 100 else f"{minutes(seconds)} min"

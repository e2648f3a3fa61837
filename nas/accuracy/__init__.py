"""Evaluators: how good an architecture is. One a file; `EVALUATORS` is where they are registered.

evaluator.py  the contract
predictor.py  fitted beforehand on trained networks of a space, compiled to factors
tabular.py    looked up in a CSV of networks that were trained
zero_cost.py  ranked by proxies of the untrained network, combined; proxies.py has them
shared.py     measured on held-out pictures, with weights inherited from a supernet
short_training.py  measured on held-out pictures, after a short training of each network by itself; halving.py leaves
              off with those that fall behind, trainings.py keeps what was trained
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.accuracy.evaluator import Evaluator, Spread
from nas.accuracy.predictor import has_predictor, predictor_of
from nas.accuracy.tabular import load_tabular
from nas.accuracy.zero_cost import load_zero_cost
from nas.errors import NasError
from nas.runs.request import Request
from nas.space.space import Space
from nas.system.teller import Teller
from nas.workers import Here, Workers

if TYPE_CHECKING:
    from nas.accuracy.short_training import Method
    from nas.data.data import Data
    from nas.training.processes import Processes


@dataclass(frozen=True)
class Means:
    """What an evaluator may train with."""

    data: Data | None
    request: Request
    folder: Path | None
    """Where it keeps what it trains."""
    teller: Teller
    workers: Workers
    """Who evaluates; to be closed by their owner."""
    processes: Processes | None = None
    """Those that train together; None is this one alone."""


def _shared(space: Space, argument: str, means: Means | None) -> Evaluator:
    from nas.accuracy.shared import Shared, SharedSettings  # brings torch
    from nas.policies import SUPERNET_OF

    assert means is not None  # the request was checked
    assert means.data is not None
    settings = SharedSettings.parse(argument)
    request = means.request
    if request.learns:
        steps, kind = request.planned("supernet") or 0, SUPERNET_OF[request.controller]
        settings = SharedSettings(steps=steps, rule=request.controller, kind=kind)
    return Shared(space, means.data, settings, request.seed, means.folder, means.teller, means.processes)


def _short(space: Space, argument: str, means: Means | None) -> Evaluator:
    from nas.accuracy.short_training import EPOCHS, Whole, epochs_of  # brings torch

    assert means is not None  # the request was checked
    return _trained(space, means, epochs_of("train", argument, EPOCHS), Whole(means.workers))


def _halving(space: Space, argument: str, means: Means | None) -> Evaluator:
    from nas.accuracy.halving import EPOCHS, Halving  # brings torch and Ray Tune
    from nas.accuracy.short_training import epochs_of

    assert means is not None  # the request was checked
    return _trained(space, means, epochs_of("asha", argument, EPOCHS), Halving(means.workers, means.teller))


def _trained(space: Space, means: Means, epochs: int, method: Method) -> Evaluator:
    from nas.accuracy.short_training import ShortTraining, Training
    from nas.training.recipe import Recipe

    assert means.data is not None  # the request was checked
    training = Training(means.data, Recipe(epochs=epochs), means.request.seed, means.teller)
    return ShortTraining(space, training, method, means.folder, means.teller)


EVALUATORS: dict[str, Callable[[Space, str, Means | None], Evaluator]] = {
    "predictor": lambda space, argument, means: predictor_of(space),
    "table": lambda space, argument, means: load_tabular(space, argument),
    "zero-cost": lambda space, argument, means: load_zero_cost(space, argument, means.workers if means else Here()),
    "supernet": _shared,
    "train": _short,
    "asha": _halving,
}
"""By name: a function of the space, of what follows the colon in `--accuracy NAME:ARGUMENT`, and of its means."""


def default_accuracy(space: Space) -> str:
    """What `--accuracy` is when it is not given: the predictor fitted on this space, or else zero-cost proxies."""
    return "predictor" if has_predictor(space) else "zero-cost"


def make_evaluator(accuracy: str, space: Space, means: Means | None = None) -> Evaluator:
    """The evaluator that `--accuracy` names. Raises `NasError` where it cannot evaluate this space, or gives workers
    nothing to do."""
    name, _, argument = accuracy.partition(":")
    evaluator = EVALUATORS[name](space, argument, means)
    if means is not None and means.workers.option and not isinstance(evaluator, Spread):
        raise NasError(f"--workers is for the accuracies train, asha and zero-cost; {name!r} is computed here.")
    return evaluator

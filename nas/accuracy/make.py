"""make_evaluator(): the evaluator that `--accuracy` names, from the space and what it may train with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.accuracy import EVALUATORS
from nas.accuracy.evaluator import Evaluator
from nas.accuracy.predictor import has_predictor, predictor_of
from nas.accuracy.tabular import load_tabular
from nas.accuracy.zero_cost import load_zero_cost
from nas.blocks.precision import FLOAT
from nas.errors import NasError
from nas.space.adapt import in_precision
from nas.space.space import Space
from nas.system.lazy import is_own, load_own
from nas.system.teller import Silent, Teller
from nas.workers import Here, Workers

if TYPE_CHECKING:
    from nas.accuracy.short_training import Method, ShortTraining
    from nas.data.data import Data
    from nas.supernet.shared_weights import SharedWeights

NEEDED = ("label", "unit", "provenance", "fingerprint", "__call__", "uncertainty")
"""What an evaluator has; see `nas.accuracy.evaluator.Evaluator`."""


@dataclass(frozen=True)
class Means:
    """What an evaluator may train with."""

    data: Data | None = None
    seed: int = 0
    folder: Path | None = None
    """Where it keeps what it trains."""
    teller: Teller = Silent()  # noqa: RUF009  # has no state
    workers: Workers = Here()  # noqa: RUF009  # has no state
    """Who evaluates; to be closed by their owner."""
    weights: SharedWeights | None = None
    """Those of a supernet, where one is trained."""


def predicted(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy predictor`."""
    return predictor_of(space)


def looked_up(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy table:PATH`."""
    return load_tabular(space, argument)


def borrowed(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy prior`: a rank from ImageNet, corrected by trainings unless they are 0."""
    from nas.accuracy.prior import EPOCHS, LEAST, MOST, TRAININGS, Borrowed, Corrected, prior_of  # reads spaces

    prior = prior_of(space)
    if prior is None:
        raise NasError(f"There is no predictor for networks of {space.name!r}, in any size; take another --accuracy.")
    first, comma, epochs = argument.partition(",")
    known = not first or (first.isdecimal() and (int(first) == 0 or LEAST <= int(first) <= MOST))
    if not known or (comma and not epochs):
        raise NasError(
            f"`prior:` takes a number of trainings, 0 or {LEAST} to {MOST:,}, and of their epochs after a comma, "
            f"got {argument[:40]!r}."
        )
    if first and not int(first):
        return Borrowed(prior.name, prior.factors, prior.log_variance, prior.meta, prior.fingerprint, unit="")
    from nas.accuracy.short_training import Whole, epochs_of  # brings torch

    training = _trained(space, means, epochs_of("prior", epochs, EPOCHS), Whole(means.workers))
    return Corrected(prior, training, int(first or TRAININGS), means.teller)


def untrained(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy zero-cost`."""
    return load_zero_cost(space, argument, means.workers, means.teller)


def inherited(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy supernet`."""
    from nas.accuracy.shared import Shared  # brings torch

    assert means.weights is not None  # the request was checked
    return Shared(means.weights)


def added_up(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy sensitivity`."""
    from nas.accuracy.sensitivity import Sensitivity  # brings torch

    assert means.weights is not None  # the request was checked
    return Sensitivity(means.weights)


def trained(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy train`."""
    from nas.accuracy.short_training import EPOCHS, Whole, epochs_of  # brings torch

    return _trained(space, means, epochs_of("train", argument, EPOCHS), Whole(means.workers))


def halved(space: Space, argument: str, means: Means) -> Evaluator:
    """`--accuracy asha`."""
    from nas.accuracy.halving import EPOCHS, Halving  # brings torch and Ray Tune
    from nas.accuracy.short_training import epochs_of

    return _trained(space, means, epochs_of("asha", argument, EPOCHS), Halving(means.workers, means.teller))


def _trained(space: Space, means: Means, epochs: int, method: Method) -> ShortTraining:
    from nas.accuracy.short_training import ShortTraining, Training
    from nas.training.recipe import Recipe

    assert means.data is not None  # the request was checked
    training = Training(means.data, Recipe(epochs=epochs), means.seed, means.teller)
    return ShortTraining(space, training, method, means.folder, means.teller)


def default_accuracy(space: Space) -> str:
    """What `--accuracy` is when it is not given: the predictor fitted on this space, or else zero-cost proxies."""
    return "predictor" if has_predictor(in_precision(space, FLOAT)) else "zero-cost"


def make_evaluator(accuracy: str, space: Space, means: Means = Means()) -> Evaluator:  # frozen
    """The evaluator that `--accuracy` names, of networks in float32, as they are trained. Raises `NasError` where it
    cannot evaluate this space, or is code of one's own and none is found."""
    name, _, argument = accuracy.partition(":")
    space = in_precision(space, FLOAT)
    evaluator: Evaluator
    if name not in EVALUATORS and is_own(accuracy):
        evaluator = load_own(accuracy, "evaluator", NEEDED)(space, means)
    else:
        evaluator = EVALUATORS[name](space, argument, means)
    return evaluator

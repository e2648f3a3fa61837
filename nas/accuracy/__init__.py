"""Evaluators: how good an architecture is. One a file; `EVALUATORS` is where they are registered.

evaluator.py  the contract
make.py       what an evaluator is made of
predictor.py  fitted beforehand on trained networks of a space, compiled to factors
prior.py      that of a space for it at another resolution or with other classes, corrected by a few trainings
tabular.py    looked up in a CSV of networks that were trained
zero_cost.py  ranked by proxies of the untrained network, combined; proxies.py has them
shared.py     measured on held-out pictures, with weights inherited from a supernet
sensitivity.py  what each option costs such a network alone, added up: factors; pieces.py keeps what was measured
short_training.py  measured on held-out pictures, after a short training of each network by itself; halving.py leaves
              off with those that fall behind, trainings.py keeps what was trained
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.system.lazy import Lazy

if TYPE_CHECKING:
    from nas.accuracy.evaluator import Evaluator  # noqa: F401  # in quotes below


@dataclass(frozen=True)
class Kind(Lazy["Evaluator"]):
    """A function of the space, of what follows the colon in `--accuracy NAME:ARGUMENT`, and of its `Means`."""

    budget: int = 150
    """Evaluations by default."""
    pictures: bool = False
    """Whether it learns from some."""
    inherits: bool = False
    """Whether it evaluates with the weights of a supernet, which the argument describes."""


EVALUATORS = {
    "predictor": Kind("nas.accuracy.make:predicted", budget=500_000),
    "prior": Kind("nas.accuracy.make:borrowed", budget=100_000, pictures=True),
    "table": Kind("nas.accuracy.make:looked_up", budget=500),
    "zero-cost": Kind("nas.accuracy.make:untrained", budget=150),
    "supernet": Kind("nas.accuracy.make:inherited", budget=300, pictures=True, inherits=True),
    "sensitivity": Kind("nas.accuracy.make:added_up", budget=500_000, pictures=True, inherits=True),
    "train": Kind("nas.accuracy.make:trained", budget=30, pictures=True),
    "asha": Kind("nas.accuracy.make:halved", budget=90, pictures=True),
}
"""By name. What is not here is looked for as `module:Class`, which is called with the space and its `Means`."""

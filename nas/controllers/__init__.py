"""Controllers: what to evaluate next. One algorithm a file; `CONTROLLERS` is where they are registered.

controller.py  the contract (ask, tell) and Deb's rules
unique.py      the wrapper that asks for nothing twice
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.system.lazy import Lazy, load_own

if TYPE_CHECKING:
    from nas.controllers.controller import Controller, Excess
    from nas.space.space import Population, Space


@dataclass(frozen=True)
class Kind(Lazy["Controller"]):
    """A function of the space, genotypes worth asking for first, and the budget (None where it is in time)."""

    front: bool = False
    """Whether it can be asked for a whole front."""
    towards: bool = False
    """Whether it is also a function of the excess over hard bounds, which it goes down."""
    most: int | None = None
    """Evaluations by default, at most, where it thinks long about each."""


CONTROLLERS = {
    "evolution": Kind("nas.controllers.evolution:Evolution.sized"),
    "nsga2": Kind("nas.controllers.nsga2:NSGA2.sized", front=True),
    "netadapt": Kind("nas.controllers.netadapt:NetAdapt.sized", towards=True),
    "random": Kind("nas.controllers.random:Random.sized", front=True),
    "surrogate": Kind("nas.controllers.surrogate:Surrogate.sized", most=300),
    **{
        f"optuna:{sampler}": Kind("nas.controllers.optuna:OptunaSampler.sized", (sampler,), front=True, most=300)
        for sampler in ("gp", "nsga2", "nsga3", "random", "tpe")
    },
}
"""By name. What is not here is looked for as `module:Class`."""


def find_controller(name: str) -> Callable[[Space, Population, int | None], Controller]:
    """What makes the controller that `--controller` names. Raises `NasError` for code of one's own that is not
    found."""
    return CONTROLLERS[name] if name in CONTROLLERS else load_own(name, "controller", ("ask", "tell"))


def make_controller(name: str, space: Space, initial: Population, budget: int | None, excess: Excess) -> Controller:
    """The controller that `--controller` names; raises as `find_controller` does."""
    kind = CONTROLLERS.get(name)
    if kind is not None and kind.towards:
        return kind(space, initial, budget, excess)
    return find_controller(name)(space, initial, budget)

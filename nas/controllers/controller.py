"""The contract of a controller, and how its proposals are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from nas.space.space import Population

Values = NDArray[np.float64]

Excess = Callable[[Population], Values]
"""By how much genotypes `uint8[N, D]` break the bounds, relatively and in sum, `float64[N]`; where they break none, by
how much they stay within the tightest one, as a number below 0."""


class Controller(Protocol):
    """Asks for genotypes and is told what they are worth.

    `ask` changes nothing: what it returns depends on what was told and on `rng` alone, so that telling the
    same history again leads to the same proposals. `tell` gets back exactly what was asked.
    """

    def ask(self, n: int, rng: Generator) -> Population:
        """`n` canonical genotypes, `uint8[n, D]`."""

    def tell(self, population: Population, values: Values, violations: Values) -> None:
        """Values `float64[n, m]`, to be maximised, and by how much each breaks the bounds, `float64[n]`; 0 is none."""


@runtime_checkable
class Ending(Protocol):
    """A controller that comes to an end by itself."""

    @property
    def ended(self) -> bool:
        """Whether it has nothing left to ask for."""


def ranking(values: Values, violations: Values) -> NDArray[np.int64]:
    """Indices from best to worst by Deb's feasibility rules, for values and violations `float64[n]`.

    A feasible one is before an infeasible one; of two feasible ones the larger value is first, of two
    infeasible ones the smaller violation (Deb 2000, doi:10.1016/S0045-7825(99)00389-8, section 3).
    """
    return np.lexsort((-values, violations))

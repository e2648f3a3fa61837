"""The best of a space from its factors alone, with a proof: exact.py; relaxation.py is its upper bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.system.lazy import Lazy

if TYPE_CHECKING:
    from nas.solvers.exact import Solution

SOLVERS: dict[str, Lazy[Solution]] = {"exact": Lazy("nas.solvers.exact:solve")}
"""By name, a function of the space, the value as Factors, the costs and their bounds."""

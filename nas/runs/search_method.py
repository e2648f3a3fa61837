"""SearchMethod: the contract of a search.

A controller asks and is told (`controller_search.py`), a policy descends together with the weights of a supernet
(`policy_search.py`), a solver answers at once (`solver_search.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nas.runs.ledger import Ledger
from nas.runs.plan import Plan
from nas.runs.result import Policy, Proof


@dataclass(frozen=True)
class Searched:
    """What a search has to tell beside its ledger."""

    seconds: float
    """From the first ask to the last tell, or of training."""
    proof: Proof | None = None
    policy: Policy | None = None


class SearchMethod(Protocol):
    """Searches one problem. It is made before anything is written: what it cannot search is refused then."""

    def search(self, plan: Plan, ledger: Ledger) -> Searched:
        """Evaluate into the ledger what is planned, from wherever it stands. Raises `Interrupted` after a signal."""

    def take_part(self, plan: Plan) -> None:
        """Train with the process that searches; see `nas.runs.together`."""

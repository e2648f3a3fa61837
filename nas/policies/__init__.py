"""Policies: option probabilities that learn together with a supernet's weights. One a file; `POLICIES` has them all.

policy.py  the contract
bound.py   the latency bound inside the loss, by dual ascent
"""

from __future__ import annotations

from collections.abc import Callable

from nas.cost.factors import Factors
from nas.errors import NasError
from nas.policies.fbnet import FBNet
from nas.policies.policy import Policy
from nas.policies.proxyless import Proxyless
from nas.policies.reinforce import Reinforce
from nas.policies.single_path import SinglePath
from nas.space.space import Space
from nas.supernet.choices import choices_of, of_one_size
from nas.supernet.multi_path import MultiPath
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Supernet

MIXING = ("fbnet", "proxyless")
"""Those that add the feature maps of several networks."""


def check_policy(name: str, space: Space) -> None:
    """Raise `NasError` where a policy adds feature maps and those of the space's networks differ in size."""
    if name in MIXING and not of_one_size(choices_of(space)):
        raise NasError(
            f"{space.name} has several resolutions, whose feature maps cannot be mixed. Name one with --resolution, or "
            "use --controller reinforce."
        )


POLICIES: dict[str, Callable[[Space, Supernet, Factors, float], Policy]] = {
    "fbnet": lambda space, supernet, latency, target_ms: FBNet(space, latency),
    "single-path": lambda space, supernet, latency, target_ms: SinglePath(space, supernet),  # type: ignore[arg-type]
    "proxyless": lambda space, supernet, latency, target_ms: Proxyless(space),
    "reinforce": lambda space, supernet, latency, target_ms: Reinforce(space, latency, target_ms),
}
"""By name: a function of the space, its supernet, the latency as Factors and the bound in ms; see `check_policy`."""

SUPERNETS: dict[str, type[Supernet]] = {"superkernel": Superkernel, "multi-path": MultiPath}

SUPERNET_OF = {name: "multi-path" if name == "fbnet" else "superkernel" for name in POLICIES}
"""The kind of supernet that each policy trains."""

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
from nas.supernet.multi_path import MultiPath
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Supernet


def _of_one_size(space: Space, supernet: Supernet) -> Space:
    """The space. Raises `NasError` where feature maps of its networks differ in size, and so cannot be added."""
    if not supernet.one_size:
        raise NasError(
            f"{space.name} has several resolutions, whose feature maps cannot be mixed. Name one with --resolution, or "
            "use --controller reinforce."
        )
    return space


POLICIES: dict[str, Callable[[Space, Supernet, Factors, float], Policy]] = {
    "fbnet": lambda space, supernet, latency, target_ms: FBNet(_of_one_size(space, supernet), latency),
    "single-path": lambda space, supernet, latency, target_ms: SinglePath(space, supernet),  # type: ignore[arg-type]
    "proxyless": lambda space, supernet, latency, target_ms: Proxyless(_of_one_size(space, supernet)),
    "reinforce": lambda space, supernet, latency, target_ms: Reinforce(space, latency, target_ms),
}
"""By name: a function of the space, its supernet, the latency as Factors and the bound in ms."""

SUPERNETS: dict[str, Callable[[Space], Supernet]] = {"superkernel": Superkernel, "multi-path": MultiPath}

SUPERNET_OF = {name: "multi-path" if name == "fbnet" else "superkernel" for name in POLICIES}
"""The kind of supernet that each policy trains."""

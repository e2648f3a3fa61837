"""Policies: option probabilities that learn together with a supernet's weights. One a file; `POLICIES` has them all.

policy.py  the contract
bound.py   the latency bound inside the loss, by dual ascent
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.errors import NasError
from nas.system.lazy import Lazy

if TYPE_CHECKING:
    from nas.policies.policy import Policy  # noqa: F401  # in quotes below
    from nas.space.space import Space


@dataclass(frozen=True)
class Kind(Lazy["Policy"]):
    """A function of the space, its supernet, the latency (see `nas.policies.bound`) and its bound in ms."""

    supernet: str = "superkernel"
    """The kind of supernet that it trains."""
    mixes: bool = False
    """Whether it adds the feature maps of several networks."""


POLICIES = {
    "fbnet": Kind("nas.policies.fbnet:FBNet.of", supernet="multi-path", mixes=True),
    "single-path": Kind("nas.policies.single_path:SinglePath.of"),
    "proxyless": Kind("nas.policies.proxyless:Proxyless.of", mixes=True),
    "reinforce": Kind("nas.policies.reinforce:Reinforce.of"),
}
"""By name."""


def check_policy(name: str, space: Space) -> None:
    """Raise `NasError` where a policy adds feature maps and those of the space's networks differ in size."""
    sizes = {layers[0].height for layers in space.candidates[0].chains if layers}
    if POLICIES[name].mixes and len(sizes) > 1:
        raise NasError(
            f"{space.name} has several resolutions, whose feature maps cannot be mixed. Name one with --resolution, or "
            "use --controller reinforce."
        )

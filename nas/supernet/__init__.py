"""A space's networks in one set of weights, the rules by which they are trained, and networks that leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.system.lazy import Lazy

if TYPE_CHECKING:
    from nas.supernet.supernet import Supernet

SUPERNETS: dict[str, Lazy[Supernet]] = {
    "superkernel": Lazy("nas.supernet.superkernel:Superkernel"),
    "multi-path": Lazy("nas.supernet.multi_path:MultiPath"),
}
"""By name, a function of the space."""

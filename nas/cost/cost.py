"""Cost: what a network takes of a device: a number of each layer, and how those of a network's layers make one.

`COSTS` is the one place where costs are registered. A new one is an entry of it:

    COSTS["energy"] = Cost("energy", "energy", lambda layer: layer.macs * 4.6e-9, unit="mJ")

and is then bounded by `--at-most energy=5`, optimised by `--objective front:energy`, recorded, proved and shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from nas.cost import memory
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture
    from nas.blocks.layer import Layer
    from nas.cost.factors import Factors
    from nas.space.space import Space

Fold = Literal["sum", "max"]

MOST = 1e18
"""The largest bound."""
COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_UNITS = {
    "": COUNTS,
    "bytes": {"": 1.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    "ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
}
"""What may stand behind a number, by the unit of a cost."""


@dataclass(frozen=True)
class Cost:
    """One kind of cost."""

    name: str
    words: str
    """What it is called behind a number: `300 M MACs`."""
    layer: Callable[[Layer], float] | None = None
    """Of one layer; None where a latency table says it."""
    unit: str = ""
    """Empty for a count."""
    fold: Fold = "sum"
    """How the numbers of a network's layers make its own."""
    network: Callable[[Architecture], float] | None = None
    """Of a network whose layers are no chain, where its layers' numbers alone do not say it."""
    on: str = ""
    """The target whose table says it; empty for the first of a search, or the only one."""

    @property
    def key(self) -> str:
        """Its name with its unit, and its target: in results, in the ledger's columns, and among the costs of a
        problem."""
        key = f"{self.name}_{self.unit}" if self.unit else self.name
        return f"{key}@{self.on}" if self.on else key

    @property
    def units(self) -> Mapping[str, float]:
        """What may stand behind a number that is read: `256KiB`."""
        return _UNITS.get(self.unit, {"": 1.0, self.unit: 1.0})

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return self.unit in ("", "bytes")

    def of(self, architecture: Architecture) -> float:
        """Of a network. Raises `NasError` where only a table tells."""
        if self.network is not None:
            return self.network(architecture)
        if self.layer is None:
            raise NasError(f"The {self.name} of a network is that of a latency table; there is none without one.")
        values = map(self.layer, architecture.layers)
        return sum(values) if self.fold == "sum" else max(values)

    def factors(self, space: Space) -> Factors:
        """Of all networks of a space. Raises `NasError` where only a table tells."""
        import numpy as np

        from nas.cost.factors import Factors

        layer = self.layer
        if layer is None:
            raise NasError(f"The {self.name} of a space is that of a latency table; there is none without one.")
        return Factors.compile(space, lambda layers: np.fromiter(map(layer, layers), float), self.fold)

    def parse(self, text: str) -> float | None:
        """`300M` → 3e8; None where it is no positive number with a unit of this cost."""
        value, unit = split_amount(text)
        found = 0.0 if value is None else value * self.units.get(unit, 0.0)
        return found if 0 < found < MOST else None

    def amount(self, value: float) -> str:
        """As people read it: `312 M`, `256 KiB`, `1.25 mJ`."""
        if self.unit == "bytes":
            return f"{value / 2**10:.4g} KiB" if value < 2**20 else f"{value / 2**20:.4g} MiB"
        if self.unit:
            return f"{value:.4g} {self.unit}"
        if value < 1e6:
            return f"{value / 1e3:.0f} k"
        return f"{value / 1e6:.1f} M" if value < 1e8 else f"{value / 1e6:.0f} M"

    def told(self, value: float, unit: bool = True) -> str:
        """For where a bound lies beside what is attainable: `312.4 M MACs`, `4 ms`; without its unit, `312.4`."""
        if self.unit == "bytes":
            return f"{self.amount(value)} {self.words}" if unit else self.amount(value)
        number, letters = (f"{value * 1e-6:.4g}", f"M {self.words}") if self.whole else (f"{value:.4g}", self.unit)
        return f"{number} {letters}" if unit else number


COSTS: dict[str, Cost] = {
    "latency": Cost("latency", "latency", unit="ms"),
    "macs": Cost("macs", "MACs", lambda layer: layer.macs),
    "params": Cost("params", "parameters", lambda layer: layer.params),
    "flash": Cost("flash", "flash", memory.flash, unit="bytes"),
    "peak": Cost("peak", "peak memory", memory.peak, unit="bytes", fold="max", network=memory.peak_of),
}


def counted() -> tuple[str, ...]:
    """Names of the costs that need no table."""
    return tuple(name for name, cost in COSTS.items() if cost.layer is not None)


def latencies(targets: Iterable[str]) -> list[str]:
    """The keys of latency on targets of these names: `latency_ms`, `latency_ms@zcu102`, …"""
    cost = COSTS["latency"]
    return [replace(cost, on=target if number else "").key for number, target in enumerate(targets)]


def latencies_of(keys: Iterable[str]) -> list[str]:
    """Those of some keys that are latency on a target."""
    return [key for key in keys if key.partition("@")[0] == COSTS["latency"].key]


def by_key(key: str) -> Cost:
    """The cost that stands under a key in results and ledgers. Raises `NasError` for one that is not registered."""
    kind, _, on = key.partition("@")
    for cost in COSTS.values():
        if cost.key == kind and (not on or cost.layer is None):
            return replace(cost, on=on)
    raise NasError(f"No cost is recorded as {key[:40]!r}; known: {', '.join(cost.key for cost in COSTS.values())}.")


def split_amount(text: str) -> tuple[float | None, str]:
    """`75ms` → (75.0, "ms"); None for the number where there is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?) ?([A-Za-z]*)", text.strip())
    return (float(match[1]), match[2]) if match else (None, "")

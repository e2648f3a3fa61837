"""Clock: a device that was searched for, as what measures networks on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.blocks.architecture import Architecture
from nas.tables.table import LatencyTable

if TYPE_CHECKING:
    from nas.devices.device import Device
    from nas.profiler.verify import NetworkTimes


class Clock(NamedTuple):
    """See `nas.profiler.verify` for both."""

    verify: Callable[[Architecture, LatencyTable], dict[str, Any]]
    """A network by its table and as measured."""
    measure: Callable[[Sequence[Architecture], LatencyTable | None], NetworkTimes]
    """Whole networks, beside a table or alone."""
    device: Device
    """Itself."""


Clocks = Mapping[str, Clock]
"""By the keys of the latencies that they measure: of those targets that are devices."""

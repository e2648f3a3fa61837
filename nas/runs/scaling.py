"""A network scaled until it is as fast as asked: by its width, or by width, depth and pictures together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.cost.cost import COSTS
from nas.devices.device import Device
from nas.errors import ArchitectureError, LatencyMissing, Unattainable
from nas.profiler.verify import measure_networks, verify
from nas.runs.proportions import WAYS, scaled, sizes
from nas.system.teller import Teller
from nas.tables.table import LatencyTable

Scalings = Mapping[Architecture, float]
"""Networks that one can be scaled to, narrowest first, with their widths."""
LatencyOf = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""N networks → `float64[N]`, ms; infinite for one that is not to be taken, as where a table does not answer."""

WIDTHS = tuple(hundredths / 100 for hundredths in range(5, 201))
"""Of `scalings`; published networks are scaled by 0.1 to 2."""
AT_ONCE = 5
"""Networks whose latency is asked for together: on a device they share what the warming up costs."""
MUCH = 6
"""Times the work of a network that others may do at first: what does more is slow to measure, and seldom asked for."""
TRIES = 4
"""Of networks that are measured once more on a device."""


def scaled_to(
    architecture: Architecture,
    bound_ms: float,
    latency_of: LatencyOf,
    among: Scalings | None = None,
) -> Architecture:
    """The widest of a network's `scalings`, `among` those of a way, whose latency is within a bound in ms.

    Few are asked about, some at a time: those between the widest that is known to be fast enough and the next that is
    not. Raises `Unattainable`, with its latency, where the narrowest is too slow, and `ArchitectureError` where the
    network cannot be scaled.
    """
    found = among or scalings(architecture)
    networks, widths = list(found), np.array(list(found.values()))
    best, low, high = -1, -1, sum(network.macs <= MUCH * architecture.macs for network in networks)
    least, told, top = -1, COSTS["latency"].told, high
    while high - low > 1 or (best == top - 1 and top < len(networks)):
        if high - low == 1:  # even the largest of these is fast enough
            top = high = len(networks)
        places = _between(widths[:top], low, high)
        ms = latency_of([networks[place] for place in places])
        fast, known = places[ms <= bound_ms], places[np.isfinite(ms)]
        if len(fast):
            best = low = int(fast.max())
        elif best < 0 and len(known):  # nothing is said of what is narrower than the first of these
            low = int(places[places < known[0]].max(initial=low))
            least, time = int(known[0]), told(float(ms[np.isfinite(ms)][0]))
        slow = places[(ms > bound_ms) & (places > low)]
        high = int(slow.min(initial=high))
    if best >= 0:
        return networks[best]
    if least < 0:
        raise Unattainable("No network that this one is scaled to may be taken, whatever its latency.")
    small, large = networks[least], networks[-1]
    alike = (small.height, len(small.layers)) == (large.height, len(large.layers))
    also = "" if alike else f", {small.height} pixels and {len(small.layers)} layers,"
    unknown = "" if low < 0 else "; of less the latency is not known"
    raise Unattainable(
        f"Scaled to {widths[least]:g} of its width{also} the network still takes {time}, and {told(bound_ms)} was "
        f"asked{unknown}. Allow more time, give it smaller pictures (--resolution), or scale a smaller network."
    )


def by_table(table: LatencyTable) -> LatencyOf:
    """Latency by a table. A network that it does not answer for is not taken; where that is so of all that are asked
    about at first, what is asked for raises `LatencyMissing`."""
    answered = False

    def latency_of(networks: Sequence[Architecture]) -> NDArray[np.float64]:
        nonlocal answered
        ms = np.full(len(networks), np.inf)
        missing: LatencyMissing | None = None
        for place, network in enumerate(networks):
            try:
                ms[place] = table.estimate(network).latency_ms
            except LatencyMissing as problem:
                missing = missing or problem
        answered = answered or bool(np.isfinite(ms).any())
        if missing is not None and not answered:
            raise missing
        return ms

    return latency_of


def by_clock(device: Device, teller: Teller) -> LatencyOf:
    """Latency as it is measured on a device, each network once. Raises `NasError` where the device gives up."""
    known: dict[Architecture, float] = {}

    def latency_of(networks: Sequence[Architecture]) -> NDArray[np.float64]:
        fresh = [network for network in dict.fromkeys(networks) if network not in known]
        if fresh:
            found = measure_networks(fresh, None, device, teller)
            if found.too_busy is not None:
                teller.say(f"too busy: which width it is, is uncertain ({found.too_busy})")
            known.update(zip(fresh, found.ms, strict=True))
        return np.array([known[network] for network in networks])

    return latency_of


def measured_to(
    architecture: Architecture,
    bound_ms: float,
    device: Device,
    teller: Teller,
    among: Scalings | None = None,
    latency_of: LatencyOf | None = None,
) -> tuple[Architecture, dict[str, Any]]:
    """`scaled_to` on a device: the network, and what it took when it was measured once more, as `verify` says it.

    Where that is beyond the bound, a network is taken that is narrower by as much. With `latency_of`, which is
    `by_clock`, several bounds share what was measured. Raises `Unattainable` where none stays within, because the
    device's times change too much or the narrowest network is too slow.
    """
    latency_of, limit = latency_of or by_clock(device, teller), bound_ms
    for _ in range(TRIES):
        network = scaled_to(architecture, limit, latency_of, among)
        found = verify(network, None, device, teller)
        if found["measured_ms"] <= bound_ms:
            return network, found
        limit *= bound_ms / found["measured_ms"]
    told = COSTS["latency"].told
    raise Unattainable(
        f"{TRIES} networks that took at most {told(bound_ms)} took more when they were measured again, the last one "
        f"{told(found['measured_ms'])}: the device is busy. Run it again when it is not."
    )


def scalings(
    architecture: Architecture, by: str = "width", pictures: Sequence[tuple[int, int]] = ()
) -> dict[Architecture, float]:
    """The different networks that `WIDTHS` make of one, `by` one of `WAYS`, narrowest first, with the width that is
    nearest to 1 of each.

    Their pictures have the nearest of these sizes, by default of `sizes`. Networks that are larger than one may be are
    left out. Raises `ArchitectureError` as `scaled` does.
    """
    depth, resolution = WAYS[by]
    pictures = pictures or (sizes(architecture) if resolution else ())
    resized = cache(architecture.resized)
    found: dict[Architecture, float] = {}
    for width in WIDTHS:
        whole = architecture
        if pictures:
            side = architecture.height * width**resolution
            whole = resized(*min(pictures, key=lambda size: abs(size[0] - side)))
        try:
            network = scaled(whole, width, width**depth)
        except ArchitectureError:
            if width < 1:
                raise
            break
        if width <= 1 or network not in found:
            found[network] = width
    return found


def _between(widths: NDArray[np.float64], low: int, high: int) -> NDArray[np.int64]:
    """Places to ask about next, between `low` and `high`: closer where networks are small, as their times are."""
    first, last = low + 1, high - 1
    if last - first < AT_ONCE:
        return np.arange(first, high)
    ends = (low < 0, high == len(widths))  # the narrowest and the widest of all are asked about themselves
    ratios = np.geomspace(widths[first], widths[last], AT_ONCE + 2 - sum(ends))[1 - ends[0] : AT_ONCE + 1 - ends[0]]
    return np.unique(np.searchsorted(widths, ratios - 1e-9))

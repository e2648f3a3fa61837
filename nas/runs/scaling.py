"""A network scaled by its width (arXiv:1801.04381, section 5.2) until it is as fast as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.block import columns_of, expands, is_head
from nas.blocks.layer import Layer
from nas.cost.cost import COSTS
from nas.devices.device import Device
from nas.errors import ArchitectureError, LatencyMissing, NasError, Unattainable
from nas.formats.blockstring import make_divisible
from nas.profiler.verify import measure_networks, verify
from nas.system.teller import Teller
from nas.tables.table import LatencyTable

LatencyOf = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""N networks → `float64[N]`, ms; infinite for one that is not to be taken, as where a table does not answer."""

WIDTHS = tuple(hundredths / 100 for hundredths in range(5, 201))
"""Of `scalings`; published networks are scaled by 0.1 to 2."""
AT_ONCE = 5
"""Networks whose latency is asked for together: on a device they share what the warming up costs."""
TRIES = 4
"""Of networks that are measured once more on a device."""


def scaled(architecture: Architecture, width: float) -> Architecture:
    """The network with `width` times as many channels everywhere, in multiples of 8; with 1.0 it is the same.

    Inner widths and squeeze-and-excitation keep their ratios to what they come from. The last layer before the
    classifier is never narrower than it was, as in MobileNetV2; the picture and the classes stay, and a residual
    stays one. Raises `ArchitectureError`, with the layer, where a block's settings allow no other width.
    """
    if not 0 < width < float("inf"):
        raise NasError(f"A width is a number above 0, such as 0.75, got {width}.")
    if width == 1:
        return architecture
    squeezed = [layer for layer in architecture.layers if layer.se_channels]
    in_eights = all(layer.se_channels == make_divisible(layer.mid_channels / 4) for layer in squeezed)
    outputs = {-1: architecture.channels}
    layers: list[Layer] = []
    for index, layer in enumerate(architecture.layers):
        given = tuple(outputs[source] for source in architecture.sources(index))
        try:
            layers.append(_layer(layer, given, width, in_eights))
            outputs[index] = layers[-1].output[0]
        except ArchitectureError as problem:
            raise ArchitectureError(
                f"Layer {index} ({layer.kind}) cannot be made {width:g} times as wide: {problem}"
            ) from None
    return replace(architecture, layers=tuple(layers))


def scaled_to(architecture: Architecture, bound_ms: float, latency_of: LatencyOf) -> Architecture:
    """The widest of a network's `scalings` whose latency is within a bound in ms.

    Few are asked about, some at a time: those between the widest that is known to be fast enough and the next that is
    not. Raises `Unattainable`, with its latency, where the narrowest is too slow, and `ArchitectureError` where the
    network cannot be scaled.
    """
    found = scalings(architecture)
    networks, widths = list(found), np.array(list(found.values()))
    low, high = -1, len(networks)
    while high - low > 1 and high > 0:
        places = _between(widths, low, high)
        ms = latency_of([networks[place] for place in places])
        within, beyond = places[ms <= bound_ms], places[ms > bound_ms]
        if low < 0 and not len(within):
            least = float(ms[0])
        low = int(within.max(initial=low))
        high = int(beyond[beyond > low].min(initial=high))
    if low < 0:
        told = COSTS["latency"].told
        raise Unattainable(
            f"Scaled to {widths[0]:g} of its width the network still takes {told(least)}, and {told(bound_ms)} was "
            "asked. Allow more time, give it smaller pictures (--resolution), or scale a smaller network."
        )
    return networks[low]


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
            known.update(zip(fresh, measure_networks(fresh, None, device, teller).ms, strict=True))
        return np.array([known[network] for network in networks])

    return latency_of


def measured_to(
    architecture: Architecture, bound_ms: float, device: Device, teller: Teller
) -> tuple[Architecture, dict[str, Any]]:
    """`scaled_to` on a device: the network, and what it took when it was measured once more, as `verify` says it.

    Where that is beyond the bound, a network is taken that is narrower by as much. Raises `Unattainable` where none
    stays within, because the device's times change too much or the narrowest network is too slow.
    """
    latency_of, limit = by_clock(device, teller), bound_ms
    for _ in range(TRIES):
        network = scaled_to(architecture, limit, latency_of)
        found = verify(network, None, device, teller)
        if found["measured_ms"] <= bound_ms:
            return network, found
        limit *= bound_ms / found["measured_ms"]
    told = COSTS["latency"].told
    raise Unattainable(
        f"{TRIES} networks that took at most {told(bound_ms)} took more when they were measured again, the last one "
        f"{told(found['measured_ms'])}: the device is busy. Run it again when it is not."
    )


def scalings(architecture: Architecture) -> dict[Architecture, float]:
    """The different networks that `WIDTHS` make of one, narrowest first, with the width that is nearest to 1 of each.

    Those that are larger than a network may be are left out. Raises `ArchitectureError` as `scaled` does.
    """
    found: dict[Architecture, float] = {}
    for width in WIDTHS:
        try:
            network = scaled(architecture, width)
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


def _layer(layer: Layer, given: tuple[int, ...], width: float, in_eights: bool) -> Layer:
    """A layer for inputs of `given` channels; with `in_eights` its squeeze is a quarter in multiples of 8."""
    taken = given if isinstance(layer.in_channels, tuple) else given[0]
    if is_head(layer.kind):
        kept = layer.mid_channels
        return layer.changed(in_channels=taken, mid_channels=max(kept, _times(kept, width)) if kept else 0)
    before, now = (n if isinstance(n, int) else sum(n) for n in (layer.in_channels, taken))
    columns, changes = columns_of(type(layer.block)), dict[str, Any]()
    depthwise = layer.groups == before > 1 and "mid_channels" not in columns
    if "out_channels" in columns:
        multiple, left = divmod(layer.out_channels, before)
        alike = layer.residual or (depthwise and not left)  # as the input, or a multiple of it
        changes["out_channels"] = now * multiple if alike else _times(layer.out_channels, width)
    if layer.mid_channels:
        changes["mid_channels"] = mid = _times(layer.mid_channels, now / before) if expands(layer.kind) else now
        if layer.se_channels:
            kept = round(mid * (layer.se_channels / layer.mid_channels))
            changes["se_channels"] = make_divisible(mid / 4) if in_eights else max(1, kept)
    for name in getattr(layer.block, "parts", ()):
        part, whole = getattr(layer, name), changes["out_channels"]
        changes[name] = min(whole - 1, max(1, round(part * whole / layer.out_channels))) if part else 0
    if layer.groups > 1:
        most, common = (now, now) if depthwise else (layer.groups, gcd(now, *changes.values()))
        changes["groups"] = max(n for n in range(1, most + 1) if common % n == 0)
    if layer.projection and layer.stride == 1 and changes.get("out_channels") == now:
        changes |= {"projection": False, "residual": True}  # what came in is now as wide as what is given
    return layer.changed(in_channels=taken, **changes)


def _times(channels: int, ratio: float) -> int:
    """So many times as many channels: a multiple of 8, but the same for 1, and never more for less or less for more."""
    rounded = make_divisible(channels * ratio)
    return min(channels, rounded) if ratio < 1 else max(channels, rounded) if ratio > 1 else channels

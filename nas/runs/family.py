"""Family: one network scaled to several bounds on latency, each member in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.blocks.architecture import Architecture
from nas.cost.cost import COSTS, counted
from nas.devices.names import device_name
from nas.errors import LatencyMissing, NasError, Unattainable
from nas.formats.config import read_config
from nas.formats.winner import CONFIG, export
from nas.profiler.bench import attached
from nas.runs.proportions import WAYS, scaled, sizes
from nas.runs.scaling import by_clock, by_table, measured_to, scaled_to, scalings
from nas.system.atomic import PART
from nas.system.teller import Teller
from nas.tables.table import LatencyTable, load_table
from nas.tables.target import target_path

NARROWER = (1.0, 0.5, 0.25)
"""Widths at which a table is asked whether it answers for pictures of a size."""

Fit = tuple[Architecture, dict[str, Any] | None]
"""A member, and what it took where it was measured, as `verify` says it."""


@dataclass(frozen=True)
class Family:
    """A network and what its members have in common."""

    source: str
    """What the network was called."""
    whole: Architecture
    space: str | None
    """The space that the network is of, where its file says so."""
    target: str
    by: str
    """One of `WAYS`."""
    teller: Teller

    def members(self, folders: Mapping[float, Path]) -> Iterator[dict[str, Any]]:
        """For each bound in ms, once the member is in its folder, what is known of it; `why` where there is none.

        What was measured and is in its folder already is kept. Raises `LatencyMissing` where the table does not
        answer, and `NasError`, before anything is written, where something else is in a folder.
        """
        kept = {bound: self._kept(bound, folder) for bound, folder in folders.items()}
        with ExitStack() as stack:
            fit: Callable[[float], Fit] | None = None
            for bound, folder in folders.items():
                found = kept[bound]
                if found is None:
                    fit = fit or self._fit(stack)
                    try:
                        found = fit(bound)
                    except Unattainable as problem:
                        yield {**self._common(bound), "why": str(problem)}
                        continue
                yield self._written(bound, folder, *found)

    @cached_property
    def scalings(self) -> Mapping[Architecture, float]:
        """Those that members are chosen from; by a table, with pictures that it answers for."""
        pictures: list[tuple[int, int]] = []
        if self.table is not None and not self.measures and WAYS[self.by][1]:
            narrower = [scaled(self.whole, width) for width in NARROWER]
            for size in sizes(self.whole):
                if any(self.table.answers_network(network.resized(*size)) for network in narrower):
                    pictures.append(size)
            if not pictures:
                self.table.estimate(self.whole)  # which says what is missing
            told = ", ".join(str(height) for height, _ in pictures)
            self.teller.say(f"{self.table.name} answers for pictures of {told} pixels: members keep to these")
        return scalings(self.whole, self.by, pictures)

    @cached_property
    def measures(self) -> bool:
        """Whether the target is a device."""
        return device_name(self.target) is not None

    @cached_property
    def table(self) -> LatencyTable | None:
        """The target's; None of a device that has none of the network's space."""
        try:
            return load_table(target_path(self.target, self.space))
        except LatencyMissing:
            return None

    def _fit(self, stack: ExitStack) -> Callable[[float], Fit]:
        """What finds the member for a bound. A device is let go of with the stack."""
        if self.table is not None and not self.measures:
            answer = by_table(self.table)
            return lambda bound: (scaled_to(self.whole, bound, answer, self.scalings), None)
        device = stack.enter_context(attached(self.target))
        latency_of = by_clock(device, self.teller)
        return lambda bound: measured_to(self.whole, bound, device, self.teller, self.scalings, latency_of)

    def _written(
        self, bound: float, folder: Path, network: Architecture, measured: dict[str, Any] | None
    ) -> dict[str, Any]:
        """What is known of a member, which is written if it is not there yet."""
        width = self.scalings[network]
        depth = width ** WAYS[self.by][0]
        known = {**self._common(bound), **self._by_table(network), "measured": measured}
        if measured is None or not (folder / CONFIG.name).is_file():
            way = {} if self.by == "width" else {"by": self.by, "depth": depth}
            told = {"ms": known["latency_ms"], **{name: known[name] for name in ("asked_ms", "target", "measured")}}
            metrics = {"scaled": {"from": self.source, "width": width, **way}, "latency": told}
            export(network, folder, ("config",), metrics=metrics)
        return {
            **known,
            "width": width,
            "depth": depth,
            "resolution": network.height if network.height == network.width else [network.height, network.width],
            "layers": len(network.layers),
            **{COSTS[name].key: COSTS[name].of(network) for name in counted()},
            "written": str(folder / CONFIG.name),
        }

    def _common(self, bound: float) -> dict[str, Any]:
        """What is said of each bound in ms, whether or not there is a member for it."""
        target = self.target if self.measures or self.table is None else self.table.name
        return {"network": self.source, "by": self.by, "asked_ms": bound, "target": target}

    def _by_table(self, network: Architecture) -> dict[str, Any]:
        """What the table says of a network; null where it does not answer."""
        try:
            found = None if self.table is None else self.table.estimate(network)
        except LatencyMissing:
            found = None
        return {
            "latency_ms": found and found.latency_ms,
            "coverage": found and found.coverage,
            "latency_error_pct": found and found.error_pct,
        }

    def _kept(self, bound: float, folder: Path) -> Fit | None:
        """The member that is in a folder, if it was measured; None where there is none, or by a table, which says it
        again. Raises `NasError` where it is of another request, or something else."""
        if not folder.exists():
            return None
        if folder.is_dir() and all(path.name.endswith(PART) for path in folder.iterdir()):
            return None
        try:
            config = read_config(folder / CONFIG.name)
            metrics: Mapping[str, Any] = config.metrics or {}
            latency = metrics["latency"]
            same = (metrics["scaled"].get("by", "width"), latency["asked_ms"]) == (self.by, bound)
            measured = latency["measured"]
            if same and config.architecture in self.scalings and self.measures == (measured is not None):
                if measured is None:
                    return None
                ms = measured["measured_ms"], measured["measured_halfwidth_ms"]
                if latency["target"] == self.target and all(type(figure) is float for figure in ms):
                    return config.architecture, measured
        except (NasError, KeyError, TypeError, AttributeError):
            pass
        raise NasError(f"{folder}: something else is there already. Choose another --out.")

"""The field of a race: finalists of a search that are apart from each other, and published networks at its bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.cost.cost import COSTS
from nas.errors import LatencyMissing, NasError
from nas.formats.network_file import read_network
from nas.runs.ledger import Ledger
from nas.runs.problem import Problem
from nas.runs.proportions import scaled
from nas.runs.scaling import LatencyOf, by_table, scaled_to, scalings
from nas.space.space import Population
from nas.system.places import network_names
from nas.system.teller import Teller
from nas.tables.table import LatencyTable

if TYPE_CHECKING:
    from nas.profiler.verify import NetworkTimes

NETWORKS = ("mobilenetv3-small-1.0", "mobilenetv2-1.0", "efficientnet-b0")
"""Published ones that race: a small, a plain and an accurate one."""
SHARE, TIMES = 0.02, 4
"""Finalists are chosen among this share of the best, or so many times as many as they are."""
FIRST, NEAR = 5, (-1, 0, 1, 2)
"""Widths of a published network that are measured on a device at first; then places below where the bound seems."""
SLOWER = 1.03
"""Times the bound that a finalist may take as it is measured."""

Measure = Callable[[Sequence[Architecture], LatencyTable | None], "NetworkTimes"]
"""Whole networks on the device that was searched for, beside a table or alone: see `nas.profiler.verify`."""


@dataclass(frozen=True)
class Entry:
    """A network that races, in what a file can say of it."""

    name: str
    row: int | None
    """Which finalist it is; None is a published network."""
    width: float | None
    """By which a published network is scaled."""
    latency_ms: float
    """By the table; as measured where that does not answer."""
    measured_ms: float | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def finalists(problem: Problem, ledger: Ledger, best: NDArray[np.uint8], count: int) -> Population:
    """`uint8[K, D]`, K up to the count: the best, then of the best few percent those that are farthest from all that
    were taken, by the shares of the ranges of their decisions in which they differ."""
    space, objective = problem.space, problem.objective
    size = max(TIMES * count, round(SHARE * len(ledger)))
    rows, worth = np.zeros(0, dtype=np.int64), np.zeros(0)
    for first, measures in ledger.stretches():
        values = objective.worth(measures)[0]
        rows = np.concatenate([rows, first + np.arange(len(values))])
        worth = np.concatenate([worth, values])
        kept = np.argsort(-worth, kind="stable")[:size]
        rows, worth = rows[kept], worth[kept]
    pool = space.canonical(np.concatenate([best[None], ledger.genotypes(rows[np.isfinite(worth)])]))
    places = pool / np.maximum(1, space.cardinalities - 1)
    taken, far = [0], np.abs(places - places[0]).sum(1)
    while len(taken) < count and far.max() > 0:
        taken.append(int(far.argmax()))
        far = np.minimum(far, np.abs(places - places[taken[-1]]).sum(1))
    return np.asarray(pool[taken])


def whole(name: str, problem: Problem, classes: int) -> Architecture:
    """A published network for the pictures of a problem's space. Raises `NasError` where it is for others."""
    channels, height, width = problem.space.picture
    network = read_network(network_names()[name]).architecture
    if (channels, height) != (network.channels, width):
        raise NasError("it takes square pictures in colour")
    resized = network.resized(height)
    return replace(resized, layers=(*resized.layers[:-1], resized.layers[-1].changed(out_channels=classes)))


def entries(
    problem: Problem, own: Population, names: Sequence[str], classes: int, measure: Measure | None, teller: Teller
) -> list[Entry]:
    """Who races: finalists `uint8[K, D]` and published networks as wide as the bounds allow, on a device by its clock.

    A finalist that takes too long there is left out, unless all do.
    """
    bound = problem.objective.bounds["latency_ms"]
    ms = problem.factors["latency_ms"](own)
    field = [Entry(f"finalist-{row + 1}", row, None, float(ms[row])) for row in range(len(own))]
    published = {}
    for name in names:
        try:
            published[name] = whole(name, problem, classes)
            if measure is None:
                field.append(_scaled(name, published[name], bound, _latency(problem)))
        except NasError as why:
            _left_out(name, why, teller)
    if measure is None:
        return field
    found = measure([problem.space.decode(genotype) for genotype in own], problem.table)
    pace = 1.0
    if found.too_busy is None:
        pace += found.drift_pct / 100
        field = [replace(entry, measured_ms=float(ms)) for entry, ms in zip(field, found.ms, strict=True)]
        late = [entry for entry in field if (entry.measured_ms or 0.0) > SLOWER * bound]
        if len(late) < len(field):
            field = [entry for entry in field if entry not in late]
            for entry in late:
                _left_out(entry.name, f"it takes {entry.measured_ms:.2f} ms as measured, {bound:.2f} asked", teller)
    else:
        teller.say(f"race: no finalist is left out for being slow as measured: {found.too_busy}")
    return [*field, *_by_clock(published, problem, measure, pace, teller)]


def networks(field: Sequence[Entry], problem: Problem, own: Population, classes: int) -> list[Architecture]:
    """The networks of entries."""
    return [
        problem.space.decode(own[entry.row])
        if entry.row is not None
        else scaled(whole(entry.name, problem, classes), entry.width or 1.0)
        for entry in field
    ]


def _by_clock(
    published: dict[str, Architecture], problem: Problem, measure: Measure, pace: float, teller: Teller
) -> list[Entry]:
    """Published networks scaled to the bound by the clock of the device, which is `pace` times slower than on the day
    of the table: a few widths of each are measured together, then those that lie by the bound."""
    bound = problem.objective.bounds["latency_ms"]
    within: dict[str, dict[Architecture, float]] = {}
    for name, network in published.items():
        found = scalings(network)
        allowed = np.isfinite(_others(problem)(list(found)))
        within[name] = {n: width for (n, width), good in zip(found.items(), allowed, strict=True) if good}
        if not within[name]:
            _left_out(name, "no width of it is within the bounds", teller)
    known: dict[tuple[str, Architecture], float] = {}

    def ask(wanted: list[tuple[str, Architecture]]) -> None:
        fresh = [each for each in dict.fromkeys(wanted) if each not in known]
        if fresh:
            found = measure([network for _, network in fresh], None)
            if found.too_busy is not None:
                teller.say(f"race: published networks are as wide as an uncertain measurement says: {found.too_busy}")
            known.update(zip(fresh, (found.ms / pace).tolist(), strict=True))

    networks = {name: list(found) for name, found in within.items() if found}
    spread = {name: np.linspace(0, len(all_) - 1, FIRST).round().astype(int) for name, all_ in networks.items()}
    ask([(name, networks[name][place]) for name, places in spread.items() for place in places])
    near = []
    for name, all_ in networks.items():
        asked = [network for network in all_ if (name, network) in known]
        counts = np.log([network.macs for network in asked])
        logs = np.maximum.accumulate(np.log([known[name, network] for network in asked]))
        guess = np.exp(np.interp(np.log([network.macs for network in all_]), counts, logs))
        place = int(np.searchsorted(guess, bound, side="right")) - 1
        near += [(name, all_[place - step]) for step in NEAR if 0 <= place - step < len(all_)]
    ask(near)
    field = []
    for name, all_ in networks.items():
        fast = [network for network in all_ if known.get((name, network), np.inf) <= bound]
        if not fast:
            _left_out(name, f"its narrowest takes {known[name, all_[0]]:.2f} ms, {bound:.2f} asked", teller)
            continue
        ms = known[name, fast[-1]]
        field.append(Entry(name, None, within[name][fast[-1]], _answer(problem, fast[-1], ms), ms))
    return field


def _left_out(name: str, why: object, teller: Teller) -> None:
    teller.say(f"race: {name} is not in it: {str(why).partition(chr(10))[0]}")


def _latency(problem: Problem) -> LatencyOf:
    """By the table; infinite beyond another bound."""
    latency, others = by_table(problem.table), _others(problem)
    return lambda networks: others(networks) + latency(networks)


def _others(problem: Problem) -> LatencyOf:
    """0 within the bounds on other costs, else infinite."""
    bounds = problem.objective.bounds
    costs = [(cost, bounds[cost.key]) for cost in COSTS.values() if cost.key in bounds and cost.key != "latency_ms"]
    return lambda networks: np.array(
        [np.inf if any(cost.of(network) > most for cost, most in costs) else 0.0 for network in networks]
    )


def _scaled(name: str, network: Architecture, bound: float, latency_of: LatencyOf) -> Entry:
    found = scaled_to(network, bound, latency_of)
    return Entry(name, None, scalings(network)[found], float(latency_of([found])[0]))


def _answer(problem: Problem, network: Architecture, otherwise: float) -> float:
    """The table's latency of a network, where it answers."""
    try:
        return problem.table.estimate(network).latency_ms
    except LatencyMissing:
        return otherwise

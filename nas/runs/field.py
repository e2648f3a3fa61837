"""The field of a race: finalists of a search that are apart from each other, and published networks at its bound."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.cost.cost import by_key
from nas.errors import LatencyMissing, NasError
from nas.formats.network_file import read_network
from nas.runs.clock import Clocks
from nas.runs.ledger import Ledger
from nas.runs.problem import Problem
from nas.runs.proportions import scaled
from nas.runs.scaling import LatencyOf, by_table, scaled_to, scalings
from nas.space.space import Population
from nas.system.places import network_names
from nas.system.teller import Teller

NETWORKS = ("mobilenetv3-small-1.0", "mobilenetv2-1.0", "efficientnet-b0")
"""Published ones that race: a small, a plain and an accurate one."""
SHARE, TIMES = 0.02, 4
"""Finalists are chosen among this share of the best, or so many times as many as they are."""
FIRST, NEAR = 5, (-1, 0, 1, 2)
"""Widths of a published network that are measured on a device at first; then places below where the bound seems."""
SLOWER = 1.03
"""Times the bound that a finalist may take as it is measured."""


@dataclass(frozen=True)
class Entry:
    """A network that races, in what a file can say of it."""

    name: str
    row: int | None
    """Which finalist it is; None is a published network."""
    width: float | None
    """By which a published network is scaled."""
    latency_ms: float
    """By the first table; as measured where that does not answer."""
    measured_ms: float | None = None
    latencies: dict[str, float] = field(default_factory=dict)
    """By the tables of all targets, by their names, likewise; `measured` is of those that are devices."""
    measured: dict[str, float] = field(default_factory=dict)

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
    classified = replace(resized, layers=(*resized.layers[:-1], resized.layers[-1].changed(out_channels=classes)))
    return classified.in_precision(problem.space.precision)


def entries(
    problem: Problem, own: Population, names: Sequence[str], classes: int, clocks: Clocks, teller: Teller
) -> list[Entry]:
    """Who races: finalists `uint8[K, D]` and published networks as wide as the bounds allow, on devices by clock.

    A finalist that takes too long there is left out, unless all do.
    """
    times = {key: problem.factors[key](own).tolist() for key in problem.tables}
    measured: dict[str, list[float]] = {}
    published, scaled_by_table = {}, []
    for name in names:
        try:
            published[name] = whole(name, problem, classes)
            if not clocks:
                scaled_by_table.append(_scaled(name, published[name], problem))
        except NasError as why:
            _left_out(name, why, teller)
    paces = dict.fromkeys(clocks, 1.0)
    for key, clock in clocks.items():
        found = clock.measure([problem.space.decode(genotype) for genotype in own], problem.tables[key])
        if found.too_busy is None:
            paces[key] += found.drift_pct / 100
            measured[key] = found.ms.tolist()
        else:
            teller.say(f"race: no finalist is left out for being slow as measured: {found.too_busy}")
    bounds = problem.objective.bounds
    late = {row: key for key, all_ in measured.items() for row, ms in enumerate(all_) if ms > SLOWER * bounds[key]}
    if len(late) == len(own):
        late = {}
    for row, key in late.items():
        slow = f"it takes {measured[key][row]:.2f} ms as measured{_on(problem, key)}, {bounds[key]:.2f} asked"
        _left_out(f"finalist-{row + 1}", slow, teller)
    racing = []
    for row in range(len(own)):
        if row not in late:
            ms, its = ({key: all_[row] for key, all_ in known.items()} for known in (times, measured))
            racing.append(_entry(problem, f"finalist-{row + 1}", row, None, ms, its))
    return [*racing, *(_by_clock(published, problem, clocks, paces, teller) if clocks else scaled_by_table)]


def networks(field: Sequence[Entry], problem: Problem, own: Population, classes: int) -> list[Architecture]:
    """The networks of entries."""
    return [
        problem.space.decode(own[entry.row])
        if entry.row is not None
        else scaled(whole(entry.name, problem, classes), entry.width or 1.0)
        for entry in field
    ]


def _by_clock(
    published: Mapping[str, Architecture],
    problem: Problem,
    clocks: Clocks,
    paces: Mapping[str, float],
    teller: Teller,
) -> list[Entry]:
    """Published networks scaled to the bounds by the clocks of the devices, which are so many times slower than on the
    day of their tables: a few widths of each are measured together, then those that lie by the tightest bound."""
    bounds = problem.objective.bounds
    within: dict[str, dict[Architecture, float]] = {}
    for name, network in published.items():
        found = scalings(network)
        try:
            allowed = np.isfinite(_others(problem, clocks)(list(found)))
        except LatencyMissing as why:
            _left_out(name, why, teller)
            continue
        within[name] = {n: width for (n, width), good in zip(found.items(), allowed, strict=True) if good}
        if not within[name]:
            _left_out(name, "no width of it is within the bounds", teller)
    known: dict[tuple[str, Architecture], dict[str, float]] = {}

    def ask(wanted: list[tuple[str, Architecture]]) -> None:
        fresh = [each for each in dict.fromkeys(wanted) if each not in known]
        for key, clock in clocks.items() if fresh else ():
            found = clock.measure([network for _, network in fresh], None)
            if found.too_busy is not None:
                teller.say(f"race: published networks are as wide as an uncertain measurement says: {found.too_busy}")
            for each, ms in zip(fresh, (found.ms / paces[key]).tolist(), strict=True):
                known.setdefault(each, {})[key] = ms

    def share(each: tuple[str, Architecture]) -> float:
        """Of the tightest bound."""
        return max(ms / bounds[key] for key, ms in known[each].items())

    networks = {name: list(found) for name, found in within.items() if found}
    spread = {name: np.linspace(0, len(all_) - 1, FIRST).round().astype(int) for name, all_ in networks.items()}
    ask([(name, networks[name][place]) for name, places in spread.items() for place in places])
    near = []
    for name, all_ in networks.items():
        asked = [network for network in all_ if (name, network) in known]
        counts = np.log([network.macs for network in asked])
        logs = np.maximum.accumulate(np.log([share((name, network)) for network in asked]))
        guess = np.interp(np.log([network.macs for network in all_]), counts, logs)
        place = int(np.searchsorted(guess, 0.0, side="right")) - 1
        near += [(name, all_[place - step]) for step in NEAR if 0 <= place - step < len(all_)]
    ask(near)
    field = []
    for name, all_ in networks.items():
        fast = [network for network in all_ if (name, network) in known and share((name, network)) <= 1]
        if not fast:
            narrowest = known[name, all_[0]]
            key = max(narrowest, key=lambda key: narrowest[key] / bounds[key])
            ms = f"its narrowest takes {narrowest[key]:.2f} ms{_on(problem, key)}, {bounds[key]:.2f} asked"
            _left_out(name, ms, teller)
            continue
        network, measured = fast[-1], known[name, fast[-1]]
        field.append(_entry(problem, name, None, within[name][network], _answers(problem, network, measured), measured))
    return field


def _left_out(name: str, why: object, teller: Teller) -> None:
    teller.say(f"race: {name} is not in it: {str(why).partition(chr(10))[0]}")


def _on(problem: Problem, key: str) -> str:
    return f" on {problem.tables[key].name}" if len(problem.tables) > 1 else ""


def _others(problem: Problem, asked: Container[str]) -> LatencyOf:
    """0 within the bounds but for latencies that are `asked` elsewhere, else infinite."""
    bounds = problem.objective.bounds
    costs = [(by_key(key), bound) for key, bound in bounds.items() if key not in problem.tables]
    tables = [(by_table(table), bounds[key]) for key, table in problem.tables.items() if key not in asked]

    def latency_of(networks: Sequence[Architecture]) -> NDArray[np.float64]:
        broken = np.array([any(cost.of(network) > most for cost, most in costs) for network in networks])
        for latency, bound in tables:
            broken |= latency(networks) > bound
        return np.where(broken, np.inf, 0.0)

    return latency_of


def _scaled(name: str, network: Architecture, problem: Problem) -> Entry:
    """A published network as wide as the tables and the bounds allow."""
    first, table = next(iter(problem.tables.items()))
    latency, others = by_table(table), _others(problem, (first,))
    found = scaled_to(network, problem.objective.bounds[first], lambda networks: others(networks) + latency(networks))
    return _entry(problem, name, None, scalings(network)[found], _answers(problem, found, {}), {})


def _answers(problem: Problem, network: Architecture, measured: Mapping[str, float]) -> dict[str, float]:
    """The tables' latencies of a network by their keys; as measured where one does not answer."""
    return {
        key: table.estimate(network).latency_ms if table.answers_network(network) else measured[key]
        for key, table in problem.tables.items()
    }


def _entry(
    problem: Problem,
    name: str,
    row: int | None,
    width: float | None,
    latencies: Mapping[str, float],
    measured: Mapping[str, float],
) -> Entry:
    """An entry, from figures by the keys of latencies."""
    first = next(iter(problem.tables))
    named = ({problem.tables[key].name: ms for key, ms in known.items()} for known in (latencies, measured))
    return Entry(name, row, width, latencies[first], measured.get(first), *named)

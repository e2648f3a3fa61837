"""Networks scaled by their width: what is published comes out, bounds are kept, and what cannot be scaled says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import architectures, scaled_or_told
from numpy.typing import NDArray
from tellers import Said

from nas.blocks import Architecture, Layer
from nas.blocks.block import is_head
from nas.devices.device import Plan, Sample
from nas.devices.fake import Fake
from nas.errors import ArchitectureError, LatencyMissing, NasError, Unattainable
from nas.profiler.verify import NetworkTimes
from nas.runs.field import entries
from nas.runs.network import find_network
from nas.runs.problem import Problem
from nas.runs.proportions import scaled
from nas.runs.request import Request
from nas.runs.scaling import AT_ONCE, MUCH, WIDTHS, by_clock, by_table, measured_to, scaled_to, scalings
from nas.system.places import published
from nas.system.teller import Silent
from nas.tables.table import LatencyTable, load_table


def network(name: str) -> Architecture:
    return find_network(name).config.architecture


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.4])
def test_mobilenetv2_is_scaled_as_published(width: float) -> None:
    """Parameters of torchvision's and timm's: 1,677,128, 1,968,680, 2,636,424 and 6,108,776."""
    assert scaled(network("mobilenetv2-1.0"), width).params == network(f"mobilenetv2-{width}").params


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75])
def test_squeeze_and_excitation_is_scaled_as_published(width: float) -> None:
    assert scaled(network("mnasnet-a1-1.0"), width).params == network(f"mnasnet-a1-{width}").params


@pytest.mark.parametrize("name", published())
def test_a_scaled_network_keeps_its_shape(name: str) -> None:
    whole = network(name)
    assert scaled(whole, 1.0) == whole
    for width in (0.05, 0.6, 1.7):
        other = scaled(whole, width)
        assert (other.channels, other.height, other.width) == (whole.channels, whole.height, whole.width)
        assert other.num_classes == whole.num_classes
        assert (other.macs < whole.macs) == (width < 1)
        for one, two in zip(whole.layers, other.layers, strict=True):
            assert (one.kind, one.kernel, one.stride, one.residual) == (two.kind, two.kernel, two.stride, two.residual)
            assert is_head(two.kind) or two.out_channels % 8 == 0


@settings(max_examples=60, deadline=None)
@given(architectures(), st.floats(0.05, 2))
def test_networks_of_all_blocks_can_be_scaled(whole: Architecture, width: float) -> None:
    """Channels that are no multiples of 8, groups, projections, no head, hardly any channels."""
    other = scaled_or_told(whole, width)
    if other is None:
        return
    assert len(other.layers) == len(whole.layers)
    if is_head(whole.layers[-1].kind):
        assert other.num_classes == whole.num_classes
    for one, two in zip(whole.layers, other.layers, strict=True):
        for name in ("out_channels", "mid_channels", "se_channels"):
            before, now = getattr(one, name), getattr(two, name)
            assert (now <= before if width < 1 else now >= before) or is_head(one.kind), name


class Clock:
    """Time is work, with an error of a few percent that stays with a network."""

    def __init__(self, deviation: float = 0.0) -> None:
        self.asked: list[int] = []
        self.deviation = deviation

    def __call__(self, networks: Sequence[Architecture]) -> NDArray[np.float64]:
        self.asked.append(len(networks))
        noise = [np.random.default_rng(n.params).standard_normal() for n in networks]
        return np.array([n.macs for n in networks]) / 1e6 * np.exp(self.deviation * np.array(noise))


SMALL = Architecture(
    3,
    64,
    64,
    (
        Layer(kind="conv", in_channels=3, out_channels=128, kernel=3, stride=2, height=64, width=64),
        Layer(kind="mbconv", in_channels=128, out_channels=320, mid_channels=768, kernel=3, height=32, width=32),
        Layer(kind="head", in_channels=320, mid_channels=0, out_channels=10, height=32, width=32),
    ),
)


@pytest.mark.parametrize("bound", [15.0, 150.0, 312.0, 700.0, 1e4])
@pytest.mark.parametrize("deviation", [0.0, 0.03])
def test_the_widest_within_a_bound_is_found_by_asking_about_few(bound: float, deviation: float) -> None:
    clock = Clock(deviation)
    found = scaled_to(SMALL, bound, clock)
    assert Clock(deviation)([found])[0] <= bound
    assert max(clock.asked) <= AT_ONCE
    assert len(clock.asked) <= 4
    best = max(n.macs for n in scalings(SMALL) if Clock()([n])[0] <= bound)
    assert found.macs == best if not deviation else found.macs > 0.8 * best


@pytest.mark.parametrize(("bound", "most"), [(300.0, MUCH), (20_000.0, 400)])
def test_networks_of_much_work_are_asked_about_only_where_the_others_are_fast_enough(bound: float, most: float) -> None:
    """On a device one of them may take a minute."""
    work: list[float] = []

    def latency_of(networks: Sequence[Architecture]) -> NDArray[np.float64]:
        work.extend(network.macs for network in networks)
        return Clock()(networks)

    found = scaled_to(SMALL, bound, latency_of, scalings(SMALL, "compound"))
    assert 0.8 * bound < found.macs / 1e6 <= bound
    assert 1 < max(work) / SMALL.macs <= most


def test_a_bound_of_a_table_is_met() -> None:
    """It answers for heads of up to 2,048 channels: the widest scalings are not taken."""
    table = load_table("pixel-cpu")
    found = scaled_to(network("mobilenetv2-1.0"), 30, by_table(table))
    assert 0.9 * 30 < table.estimate(found).latency_ms <= 30
    with pytest.raises(LatencyMissing, match="pixel-cpu does not answer for"):
        scaled_to(SMALL, 30, by_table(table))


def test_what_is_too_slow_even_when_narrow_is_told_with_its_time() -> None:
    least = Clock()([scaled(SMALL, WIDTHS[0])])[0]
    with pytest.raises(Unattainable, match=rf"0\.05 of its width .* {least:.3g}"):
        scaled_to(SMALL, 0.99 * least, Clock())
    assert scaled_to(SMALL, least, Clock()).macs == scaled(SMALL, WIDTHS[0]).macs


def partly(least: int) -> Callable[[Sequence[Architecture]], NDArray[np.float64]]:
    """Says nothing of networks of fewer MACs."""
    return lambda networks: np.where([n.macs >= least for n in networks], Clock()(networks), np.inf)


def test_narrow_networks_that_nothing_is_said_of_are_no_slow_ones() -> None:
    """As those at a small resolution, of a table that knows a large one."""
    least = scaled(SMALL, 0.5).macs
    found = scaled_to(SMALL, 1.5 * least / 1e6, partly(least))
    assert found == scaled_to(SMALL, 1.5 * least / 1e6, Clock())
    with pytest.raises(Unattainable, match=r"Scaled to 0\.5\d of its width .* asked; of less the latency is not known"):
        scaled_to(SMALL, 0.5 * least / 1e6, partly(least))
    with pytest.raises(Unattainable, match="may be taken, whatever its latency"):
        scaled_to(SMALL, 1.0, partly(10**12))


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
def test_a_width_is_above_nothing(width: float) -> None:
    with pytest.raises(NasError, match="A width is a number above 0"):
        scaled(network("mobilenetv2-1.0"), width)


def test_what_would_be_larger_than_a_network_may_be_is_left_out() -> None:
    layer = Layer(kind="head", in_channels=3, mid_channels=60_000, out_channels=2, height=8, width=8)
    whole = Architecture(3, 8, 8, (layer,))
    with pytest.raises(ArchitectureError, match=r"Layer 0 \(head\) cannot be made 2 times as wide"):
        scaled(whole, 2)
    assert max(scalings(whole).values()) < 1.2


class Slower(Fake):
    """A device that takes more when it is asked about one network alone."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def measure(self, plan: Plan) -> Iterator[Sample]:
        alone = len({probe.name for group in plan.groups for probe in group}) == 1
        for sample in super().measure(plan):
            yield replace(sample, ns=tuple(self.factor * ns if alone else ns for ns in sample.ns))


def test_what_is_taken_on_a_device_was_within_the_bound_when_it_was_measured_once_more() -> None:
    """It was a twentieth too slow then: a narrower network is taken."""
    half = scaled(SMALL, 0.5)
    bound = 1.02 * float(by_clock(Fake(), Silent())([half])[0])
    found, measured = measured_to(SMALL, bound, Slower(1.05), Silent())
    assert measured["measured_ms"] <= bound
    narrower = [network for network in scalings(SMALL) if network.macs < half.macs]
    assert found == narrower[-1]


def test_a_device_that_is_too_slow_each_time_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.runs.scaling.verify", lambda *asked: {"measured_ms": 10.2})
    with pytest.raises(Unattainable, match=r"4 networks .* the last one 10\.2 ms: the device is busy"):
        measured_to(SMALL, 10.0, Fake(), Silent())


def timed(networks: Sequence[Architecture], too_busy: str | None) -> NetworkTimes:
    ms = np.array([network.macs / 1e7 for network in networks])
    return NetworkTimes(ms, ms, ms, ms, ms / 5, 0.0, 12.0, too_busy, np.zeros(0))


@pytest.mark.parametrize("why", [None, "halves of the measurement differ by 12 %"])
def test_widths_by_a_measurement_that_is_not_to_be_believed_are_told(
    why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said()
    monkeypatch.setattr("nas.runs.scaling.measure_networks", lambda networks, *more: timed(networks, why))
    by_clock(Fake(), said)([scaled(SMALL, width) for width in (0.5, 1.0)])
    assert said.lines == ([f"too busy: which width it is, is uncertain ({why})"] if why else [])
    if why is None:
        return
    raced = Said()
    problem = Problem.load(Request(space="mobile", target="pixel-cpu", latency_ms=75.0, controller="random"))

    def measure(networks: Sequence[Architecture], table: LatencyTable | None) -> NetworkTimes:
        return timed(networks, None if table else why)

    own = problem.space.sample(1, np.random.default_rng(0))
    clocks: Any = {"latency_ms": SimpleNamespace(measure=measure)}
    field = entries(problem, own, ["mobilenetv3-small-1.0"], 1_000, clocks, raced)
    assert [entry.name for entry in field] == ["finalist-1", "mobilenetv3-small-1.0"]
    assert set(raced.lines) == {f"race: published networks are as wide as an uncertain measurement says: {why}"}

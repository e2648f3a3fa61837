"""Whole networks by the clock: the pace of the day of the table, errors, and which device may be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from scripted import Scripted
from tellers import Said

from nas.devices.device import Fault, Sample
from nas.devices.fake import work_ns
from nas.errors import NasError, TableError
from nas.profiler.probe import make_probe
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.verify import check_device, error_of, measure_networks, verify
from nas.space.load import load_space
from nas.tables.table import LatencyTable, load_table


def slower(times: float, deviation: float = 0.0) -> Scripted:
    """A device that takes `times` as long as the fake one, and a factor of its own for each probe."""
    own: dict[str, float] = {}
    rng: Generator = np.random.default_rng(0)

    def act(number: int, sample: Sample) -> Sample:
        factor = times * own.setdefault(sample.probe, float(np.exp(deviation * rng.standard_normal())))
        return replace(sample, ns=tuple(factor * ns for ns in sample.ns))

    return Scripted(act)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LatencyTable:
    space = load_space("nas-bench-macro")
    folder = tmp_path_factory.mktemp("tables") / "fake"
    return profile(space, "fake", Scripted(), folder, Effort(1.0, 1e6), Said())


def test_a_network_is_measured_beside_the_table(table: LatencyTable) -> None:
    space = load_space("nas-bench-macro")
    network = space.decode(space.sample(1, np.random.default_rng(0))[0])
    truth = work_ns(make_probe(network.layers)) / 1e6
    found = verify(network, table, Scripted(), Said())
    assert found["latency_ms"] == table.estimate(network).latency_ms
    assert found["measured_ms"] == pytest.approx(truth, rel=0.02)
    assert found["raw_ms"] == pytest.approx(truth, rel=0.02)
    assert found["error_pct"] == pytest.approx(100 * (found["measured_ms"] / found["latency_ms"] - 1))
    assert abs(found["drift_pct"]) < 1
    assert found["measured_p10_ms"] <= found["measured_ms"] <= found["measured_p90_ms"]
    assert 0 < found["measured_halfwidth_ms"] <= 0.01 * truth
    assert (found["macs"], found["params"], found["target"]) == (network.macs, network.params, table.name)


@pytest.mark.parametrize("times", [0.8, 1.3])
def test_a_device_that_is_slower_today_is_held_against_itself(times: float, table: LatencyTable) -> None:
    space = load_space("nas-bench-macro")
    networks = [space.decode(genotype) for genotype in space.sample(3, np.random.default_rng(0))]
    truth = np.array([work_ns(make_probe(network.layers)) / 1e6 for network in networks])
    found = measure_networks(networks, table, slower(times), Said())
    assert found.drift_pct == pytest.approx(100 * (times - 1), abs=1)
    np.testing.assert_allclose(found.ms, truth, rtol=0.02)
    np.testing.assert_allclose(found.raw_ms, times * truth, rtol=0.02)
    assert (found.halfwidth_ms < 0.011 * truth).all()
    assert (found.p10_ms <= found.p90_ms).all()
    assert found.floor_pct < 2


def test_what_is_not_beyond_doubt_is_no_drift(table: LatencyTable) -> None:
    """Networks that each changed by some 30 %, to both sides: no pace of the device explains that."""
    space = load_space("nas-bench-macro")
    network = space.decode(space.sample(1, np.random.default_rng(0))[0])
    found = measure_networks([network], table, slower(1.0, deviation=0.3), Said())
    assert found.drift_pct == 0
    np.testing.assert_array_equal(found.ms, found.raw_ms)


def test_without_references_it_is_as_the_clock_had_it(table: LatencyTable) -> None:
    space = load_space("nas-bench-macro")
    network = space.decode(space.sample(1, np.random.default_rng(0))[0])
    bare = replace(table, header=table.header.model_copy(update={"references": []}))
    found = measure_networks([network], bare, slower(1.3), Said())
    assert found.drift_pct == 0
    assert found.ms[0] == pytest.approx(1.3 * work_ns(make_probe(network.layers)) / 1e6, rel=0.02)
    assert found.halfwidth_ms[0] > 0  # of one probe: what its sessions differ by is not taken for drift


def test_a_device_that_gives_up_is_told(table: LatencyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.profiler.rounds.PAUSE_S", 0.0)

    def act(number: int, sample: Sample) -> Sample:
        raise Fault("unplugged.")

    network = load_space("nas-bench-macro").decode(np.zeros(8, np.uint8))
    with pytest.raises(NasError, match="unplugged"):
        verify(network, table, Scripted(act), Said())


def test_another_device_is_refused_before_anything_is_measured(table: LatencyTable) -> None:
    check_device(table, Scripted())
    network = load_space("nas-bench-macro").decode(np.zeros(8, np.uint8))
    for change in ({"threads": 2}, {"runtime_version": "2"}, {"model": "another"}):
        device = Scripted()
        device.info = replace(device.info, **change)  # type: ignore[arg-type]
        with pytest.raises(TableError, match="this device is") as caught:
            verify(network, table, device, Said())
        assert caught.value.exit_code == 2
        assert device.plans == []
    device = Scripted()
    device.info = replace(device.info, memory_mb=1, system="other", governor="powersave")
    check_device(table, device)  # figures do not depend on those
    with pytest.raises(TableError, match="not measured by nas"):
        check_device(load_table("pixel-cpu"), Scripted())


def test_a_reference_that_is_missing_is_an_error(table: LatencyTable, tmp_path: Path) -> None:
    gone = replace(table, path=tmp_path)
    network = load_space("nas-bench-macro").decode(np.zeros(8, np.uint8))
    with pytest.raises(NasError, match=r"reference-0\.json"):
        verify(network, gone, Scripted(), Said())


def test_errors_by_hand() -> None:
    """10 % too high, 4 % too low, right, 20 % too low; one pair of six is in the wrong order."""
    measured = np.array([10.0, 25.0, 30.0, 31.0])
    error = error_of(np.array([11.0, 24.0, 30.0, 24.8]), measured, 0.5)
    assert error.count == 4
    assert error.mape_pct == pytest.approx((10 + 4 + 0 + 20) / 4)
    assert error.worst_pct == pytest.approx(20)
    assert (error.within_5_pct, error.floor_pct) == (50, 0.5)
    assert error.kendall_tau == pytest.approx((5 - 1) / 6)


def test_errors_of_one_network() -> None:
    error = error_of(np.array([1.1]), np.array([1.0]), float("nan"))
    assert (error.count, error.kendall_tau, error.floor_pct) == (1, None, None)
    assert error.mape_pct == error.worst_pct == pytest.approx(10)
    alike = error_of(np.array([1.0, 1.0]), np.array([1.0, 2.0]), 1.0)
    assert alike.kendall_tau is None  # no order among equals


def test_thirds_by_hand() -> None:
    """Ten networks, the fastest four 10 % too high; ends lie half-way between two."""
    measured = np.arange(1.0, 11.0)
    error = error_of(np.where(measured <= 4, 1.1 * measured, measured)[::-1], measured[::-1], 0.5, 2.0)
    assert [third.count for third in error.thirds] == [4, 3, 3]
    assert [third.up_to_ms for third in error.thirds] == [pytest.approx((4.4 + 5) / 2), 7.5, None]
    assert [third.mape_pct for third in error.thirds] == pytest.approx([10, 0, 0])
    assert [error.worst_at(ms) for ms in (0.1, 4.7, 4.8, 99.0)] == pytest.approx([10, 10, 0, 0])
    few = error_of(measured[:8], measured[:8], 0.5)
    assert few.thirds == []
    assert few.worst_at(1.0) == few.worst_pct


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"floor_pct": 3.4}, "halves of the measurement differ by 3.4 %"),
        ({"floor_pct": 3.4, "drift_pct": 22.4}, "halves of the measurement differ by 3.4 %, its pace changed by 22 %"),
        ({"drift_pct": 100.0}, None),  # which is taken out
        ({"mape_pct": 9.0}, "whole networks are 9.0 % off, where halves of the measurement differ by 0.5 %"),
        ({"third": 7.0}, "a third of the whole networks is 7.0 % off"),
        ({"mape_pct": 9.0, "floor_pct": None}, None),  # of another's table: nothing is known of its noise
    ],
)
def test_what_is_too_noisy(changes: dict[str, Any], why: str | None) -> None:
    measured = np.arange(1.0, 11.0)
    error = error_of(1.02 * measured, measured, 0.5, 2.0)
    third = error.thirds[0].model_copy(update={"mape_pct": changes.pop("third", 2.0)})
    found = error.model_copy(update={**changes, "thirds": [third, *error.thirds[1:]]}).noise
    assert found == why or (found and why and why in found)

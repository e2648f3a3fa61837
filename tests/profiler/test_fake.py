"""The fake device: computed times, the same again, and honest about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted import small_chains

from nas.blocks.layer import Layer
from nas.devices.device import DeviceInfo, Plan, Sample
from nas.devices.fake import NS_PER_MAC, NS_PER_NODE, NS_PER_VALUE, Fake, work_ns
from nas.profiler.probe import INPUT_SLICE, make_probe
from nas.space.load import load_space


def plan(seed: int = 1, groups: int = 2) -> Plan:
    probes = tuple(make_probe(chain) for chain in small_chains(3))
    return Plan((probes,) * groups, Path("weights.bin"), 3, 4, seed, INPUT_SLICE)


def test_work_by_hand() -> None:
    """4 channels to 2, kernel 3, 8 x 8: a convolution, a normalisation and an activation, 128 values each."""
    work = work_ns(make_probe(small_chains(2)[1]))
    assert work == pytest.approx(3 * (NS_PER_NODE + NS_PER_VALUE * 128) + NS_PER_MAC * 128 * 9 * 4)
    head = Layer(kind="head", in_channels=8, out_channels=10, mid_channels=16, height=7, width=7)
    values = 3 * 16 * 49 + 16 + 16 + 10  # pointwise, normalised, activated; pooled, flattened, classified
    macs = 8 * 16 * 49 + 16 * 10
    assert work_ns(make_probe((head,))) == pytest.approx(6 * NS_PER_NODE + NS_PER_VALUE * values + NS_PER_MAC * macs)


def test_a_network_is_the_sum_of_its_layers() -> None:
    space = load_space("mobile")
    network = space.decode(space.sample(1, np.random.default_rng(0))[0])
    alone = sum(work_ns(make_probe((layer,))) for layer in network.layers)
    assert work_ns(make_probe(network.layers)) == pytest.approx(alone)


def test_equal_plans_give_equal_samples() -> None:
    samples = list(Fake().measure(plan()))
    assert list(Fake().measure(plan())) == samples
    others = list(Fake().measure(plan(seed=2)))
    assert {sample.session for sample in samples}.isdisjoint(sample.session for sample in others)
    assert all(mine.ns != other.ns for mine, other in zip(samples, others, strict=True))


def test_samples_are_those_of_a_device() -> None:
    job = plan()
    probes = {probe.name: probe for group in job.groups for probe in group}
    samples = list(Fake().measure(job))
    assert len(samples) == 2 * 3 * 3
    assert [Sample.read(sample.to_json(), probes) for sample in samples] == samples
    assert len({sample.session for sample in samples}) == 2 * 3
    assert {sample.slice for sample in samples} == set(range(2 * 3))
    assert {len(sample.ns) for sample in samples} == {4}
    for sample in samples:
        assert min(sample.ns) == pytest.approx(work_ns(probes[sample.probe]), rel=0.06)


def test_it_says_what_it_is() -> None:
    info = Fake().info
    assert info.emulated
    assert "not measured" in info.model
    assert DeviceInfo.read(info.to_json()) == info
    assert info.fingerprint != replace(info, threads=2).fingerprint

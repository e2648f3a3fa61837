"""Spaces of thousands of layers: a part is measured, the rest is filled in, and the table says how well."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from scripted import Scripted
from tellers import Said

from nas.blocks.layer import Layer, shared_layer
from nas.devices.device import Plan, Remark, Sample
from nas.devices.fake import SPREAD
from nas.profiler.design import ALONE, MOST, described, designed
from nas.profiler.networks import ranged
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.profiler.survey import CALIBRATING_MANY, CHECKING, Survey
from nas.space import Decision, Slot, Space
from nas.tables.table import LatencyTable, load_table

LOOSE = Effort(precision_pct=10.0, seconds=1e6)


def wide(name: str = "wide", most: int = 12) -> Space:
    """Six stages of which every width may be any multiple of 8: some thousand layers."""
    widths = tuple(range(8, 8 * most + 1, 8))
    decisions = [Decision(f"stage{stage}.width", widths) for stage in range(7)]
    decisions += [Decision(f"stage{stage}.mid", tuple(4 * width for width in widths[1::3])) for stage in range(1, 7)]

    def stem(width: int) -> tuple[Layer, ...]:
        return (shared_layer(kind="conv", in_channels=3, out_channels=width, kernel=3, stride=2, height=64, width=64),)

    def block(stage: int, before: int, width: int, mid: int) -> tuple[Layer, ...]:
        size = 32 >> (stage - 1) // 2
        settings = {"kernel": 3, "stride": 2 - stage % 2, "height": size, "width": size, "activation": "relu6"}
        return (shared_layer(kind="mbconv", in_channels=before, out_channels=width, mid_channels=mid, **settings),)

    def head(width: int) -> tuple[Layer, ...]:
        return (shared_layer(kind="head", in_channels=width, out_channels=10, mid_channels=128, height=4, width=4),)

    slots = [Slot("stem", (0,), stem)]
    for stage in range(1, 7):
        slots.append(Slot(f"stage{stage}", (stage - 1, stage, 6 + stage), lambda *o, stage=stage: block(stage, *o)))
    slots.append(Slot("head", (6,), head))
    largest = {decision.name: decision.options[-1] for decision in decisions}
    return Space(name, tuple(decisions), tuple(slots), {"whole": largest})


@pytest.fixture(scope="module")
def space() -> Space:
    return wide()


def stepped_ms(layer: Layer, inside: bool) -> float:
    """A processor of 16 lanes and a cache: padded widths, and weights that are slower once they leave it; inside a
    network all of it is, by a share that changes with what the layer is."""
    lanes = [16 * ceil(width / 16) for width in (layer.in_channels, layer.mid_channels or 16, layer.out_channels)]
    area = layer.output[-1] ** 2 if len(layer.output) > 1 else layer.height**2
    work = area * (lanes[0] * lanes[1] + lanes[1] * lanes[2] + 20 * lanes[1])
    bytes_ = 4 * layer.params
    slow = 1 + 0.6 / (1 + np.exp(-(bytes_ - 60_000) / 20_000))
    cold = 0.05 + 0.25 * min(1.0, bytes_ / 200_000) + (0.05 if layer.out_channels % 16 else 0.0)
    return float((2e-3 + 3e-8 * work * slow + 1e-6 * area * lanes[2]) * (1 + inside * cold))


class Stepped(Scripted):
    """A device on which a layer takes `stepped_ms`, alone or inside a network."""

    def __init__(self, chains: dict[str, tuple[Layer, ...]]) -> None:
        super().__init__()
        self.chains = chains

    def measure(self, plan: Plan) -> Iterator[Sample | Remark]:
        self.plans.append(plan)
        rng = np.random.default_rng(plan.seed)
        for number, group in enumerate(plan.groups):
            for probe in group:
                chain = self.chains[probe.name]
                ms = sum(stepped_ms(layer, len(chain) > 1) for layer in chain) * (1 + SPREAD * rng.normal())
                for turn in range(2):
                    runs = tuple(1e6 * ms * (1 + SPREAD / 4 * rng.random()) for _ in range(plan.runs))
                    yield Sample(probe.name, f"{rng.integers(1 << 60):016x}", number * 2 + turn, 0.0, 1, runs, 1.0)


@pytest.fixture(scope="module")
def profiled(space: Space, tmp_path_factory: pytest.TempPathFactory) -> tuple[LatencyTable, Stepped]:
    device = Stepped(Survey.of(space).workload.chains)
    return profile(space, "fake", device, tmp_path_factory.mktemp("wide") / "table", LOOSE, Said()), device


def test_a_part_is_measured_and_networks_are_right(space: Space, profiled: tuple[LatencyTable, Stepped]) -> None:
    table, device = profiled
    layers = list(space.layers())
    assert len(layers) > 10 * MOST
    asked = {probe.name for plan in device.plans for group in plan.groups for probe in group}
    assert len(asked) == ALONE + CALIBRATING_MANY + CHECKING
    rng = np.random.default_rng(9)
    for networks in (ranged(space, 60, rng), [space.decode(genotype) for genotype in space.sample(60, rng)]):
        estimated = np.array([table.estimate(network).latency_ms for network in networks])
        true = np.array([sum(stepped_ms(layer, True) for layer in network.layers) for network in networks])
        off = np.abs(estimated / true - 1)
        assert off.mean() < 0.015  # sessions vary by 1 %
        assert off.max() < 0.05


def test_what_is_filled_in_says_so(space: Space, profiled: tuple[LatencyTable, Stepped]) -> None:
    table, _ = profiled
    rows = {row.layer: row for row in table.rows()}
    assert list(rows) == list(space.layers())
    assert not table.without_row(space.layers())
    measured = [row for row in rows.values() if row.provenance == "simulated"]
    filled = [row for row in rows.values() if row.provenance == "interpolated"]
    assert len(measured) == ALONE
    assert len(filled) == len(rows) - ALONE
    assert {row.samples for row in filled} == {0}
    assert min(row.samples for row in measured) >= 3
    off = np.array([row.latency_ms / stepped_ms(row.layer, True) - 1 for row in filled])
    assert np.abs(off).mean() < 0.05
    spread = np.array([row.spread_ms / row.latency_ms for row in filled])
    assert (np.abs(off) <= spread).mean() > 0.7
    header = table.header
    assert header.error.networks is not None
    assert header.error.networks.count == CHECKING
    assert header.error.networks.mape_pct < 2
    assert header.error.leave_one_out["mean_pct"] < 5
    assert header.error.band_pct.interpolated >= header.error.networks.worst_pct
    assert header.calibration.startswith(f"{ALONE} of {len(rows):,} blocks alone, filled in and corrected by 100")
    network = space.decode(space.sample(1, np.random.default_rng(0))[0])
    assert table.estimate(network).coverage["interpolated"] > 0.5


def test_the_same_command_measures_nothing_more(space: Space, profiled: tuple[LatencyTable, Stepped]) -> None:
    table, device = profiled
    asked = len(device.plans)
    assert profile(space, "fake", device, table.path, LOOSE, Said()).fingerprint == table.fingerprint
    assert len(device.plans) == asked


def test_the_design_has_references_and_both_ends_of_every_slot(space: Space) -> None:
    layers = space.layers()
    chosen = designed(space, layers)
    assert len(set(chosen)) == len(chosen) == ALONE
    assert chosen == designed(wide(), wide().layers())
    whole = space.decode(space.encode([space.references["whole"]])[0])
    assert set(whole.layers) <= set(chosen)
    for candidates in space.candidates:
        ranked = sorted((chain[0] for chain in candidates.chains), key=lambda layer: layer.macs)
        assert {ranked[0].macs, ranked[-1].macs} <= {layer.macs for layer in chosen}
        share = sum(chain[0] in set(chosen) for chain in candidates.chains)
        assert share >= min(len(candidates.chains), ALONE // len(space.candidates) // 2)
    assert Survey.of(space).calibrating[0] == whole


def test_the_design_is_nearer_to_all_than_chance(space: Space) -> None:
    layers, places = space.layers(), described(space.layers())
    index = {layer: number for number, layer in enumerate(layers)}

    def farthest(part: list[int]) -> float:
        return float(max(((places[part] - place) ** 2).sum(axis=1).min() for place in places[::7]))

    drawn = list(np.random.default_rng(0).choice(len(layers), ALONE, replace=False))
    assert farthest([index[layer] for layer in designed(space, layers)]) < farthest(drawn)


def test_networks_are_of_all_sizes(space: Space) -> None:
    rng = np.random.default_rng(0)
    macs = np.array([network.macs for network in ranged(space, 60, rng)])
    uniform = np.array([space.decode(genotype).macs for genotype in space.sample(60, rng)])
    assert len(macs) == 60
    assert macs.min() < uniform.min() / 2
    assert macs.max() > 1.3 * uniform.max()
    assert len(ranged(Space("one", (), (Slot("only", (), lambda: space.slots[0].layers(8)),)), 5, rng)) == 1


def test_a_space_beside_it_keeps_the_rows(space: Space, profiled: tuple[LatencyTable, Stepped], tmp_path: Path) -> None:
    """A small space in the same folder has its layers measured, and what was filled in keeps its band."""
    few = Space("mine 1.0 (ü)-elastic-96px", (Decision("a", (8, 96)),), (Slot("stem", (0,), space.slots[0].layers),))
    table, _ = profiled
    folder = tmp_path / "table"
    shutil.copytree(table.path, folder)
    device = Stepped(Survey.of(few).workload.chains | Survey.of(space).workload.chains)
    grown = profile(few, "fake", device, folder, LOOSE, Said())
    assert {row.layer: row for row in grown.rows()} == {row.layer: row for row in table.rows()}
    assert grown.header.error.band_pct.interpolated >= table.header.error.band_pct.interpolated
    assert grown.checked_on(space) == table.checked_on(space)
    assert grown.checked_by_name("mine 1.0 (ü)-elastic-96px") == load_table(folder).checked_on(few)
    assert grown.checked_on(few)

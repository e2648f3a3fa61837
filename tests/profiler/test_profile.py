"""profile(): from a space and a device to a table that says how true it is; and once for real, on this machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import yaml
from scripted import Scripted
from tellers import Said

from nas.blocks.layer import KEY_COLUMNS
from nas.devices.device import Fault, Sample
from nas.devices.fake import work_ns
from nas.errors import Interrupted, NasError, TableError
from nas.profiler.bench import attached
from nas.profiler.probe import make_probe
from nas.profiler.profile import profile
from nas.profiler.rounds import LEAST_SESSIONS, PASSES, Effort, Workload
from nas.profiler.samples import Samples, read_samples
from nas.profiler.survey import CALIBRATING, CHECKING, REFERENCES, Survey
from nas.profiler.verify import check_device, verify
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.places import own_tables_folder
from nas.tables.references import read_references
from nas.tables.table import LatencyTable, load_table

LOOSE = Effort(precision_pct=10.0, seconds=1e6)
"""Satisfied by the first sessions."""


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own tables, none."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = own_tables_folder()
    assert tmp_path in folder.parents
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Space]:
    """A space of small pictures, of these kernels in its second stage; measured in sessions of two slices."""
    monkeypatch.setattr("nas.profiler.rounds.PASSES", 2)

    def make(name: str = "small", kernels: tuple[int, ...] = (3, 5)) -> Space:
        stage1 = {"name": "stage1", "block": "mbconv", "width": 16, "stride": 1, "depth": {"choice": [1, 2]}}
        stage2 = {"name": "stage2", "block": "mbconv", "width": 32, "stride": 2, "depth": {"choice": [1, 2]}}
        document = {
            "format": "nas-space/1",
            "name": name,
            "source": "this test",
            "input": {"resolution": 32},
            "num_classes": 10,
            "activation": "relu",
            "stages": [
                {"name": "stem", "block": "conv", "width": 16, "stride": 1, "kernel": 3},
                stage1 | {"kernel": {"choice": [3, 5]}, "expansion": {"choice": [1, 6]}},
                stage2 | {"kernel": {"choice": list(kernels)}, "expansion": {"choice": [2, 6]}, "se": 0.25},
            ],
            "head": {"width": 128},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        return load_space(path)

    return make


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> tuple[LatencyTable, Scripted, Said]:
    """`mobile` on a device whose times are computed."""
    device, teller = Scripted(), Said()
    folder = tmp_path_factory.mktemp("tables") / "fake-mobile"
    return profile(load_space("mobile"), "fake", device, folder, Effort(1.0, 1e6), teller), device, teller


def content(folder: Path) -> dict[str, str]:
    """Every file of a folder and its hash."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def sessions(folder: Path) -> Counter[str]:
    """How many sessions of each probe are on disk."""
    taken = {(sample.probe, sample.session) for _, sample in read_samples(folder / "samples.jsonl")[0]}
    return Counter(probe for probe, _ in taken)


def anchors(space: Space) -> set[str]:
    """Probes that stand in every group of a profile, whether they are wanted or not."""
    networks = [*Survey.of(space).calibrating, *Survey.of(space).checking]
    return set(Workload([(layer,) for layer in space.layers()] + [network.layers for network in networks]).anchors())


def test_every_layer_has_a_row_near_its_computed_time(mobile: tuple[LatencyTable, Scripted, Said]) -> None:
    table, _, teller = mobile
    layers = [layer for layer in load_space("mobile").layers() if list(layer.graph.ops())]
    rows = {row.layer: row for row in table.rows()}
    assert list(rows) == layers
    assert len(layers) == 170
    assert {row.provenance for row in rows.values()} == {"simulated"}
    assert min(row.samples for row in rows.values()) >= 3 * LEAST_SESSIONS
    computed = np.array([work_ns(make_probe((layer,))) / 1e6 for layer in layers])
    off = np.array([rows[layer].latency_ms for layer in layers]) / computed - 1
    assert np.abs(off).max() < 0.1  # of small layers, by what the fit may think that a call costs
    assert np.abs(off).mean() < 0.02
    assert np.average(np.abs(off), weights=computed) < 0.01  # sessions vary by 1 %, and there are a few
    spread = np.array([rows[layer].spread_ms for layer in layers])
    assert (np.abs(off) * computed <= spread).mean() > 0.95
    assert np.median(spread / computed) < 0.2
    assert "this device is emulated: its times mean nothing" in teller.lines


def test_the_header_says_how_true_it_is(mobile: tuple[LatencyTable, Scripted, Said]) -> None:
    table, device, _ = mobile
    header = table.header
    assert (header.name, header.target, header.space) == ("fake-mobile", "fake", "mobile")
    assert header.device.fingerprint == device.info.fingerprint
    assert header.device.emulated
    assert header.key_columns == list(KEY_COLUMNS)
    error = header.error.networks
    assert error is not None
    assert error.count == CHECKING
    assert error.mape_pct < 2
    assert error.worst_pct < 4
    assert error.kendall_tau is not None
    assert error.kendall_tau > 0.9
    assert error.floor_pct is not None
    assert 0.1 < error.floor_pct < 1.5  # halves of a few sessions that vary by 1 %
    assert header.error.band_pct.simulated == pytest.approx(max(error.worst_pct, 0.1))
    assert [third.count for third in error.thirds] == [7, 7, 6]
    assert max(third.worst_pct for third in error.thirds) == error.worst_pct
    ends = [third.up_to_ms for third in error.thirds]
    assert ends[1] > 1.5 * ends[0]  # networks of the whole range, as bounds lie anywhere
    assert error.noise is None


def test_networks_are_the_sums_of_their_rows(mobile: tuple[LatencyTable, Scripted, Said]) -> None:
    table = mobile[0]
    again, space = load_table(table.path), load_space("mobile")
    rows = {row.layer: row.latency_ms for row in again.rows()}
    for genotype in space.sample(5, np.random.default_rng(11)):
        network = space.decode(genotype)
        found = again.estimate(network)
        assert found.latency_ms == pytest.approx(sum(rows[layer] for layer in network.layers))
        assert found.latency_ms == pytest.approx(work_ns(make_probe(network.layers)) / 1e6, rel=0.02)
        assert found.coverage == {"measured": 0, "derived": 0, "simulated": pytest.approx(1), "interpolated": 0}
        error = again.header.error.networks
        assert error is not None
        assert found.error_pct == pytest.approx(error.worst_at(found.latency_ms))


def test_references_are_read_back(mobile: tuple[LatencyTable, Scripted, Said]) -> None:
    table = mobile[0]
    references = read_references(table.path, table.header.references)
    assert references.networks == Survey.of(load_space("mobile")).checking[:REFERENCES]
    computed = [work_ns(make_probe(network.layers)) / 1e6 for network in references.networks]
    np.testing.assert_allclose(references.ms, computed, rtol=0.02)
    relative = np.array(references.deviation_ms) / references.ms
    assert (relative > 0).all()
    assert relative.max() < 0.02


def test_a_second_run_measures_nothing(mobile: tuple[LatencyTable, Scripted, Said]) -> None:
    table, device, _ = mobile
    before, asked = content(table.path), len(device.plans)
    again = profile(load_space("mobile"), "fake", device, table.path, Effort(1.0, 1e6), Said())
    assert len(device.plans) == asked
    assert content(table.path) == before
    assert again.fingerprint == table.fingerprint


def test_a_table_that_a_crash_left_half_written_is_written_again(small: Callable[..., Space], tmp_path: Path) -> None:
    folder, again = tmp_path / "table", Scripted()
    table = profile(small(), "fake", Scripted(), folder, LOOSE, Said())
    whole = content(folder)
    (folder / "table.csv").write_bytes((folder / "table.csv").read_bytes()[:-10])
    with pytest.raises(TableError):
        load_table(folder)
    assert profile(small(), "fake", again, folder, LOOSE, Said()).fingerprint == table.fingerprint
    assert again.plans == []
    assert content(folder) == whole


def test_surer_it_measures_on(small: Callable[..., Space], tmp_path: Path) -> None:
    device, folder = Scripted(), tmp_path / "table"
    profile(small(), "fake", device, folder, LOOSE, Said())
    had, before = sum(sessions(folder).values()), device.given.copy()
    table = profile(small(), "fake", device, folder, Effort(0.5, 1e6), Said())
    assert sum(sessions(folder).values()) > 2 * had
    assert [sample for _, sample in read_samples(folder / "samples.jsonl")[0]] == device.given
    assert device.given[: len(before)] == before
    assert "; 7 sessions" not in table.header.estimator


@pytest.mark.parametrize("stopped_at", [1, 130, 250])
def test_killed_half_way_only_the_rest_is_measured(
    stopped_at: int, small: Callable[..., Space], tmp_path: Path
) -> None:
    def stop(number: int, sample: Sample) -> Sample:
        if number == stopped_at:
            raise KeyboardInterrupt
        return sample

    folder, killed, device = tmp_path / "table", Scripted(stop), Scripted()
    with pytest.raises(Interrupted, match=f"{stopped_at - 1} samples were taken"):
        profile(small(), "fake", killed, folder, LOOSE, Said())
    assert not (folder / "table.yaml").exists()
    had = sessions(folder)
    profile(small(), "fake", device, folder, LOOSE, Said())
    assert [sample for _, sample in read_samples(folder / "samples.jsonl")[0]] == killed.given + device.given
    asked = Counter(probe.name for plan in device.plans for group in plan.groups for probe in group)
    others = sessions(folder).keys() - anchors(small())
    assert len(others) > 30
    assert {make_probe((layer,)).name for layer in small().layers()} <= sessions(folder).keys()
    assert {sessions(folder)[name] for name in others} == {LEAST_SESSIONS}
    assert all(asked[name] == LEAST_SESSIONS - had[name] for name in others)


def test_faults_cost_nothing_that_was_measured(small: Callable[..., Space], tmp_path: Path) -> None:
    def act(number: int, sample: Sample) -> Sample:
        if number in (60, 150):
            raise Fault("unplugged.")
        return replace(sample, checksum=9.0) if number == 250 else sample

    folder, device, teller = tmp_path / "table", Scripted(act), Said()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.profiler.rounds.PAUSE_S", 0.0)
        table = profile(small(), "fake", device, folder, LOOSE, teller)
    faults = [line for line in teller.lines if line.startswith("fault 1: ")]
    assert ["unplugged" in line for line in faults] == [True, True, False]
    kept = [sample for _, sample in read_samples(folder / "samples.jsonl")[0]]
    assert kept == [sample for sample in device.given if sample.checksum == 1.0]
    assert len(list(table.rows())) == len([layer for layer in small().layers() if list(layer.graph.ops())])


def test_a_folder_of_something_else_is_refused_and_left_alone(small: Callable[..., Space], tmp_path: Path) -> None:
    folder = tmp_path / "table"
    profile(small(), "fake", Scripted(), folder, LOOSE, Said())
    before = content(folder)
    other = Scripted()
    other.info = replace(other.info, runtime_version="2")
    for space, target, device, what in (
        (small(), "cpu", Scripted(), "target"),
        (small(), "fake", other, "device or runtime"),
    ):
        with pytest.raises(NasError, match=f"holds a table of another {what}.*--out") as caught:
            profile(space, target, device, folder, LOOSE, Said())
        assert caught.value.exit_code == 2
        assert device.plans == []
        assert content(folder) == before
    again = Scripted()
    profile(small("renamed"), "fake", again, folder, LOOSE, Said())  # means the same
    assert again.plans == []
    assert content(folder) == before


@pytest.mark.parametrize("name", ["2nd-table", "table.v2", "a" * 65, "täble", "with space"])
def test_a_folder_that_cannot_name_a_table_is_refused_before_anything_is_measured(
    name: str, small: Callable[..., Space], tmp_path: Path
) -> None:
    device = Scripted()
    with pytest.raises(TableError, match="named by a letter"):
        profile(small(), "fake", device, tmp_path / name, LOOSE, Said())
    assert device.plans == []
    assert not (tmp_path / name).exists()


def test_what_is_there_already_is_refused(small: Callable[..., Space], tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "profile.json").write_text("[]")
    device = Scripted()
    for name, rule in (("notes", "new or empty folder"), ("file", "new or empty folder"), ("begun", "another target")):
        with pytest.raises(TableError, match=rule):
            profile(small(), "fake", device, tmp_path / name, LOOSE, Said())
    assert device.plans == []
    assert (tmp_path / "notes" / "diary.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    profile(small(), "fake", device, tmp_path / "empty", LOOSE, Said())
    assert (tmp_path / "empty" / "table.csv").is_file()


def test_a_governor_is_told(small: Callable[..., Space], tmp_path: Path) -> None:
    for governor, told in (("powersave", 1), ("performance", 0), (None, 0)):
        device, teller = Scripted(), Said()
        device.info = replace(device.info, governor=governor)
        profile(small(), "fake", device, tmp_path / f"table-{governor}", LOOSE, teller)
        assert sum("governor is powersave" in line for line in teller.lines) == told


def test_samples_of_another_table_of_the_device_are_taken_over(small: Callable[..., Space], tables: Path) -> None:
    first, wider = small("first"), small("wider", (3, 5, 7))
    theirs = Scripted(lambda number, sample: replace(sample, at_s=1_000.0 + number))
    profile(first, "fake", theirs, tables / "fake-first", LOOSE, Said())
    before = content(tables / "fake-first")
    device = Scripted()
    table = profile(wider, "fake", device, tables / "fake-wider", replace(LOOSE, seconds=100.0), Said())
    assert content(tables / "fake-first") == before
    shared = sessions(tables / "fake-first").keys() & {make_probe((layer,)).name for layer in wider.layers()}
    assert len(shared) >= 12
    asked = {probe.name for plan in device.plans for group in plan.groups for probe in group}
    assert len(shared - anchors(wider)) >= 8
    assert not asked & (shared - anchors(wider))
    assert {row.layer for row in table.rows()} == {layer for layer in wider.layers() if list(layer.graph.ops())}
    kept = sessions(tables / "fake-wider")
    assert all(kept[name] >= sessions(tables / "fake-first")[name] for name in shared)
    again = Scripted()
    profile(wider, "fake", again, tables / "fake-wider", replace(LOOSE, seconds=100.0), Said())
    assert again.plans == []


def test_nothing_is_taken_over_from_strangers(small: Callable[..., Space], tables: Path, tmp_path: Path) -> None:
    stranger = Scripted()
    stranger.info = replace(stranger.info, threads=2)
    profile(small(), "fake", stranger, tables / "stranger", LOOSE, Said())
    profile(small(), "fake", Scripted(), tables / "broken", LOOSE, Said())
    (tables / "broken" / "samples.jsonl").write_text("garbage\n")
    profile(small(), "fake", Scripted(), tables / "begun", LOOSE, Said())
    (tables / "begun" / "samples.jsonl").unlink()
    for name, text in (("list", "[]"), ("garbage", "{")):
        (tables / name).mkdir()
        (tables / name / "profile.json").write_text(text)
    before = {name: content(tables / name) for name in ("stranger", "broken", "begun", "list", "garbage")}
    device = Scripted()
    profile(small(), "fake", device, tables / "mine", LOOSE, Said())
    assert set(sessions(tables / "mine").values()) >= {LEAST_SESSIONS}
    assert [sample for _, sample in read_samples(tables / "mine" / "samples.jsonl")[0]] == device.given
    assert {name: content(tables / name) for name in before} == before
    elsewhere = Scripted()  # a table that is not among the user's own stands for itself
    profile(small(), "fake", elsewhere, tmp_path / "elsewhere", LOOSE, Said())
    assert [sample for _, sample in read_samples(tmp_path / "elsewhere" / "samples.jsonl")[0]] == elsewhere.given


def test_a_table_that_is_being_measured_is_read_and_left_alone(small: Callable[..., Space], tables: Path) -> None:
    profile(small(), "fake", Scripted(), tables / "first", LOOSE, Said())
    at_work = Samples(tables / "first" / "samples.jsonl")  # as another process has it
    device = Scripted()
    profile(small(), "fake", device, tables / "second", LOOSE, Said())
    assert device.plans == []
    with pytest.raises(TableError, match="another process"):
        profile(small(), "fake", device, tables / "first", LOOSE, Said())
    at_work.close()


def test_a_space_of_one_network(tmp_path: Path) -> None:
    """Nothing to choose: one network calibrates and checks."""
    path = tmp_path / "one.yaml"
    path.write_text(
        "format: nas-space/1\nname: one\nsource: this test\ninput: {resolution: 32}\nnum_classes: 10\n"
        "activation: relu\nstages:\n  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}\nhead: {width: 32}\n"
    )
    table = profile(load_space(path), "fake", Scripted(), tmp_path / "table", LOOSE, Said())
    assert len(list(table.rows())) == 2
    assert table.header.error.networks is not None
    assert table.header.error.networks.count == 1
    assert table.header.error.networks.kendall_tau is None


def test_this_machine_for_real(small: Callable[..., Space], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's times: of the right order, and of whole networks as of their layers."""
    space, folder = small(), tmp_path / "cpu-small"
    monkeypatch.setattr("nas.profiler.rounds.PASSES", PASSES)
    monkeypatch.setattr("nas.profiler.verify.SECONDS", 2.0)
    with attached("cpu") as device:
        table = profile(space, "cpu", device, folder, Effort(precision_pct=5.0, seconds=3.0), Said())
        count = len(read_samples(folder / "samples.jsonl")[0])
        again = profile(space, "cpu", device, folder, Effort(precision_pct=5.0, seconds=3.0), Said())
        assert len(read_samples(folder / "samples.jsonl")[0]) == count
        assert again.fingerprint == table.fingerprint
        network = space.decode(space.sample(1, np.random.default_rng(2))[0])
        result = verify(network, table, device, Said())
    rows = list(table.rows())
    assert {row.provenance for row in rows} == {"measured"}
    assert len(rows) == len(space.layers())
    work = np.array([row.layer.macs for row in rows])
    ms = np.array([row.latency_ms for row in rows])
    assert (ms > 0).all()
    assert np.corrcoef(np.log(work), np.log(ms))[0, 1] > 0.6
    light, heavy = work <= np.quantile(work, 0.25), work >= np.quantile(work, 0.75)
    assert np.median(ms[heavy]) > 2 * np.median(ms[light])
    assert work.sum() / ms.sum() / 1e6 < 1_000  # GMAC/s of one core
    assert result["latency_ms"] == pytest.approx(sum(table.lookup(network.layers).ms))
    assert abs(result["error_pct"]) < 30
    assert result["measured_p10_ms"] <= result["measured_p90_ms"]
    with attached("cpu:2t") as two, pytest.raises(TableError, match=r"2 thread\(s\)"):
        check_device(table, two)
    document = json.loads((folder / "profile.json").read_text())
    assert document["device"] == table.header.device.fingerprint


def test_counts_of_networks() -> None:
    assert (CALIBRATING, CHECKING, REFERENCES) == (40, 20, 8)  # docs and the issue name them

"""What is written is read back exactly, and no reader takes rows for those of another header."""

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nas.tables.write
from nas.blocks import Layer
from nas.cli.screen import estimate_summary, search_summary
from nas.cli.screen_tables import table_summary, tables_summary
from nas.errors import TableError
from nas.runs.result import Result
from nas.system.places import shipped_folder
from nas.tables.header import TableHeader
from nas.tables.listing import entry
from nas.tables.rows import PROVENANCES
from nas.tables.table import LatencyTable, Row, load_table
from nas.tables.write import write_table

PIXEL = shipped_folder("latency_tables") / "pixel-cpu"
LINES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]).filter(str.isprintable), max_size=300)
FIGURES = st.tuples(
    st.floats(0, 1e9, exclude_max=True),
    st.floats(0, 1e9, exclude_max=True),
    st.integers(0, 2**53),
    st.sampled_from(PROVENANCES),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_is_read_back_exactly(
    tmp_path: Path, header: Callable[..., TableHeader], layers: tuple[Layer, ...], data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(layers), unique=True, max_size=8))
    rows = [Row(layer, *data.draw(FIGURES)) for layer in chosen]
    made = header(
        source=data.draw(LINES),
        calibration=data.draw(LINES),
        date=data.draw(st.dates() | st.sampled_from(["2025-03-01", "yes", "1e3", "", "~"])),
        resolution=data.draw(st.none() | st.just(224)),
    )
    written = write_table(tmp_path / "table", made, rows)
    read = load_table(tmp_path / "table")
    assert list(read.rows()) == list(written.rows()) == rows
    assert read.fingerprint == written.fingerprint
    assert read.header == made.model_copy(update={"rows_sha256": read.header.rows_sha256})
    assert sorted(path.name for path in (tmp_path / "table").iterdir()) == ["table.csv", "table.yaml"]


def test_numpys_floats_are_written_by_their_value(
    tmp_path: Path, header: Callable[..., TableHeader], layers: tuple[Layer, ...]
) -> None:
    row = Row(layers[0], np.float64(1) / 3, np.float64(1e-7), int(np.int64(9)), "measured")
    write_table(tmp_path, header(), [row])
    assert list(load_table(tmp_path).rows()) == [row]


def test_a_table_written_before_there_were_hashes_still_loads_and_can_be_written_elsewhere(tmp_path: Path) -> None:
    old = load_table(PIXEL)
    assert old.header.rows_sha256 is None
    new = write_table(tmp_path / "copy", old.header, old.rows())
    assert list(load_table(tmp_path / "copy").rows()) == list(old.rows())
    assert new.model == old.model
    assert new.header.error == old.header.error


def test_after_a_crash_between_the_two_files_nothing_is_mixed(
    tmp_path: Path, board: Callable[..., LatencyTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    board("table", {1: (1.0, 0.1, 9)})
    write = nas.tables.write.write_atomic

    def full(path: Path, data: str | bytes) -> None:
        if path.name == "table.yaml":
            raise OSError(28, "No space left on device")
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(nas.tables.write, "write_atomic", full)
        with pytest.raises(OSError, match="space"):
            board("table", {1: (2.0, 0.1, 9)})
    with pytest.raises(TableError, match=r"not the one that table\.yaml was written with"):
        load_table(tmp_path / "table")
    board("table", {1: (2.0, 0.1, 9)})
    assert load_table(tmp_path / "table").latency_ms.tolist() == [2.0]


def test_a_reader_beside_a_writer_sees_one_table_or_the_other_or_an_error(
    tmp_path: Path, board: Callable[..., LatencyTable]
) -> None:
    def write(number: int) -> None:  # header and rows tell the same number
        board("table", dict.fromkeys(range(20), (number, 0.1, 9)), source=str(number))

    def write_all() -> None:
        for number in range(1, 60):
            write(number)
        done.set()

    done = threading.Event()
    write(0)
    writer = threading.Thread(target=write_all)
    writer.start()
    seen, refusals = set(), []
    while not done.is_set():
        try:
            table = load_table(tmp_path / "table")
        except TableError as problem:
            refusals.append(str(problem))
            continue
        assert set(table.latency_ms) == {float(table.header.source)}
        seen.add(table.header.source)
    writer.join()
    assert len(seen) > 1
    assert all("not the one that table.yaml was written with" in message for message in refusals)


@pytest.mark.parametrize(
    ("figures", "part"),
    [
        ((float("nan"), 0.1, 9, "measured"), "latency_ms"),
        ((-1.0, 0.1, 9, "measured"), "latency_ms"),
        ((1.0, float("inf"), 9, "measured"), "spread_ms"),
        ((1.0, 0.1, -1, "measured"), "samples"),
        ((1.0, 0.1, 9, "guessed"), "provenance"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    tmp_path: Path,
    header: Callable[..., TableHeader],
    layers: tuple[Layer, ...],
    figures: tuple[float, float, int, str],
    part: str,
) -> None:
    with pytest.raises(TableError, match=part):
        write_table(tmp_path / "table", header(), [Row(layers[0], *figures)])
    assert not (tmp_path / "table").exists()


def test_a_layer_has_one_row(tmp_path: Path, header: Callable[..., TableHeader], layers: tuple[Layer, ...]) -> None:
    with pytest.raises(TableError, match="repeats line 2"):
        write_table(tmp_path / "table", header(), [Row(layers[0], 1.0, 0.1, 9, "measured")] * 2)
    assert not (tmp_path / "table").exists()


def test_a_table_that_nas_did_not_write_is_not_written_over(tmp_path: Path, board: Callable[..., LatencyTable]) -> None:
    (tmp_path / "table").mkdir()
    for name in ("table.csv", "table.yaml"):
        (tmp_path / "table" / name).write_bytes((PIXEL / name).read_bytes())
    with pytest.raises(TableError, match="did not write"):
        board("table", {1: (1.0, 0.1, 9)})
    assert load_table(tmp_path / "table").fingerprint == load_table(PIXEL).fingerprint


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("within_5_pct: 100.0", "within_5_pct: 101.0", "within_5_pct"),
        ("kendall_tau: 0.9789", "kendall_tau: 2.0", "kendall_tau"),
        ("count: 20", "count: 0", "count"),
        ("count: 20", "count: 20, surprise: 1", "surprise"),
        ("target: ssh:pi@board", 'target: "\\e[2J"', "printable"),
        ("target: ssh:pi@board", '"tar\\eget": x', "no such key"),
        ("memory_mb: 3794", "memory_mb: -1", "memory_mb"),
        ("provider: CPUExecutionProvider", "provider: 7", "provider"),
        ("space: mobile", "space: ../mobile", "space"),
    ],
)
def test_headers_of_own_measurements_are_strict(
    tmp_path: Path, board: Callable[..., LatencyTable], old: str, new: str, part: str
) -> None:
    board("table", {1: (1.0, 0.1, 9)})
    file = tmp_path / "table" / "table.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(TableError, match=part) as caught:
        load_table(tmp_path / "table")
    assert str(caught.value).isprintable()


def test_a_fingerprint_is_64_hexadecimal_digits(tmp_path: Path, board: Callable[..., LatencyTable]) -> None:
    table = board("table", {1: (1.0, 0.1, 9)})
    file = tmp_path / "table" / "table.yaml"
    assert table.header.device.fingerprint
    file.write_text(file.read_text().replace(table.header.device.fingerprint, "A" * 64))
    with pytest.raises(TableError, match="fingerprint"):
        load_table(file.parent)


def _listed(table: LatencyTable) -> str:
    """Its lines in a list, as one."""
    return " ".join(tables_summary([entry(table, [])]).split())


def test_the_error_on_whole_networks_is_shown_wherever_the_table_is_used(board: Callable[..., LatencyTable]) -> None:
    table = board("table", {1: (1.0, 0.1, 9)})
    assert "1.2 % off on 20 networks" in _listed(table)
    shown = table_summary(table)
    for part in ("20 whole networks", "1.2 % off", "4.5 % at most", "100 % within 5 %", "tau 0.979", "differ by 0.8 %"):
        assert part in shown
    for part in ("Cortex-A72", "aarch64", "3,794 MB", "CPUExecutionProvider", "performance", table.fingerprint):
        assert part in shown
    estimate = {
        "target": "board",
        "latency_ms": 1.0,
        "coverage": {"measured": 1.0},
        "latency_error_pct": 2.0,
        "macs": 1,
        "params": 1,
    }
    assert "whole networks" not in estimate_summary(estimate)
    assert "1.2 % off on average, 4.5 % at most" in estimate_summary(
        estimate | {"networks_error": table.networks_error}
    )
    found = {"decisions": {}, "latency_ms": 1.0, "accuracy": 1.0, "accuracy_sigma": 1.0, "macs": 1, "params": 1}
    search = {
        "space": "mobile",
        "size": 10**11,
        "target": "board",
        "device": table.header.summary,
        "attainable": [1.0, 2.0],
        "bounds": {"latency_ms": 1.5},
        "accuracy": {"label": "proxy top-1", "unit": "%", "provenance": "predictor"},
        "winner": found | {"coverage": {"measured": 1.0}, "latency_error_pct": 2.0},
        "references": {},
        "front": [],
        "proof": None,
        "evaluations": 1,
        "seconds": 1.0,
        "archs_per_second": 1.0,
        "written": [],
        "notes": [],
    }
    assert "whole networks" not in search_summary(Result.model_validate(search), Path("runs/1"))
    checked = Result.model_validate(search | {"networks_error": table.networks_error})
    assert "1.2 % off on average, 4.5 % at most" in search_summary(checked, Path("runs/1"))


def test_a_table_measured_under_an_emulator_says_so_in_every_line(
    board: Callable[..., LatencyTable], header: Callable[..., TableHeader]
) -> None:
    device = header().device.model_copy(update={"emulated": True})
    assert "its times mean nothing" in _listed(board("table", {1: (1.0, 0.1, 9)}, device=device))


def test_dates_stay_dates(board: Callable[..., LatencyTable]) -> None:
    assert load_table(board("table", {1: (1.0, 0.1, 9)}).path).header.date == date(2025, 3, 1)


def test_kinds_with_columns_of_one_name_have_each_their_own_values(
    tmp_path: Path, header: Callable[..., TableHeader]
) -> None:
    """No attention, some, and kinds whose defaults differ: together and alone."""
    shape = {"in_channels": 8, "out_channels": 8, "height": 7, "width": 7}
    heads = {"heads": 2, "key_channels": 4, "value_channels": 4, "positions": "offset"}
    layers = [
        Layer(kind="conv", **shape),
        Layer(kind="moat", **shape, mid_channels=16, kernel=3),
        Layer(kind="moat", **shape, mid_channels=16, kernel=3, **heads),
        Layer(kind="mhsa", **shape, mid_channels=16, **heads | {"positions": "none"}),
        Layer(kind="shsa", **shape, mid_channels=16, kernel=3),
        Layer(kind="shsa", **shape, mid_channels=16, kernel=3, part_channels=4, key_channels=4),
        Layer(kind="mqa", **shape),
    ]
    for chosen in (layers, *([layer] for layer in layers)):
        rows = [Row(layer, 1.0, 0.1, 3, "measured") for layer in chosen]
        folder = tmp_path / chosen[-1].kind / str(len(list(tmp_path.rglob("table.csv"))))
        write_table(folder, header(), rows)
        assert list(load_table(folder).rows()) == rows


def test_what_a_column_lacks_in_one_kind_it_may_hold_in_another(
    tmp_path: Path, header: Callable[..., TableHeader]
) -> None:
    """A uir has kernels of 0, and only a tucker has a rank."""
    shape = {"in_channels": 8, "out_channels": 8, "mid_channels": 16, "height": 8, "width": 8}
    mixed = [
        Layer(kind="uir", kernel=0, start_kernel=0, **shape),
        Layer(kind="tucker", kernel=3, rank_channels=4, **shape),
        Layer(kind="mbconv", kernel=3, **shape),
    ]
    write_table(tmp_path / "table", header(), [Row(layer, 1.0, 0.1, 3, "measured") for layer in mixed])
    assert [row.layer for row in load_table(tmp_path / "table").rows()] == mixed

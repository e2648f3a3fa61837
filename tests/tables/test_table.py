"""Tables: what they answer, and every broken one we could think of."""

import csv
import io
import shutil
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.blocks import KEY_COLUMNS, Layer
from nas.errors import LatencyMissing, NasError
from nas.space.load import load_space
from nas.system.places import shipped_folder
from nas.tables.rows import PROVENANCES, VALUE_COLUMNS
from nas.tables.table import load_table

PIXEL = shipped_folder("latency_tables") / "pixel-cpu"
ROWS = (PIXEL / "table.csv").read_text()
HEADER = (PIXEL / "table.yaml").read_text()
FIRST = ROWS.splitlines()[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(PIXEL, tmp_path / "table")
    return tmp_path / "table"


def test_measured_rows_are_the_published_ones() -> None:
    table = load_table("pixel-cpu")
    layer = Layer(
        kind="mbconv", in_channels=40, out_channels=80, mid_channels=240, kernel=5, stride=2, height=28, width=28
    )
    found = table.lookup([layer])
    assert found.ms.tolist() == [2.7909]  # single_path_nas_pixel1, block 9, k5e6
    assert PROVENANCES[found.provenance[0]] == "measured"
    assert (table.provenance == PROVENANCES.index("measured")).sum() == 42


def test_a_frame_has_the_rows() -> None:
    table = load_table("pixel-cpu")
    frame = table.frame()
    assert [*frame] == [*KEY_COLUMNS, *VALUE_COLUMNS]
    assert frame.provenance.value_counts()["measured"] == 42
    assert frame.latency_ms.tolist() == table.latency_ms.tolist()
    first, row = frame.iloc[0].to_dict(), next(table.rows())
    assert first == row.layer.row | {name: getattr(row, name) for name in VALUE_COLUMNS}


def test_coverage_of_mobile_is_what_the_docs_say() -> None:
    _, *blocks, _ = load_space("mobile").layers()  # without stem and head
    found = load_table("pixel-cpu").lookup(blocks)
    counts = np.bincount(found.provenance, minlength=4)
    assert dict(zip(PROVENANCES, counts.tolist(), strict=True)) == {
        "measured": 16,
        "derived": 0,
        "simulated": 0,
        "interpolated": 152,
    }


def test_rows_and_model_agree_where_rows_come_from_the_model() -> None:
    """A layer of `mobile` costs the same whether its row or the model answers."""
    table = load_table("pixel-cpu")
    assert table.model is not None
    layers = [row.layer for row in table.rows() if row.provenance == "interpolated"]
    assert table.model.predict(layers) == pytest.approx(table.lookup(layers).ms, abs=1e-5)


def test_a_feature_that_a_header_does_not_name_is_not_taken_as_nothing(folder: Path) -> None:
    """As in a header that was written before `nas` knew the feature: what does without it is still answered."""
    (folder / "table.yaml").write_text(HEADER.replace("gates: ", "other: ", 1))
    table = load_table(folder)
    block = Layer(kind="mbconv", in_channels=24, out_channels=40, mid_channels=97, kernel=3, height=28, width=28)
    assert table.lookup([block]).ms > 0
    with pytest.raises(LatencyMissing, match=r"This block model knows dense, .*, got gates\."):
        table.lookup([block.changed(se_channels=8)])


def test_a_skip_is_free_and_an_unknown_layer_is_not() -> None:
    table = load_table("pixel-cpu")
    skip = Layer(kind="identity", in_channels=24, out_channels=24, height=56, width=56)
    assert table.lookup([skip]).ms.tolist() == [0.0]
    wide = Layer(kind="mbconv", in_channels=24, out_channels=24, mid_channels=4096, kernel=3, height=56, width=56)
    with pytest.raises(LatencyMissing, match=r"mid_channels.*8\.\.2048.*4096"):
        table.lookup([wide])


def test_a_table_without_a_model_answers_by_its_rows_alone(folder: Path) -> None:
    lines = HEADER.splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith("model:"))
    end = next(i for i, line in enumerate(lines) if line.startswith("error:"))
    (folder / "table.yaml").write_text("".join(lines[:start] + lines[end:]))
    table = load_table(folder)
    with pytest.raises(LatencyMissing, match=r"1 layer\(s\) are not in the table"):
        table.lookup([Layer(kind="conv", in_channels=3, out_channels=8, kernel=3, stride=2, height=224, width=224)])


def test_an_absent_key_column_has_its_default(folder: Path) -> None:
    lines = ROWS.splitlines()
    place = lines[0].split(",").index("groups")
    (folder / "table.csv").write_text(
        "\n".join(",".join(cell for i, cell in enumerate(line.split(",")) if i != place) for line in lines) + "\n"
    )
    (folder / "table.yaml").write_text(HEADER.replace("stride, groups, se_channels", "stride, se_channels"))
    assert load_table(folder).keys == load_table("pixel-cpu").keys


def cell(column: str, value: str) -> tuple[str, str]:
    """The first row with another value in one column."""
    cells = FIRST.split(",")
    cells[ROWS.splitlines()[0].split(",").index(column)] = value
    return FIRST, ",".join(cells)


BROKEN_ROWS = {
    "missing column": (("latency_ms", "latency"), "latency_ms"),
    "missing key column": ((",groups,", ",group,"), "groups"),
    "repeated column": (("spread_ms", "latency_ms"), "once"),
    "not a number": (cell("latency_ms", "nan"), "line 2"),
    "infinite": (cell("latency_ms", "inf"), "line 2"),
    "negative": (cell("latency_ms", "-1"), "line 2"),
    "negative spread": (cell("spread_ms", "-1"), "line 2"),
    "empty": (cell("latency_ms", ""), "line 2"),
    "text": (cell("latency_ms", "fast"), "line 2"),
    "repeated row": ((FIRST, f"{FIRST}\n{FIRST}"), "repeats line 2"),
    "short row": ((FIRST, FIRST.rsplit(",", 1)[0]), "17 values"),
    "long row": ((FIRST, f"{FIRST},1"), "17 values"),
    "unknown kind": (cell("kind", "attention"), "`kind` is one of"),
    "unknown provenance": (cell("provenance", "guessed"), "`provenance` is one of"),
    "unknown activation": (cell("activation", "mish"), "`activation` is one of"),
    "unknown gate": (cell("se_gate", "tanh"), "`se_gate` is one of"),
    "zero channels": (cell("in_channels", "0"), "from 1"),
    "too many channels": (cell("in_channels", "70000"), "65536"),
    "huge number": (cell("in_channels", "9" * 5_000), "line 2"),
    "fraction of a channel": (cell("in_channels", "3.5"), "whole number"),
    "residual of 2": (cell("residual", "2"), "0 to 1"),
    "no rows at all": ((ROWS, ""), "missing"),
    "quote left open": ((FIRST, f'"{FIRST}'), "CSV"),
}
BROKEN_HEADERS = {
    "other format": (("nas-latency-table/1", "nas-latency-table/2"), "format"),
    "missing key": (("threads: 1\n", ""), "threads"),
    "unknown key": (("threads: 1\n", "threads: 1\nthread: 1\n"), "no such key"),
    "unknown key column": (("stride, groups", "stride, colour"), "key_columns"),
    "negative coefficient": (("dense: 0.13935", "dense: -1"), "dense"),
    "infinite coefficient": (("dense: 0.13935", "dense: .inf"), "dense"),
    "applied scale": (("applied: false", "applied: true"), "applied"),
    "path in a network's name": (("network: mobilenetv2-1.4", "network: ../../etc/passwd"), "network"),
    "not yaml": (("threads: 1", "threads: [1"), "YAML"),
}


@pytest.mark.parametrize("case", [*BROKEN_ROWS, *BROKEN_HEADERS])
def test_broken_tables(case: str, folder: Path) -> None:
    (old, new), part = (BROKEN_ROWS | BROKEN_HEADERS)[case]
    file, text = ("table.csv", ROWS) if case in BROKEN_ROWS else ("table.yaml", HEADER)
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(NasError) as caught:
        load_table(folder)
    message = str(caught.value)
    assert part in message
    assert str(folder / file) in message
    assert len(message.splitlines()) <= 2
    assert len(message) < 700


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_fuzzed_tables_never_break_the_reader(folder: Path, data: st.DataObject) -> None:
    """Bytes cut, replaced or repeated anywhere in either file: a table, or one error of ours."""
    for file, text in {"table.csv": ROWS[:3_000], "table.yaml": HEADER}.items():
        content = text.encode()
        for _ in range(data.draw(st.integers(0, 3))):
            start = data.draw(st.integers(0, len(content)))
            end = data.draw(st.integers(start, min(len(content), start + 40)))
            content = content[:start] + data.draw(st.binary(max_size=12)) + content[end:]
        (folder / file).write_bytes(content)
    with suppress(NasError):
        load_table(folder)


def test_a_hundred_thousand_rows_load_in_under_a_second(folder: Path) -> None:
    """Compared with reading their text as CSV, in seconds of the processor: the machine may have other work."""
    lines = [ROWS.splitlines()[0]]
    for channels in range(1, 501):
        lines += [
            f"conv,{channels},{out},0,3,1,1,0,sigmoid,relu,0,{size},{size},1.5,0.1,9,measured"
            for out in range(1, 51)
            for size in (7, 14, 28, 56)
        ]
    text = "\n".join(lines) + "\n"
    (folder / "table.csv").write_text(text)

    def least(work: Callable[[], object]) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        return min(times)

    reading = least(lambda: sum(map(len, csv.reader(io.StringIO(text)))))  # 0.07 s on a quiet core
    assert least(lambda: load_table(folder)) < 14 * reading  # about 6
    tracemalloc.start()
    table = load_table(folder)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(table.keys) == 100_000
    assert kept < 600 * 100_000  # bytes: about 330 a row

"""One table of two: rows by hand and against raw samples, headers, and everything that is refused."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.system.places import shipped_folder
from nas.tables.header import TableHeader
from nas.tables.merge import combine
from nas.tables.table import LatencyTable, Row, load_table

PIXEL = shipped_folder("latency_tables") / "pixel-cpu"


def row(layers: Any, ms: float, spread: float, samples: int, provenance: str = "measured") -> Row:
    return Row(layers[0], ms, spread, samples, provenance)


def test_two_rows_by_hand(layers: Any) -> None:
    found = combine(row(layers, 1.0, 0.1, 2), row(layers, 2.0, 0.2, 6))
    assert found.latency_ms == pytest.approx(1.75)  # (2 · 1 + 6 · 2) / 8
    assert found.spread_ms**2 == pytest.approx(0.0325 + 0.1875)  # (2 · 0.01 + 6 · 0.04) / 8 + 2 · 6 · 1 / 64
    assert (found.samples, found.provenance) == (8, "measured")


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=20),
    st.lists(st.floats(0.1, 10), min_size=1, max_size=20),
)
def test_the_rows_of_two_halves_make_the_row_of_the_whole(layers: Any, left: list[float], right: list[float]) -> None:
    """Where rows are means and standard deviations of samples, so is the row of both."""
    a, b, whole = (row(layers, np.mean(some), np.std(some), len(some)) for some in (left, right, left + right))
    for found in (combine(a, b), combine(b, a)):
        assert found.latency_ms == pytest.approx(whole.latency_ms)
        assert found.spread_ms == pytest.approx(whole.spread_ms, abs=1e-6)
        assert found.samples == whole.samples


def test_the_better_provenance_stands_alone(layers: Any) -> None:
    measured, fitted = row(layers, 1.0, 0.1, 2), row(layers, 9.0, 3.0, 0, "interpolated")
    assert combine(measured, fitted) == combine(fitted, measured) == measured
    assert combine(fitted, row(layers, 7.0, 3.0, 0, "interpolated")) == fitted  # no samples: that of A


def test_a_merged_table(nas: Callable[..., Any], board: Callable[..., LatencyTable], tmp_path: Path) -> None:
    board("a", {0: (1.0, 0.1, 2), 1: (3.0, 0.1, 2)})
    bands = {"measured": 1.0, "derived": 6.0, "simulated": 5.0, "interpolated": 9.0}
    board(
        "b",
        {0: (2.0, 0.2, 6), 2: (5.0, 0.1, 2), 1: (9.0, 2.0, 0, "interpolated")},
        date=date(2025, 4, 1),
        source="measured again",
        space="mnasnet",
        governor="powersave",
        calibration="by ten networks",
        error={"band_pct": bands},
    )
    answer = nas("table", "merge", "./a", "./b", "--out", "both")
    assert "3: 2 of both, 0 of A, 1 of B" in answer.out
    assert "dropped" in answer.out
    assert "governors differed: performance and powersave" in answer.out
    assert "corrected by its own calibration" in answer.out
    merged = load_table(tmp_path / "both")
    assert [(r.latency_ms, r.samples, r.provenance) for r in merged.rows()] == [
        (1.75, 8, "measured"),
        (3.0, 2, "measured"),
        (5.0, 2, "measured"),
    ]
    header = merged.header
    assert (header.date, header.source) == ("2025-03-01; 2025-04-01", "measured on the board; measured again")
    assert (header.target, header.space, header.resolution) == ("ssh:pi@board", None, 224)
    assert header.error.networks is None
    assert header.error.band_pct.model_dump() == {
        "measured": 2.0,
        "derived": 6.0,
        "simulated": 5.0,
        "interpolated": 9.0,
    }
    assert header.device.fingerprint == load_table(tmp_path / "a").header.device.fingerprint
    again = json.loads(nas("table", "merge", "./both", "./a", "--out", "third", "--json").out)
    assert again["fingerprint"] == load_table(tmp_path / "third").fingerprint
    assert again["rows"] == {"all": 3, "both": 2, "only_a": 1, "only_b": 0}
    assert load_table(tmp_path / "third").header.source == "measured on the board; measured again"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"runtime_version": "1.21.0"}, "runtime.version ('1.20.1' and '1.21.0')"),
        ({"model": "Cortex-A76"}, "device.model ('Cortex-A72' and 'Cortex-A76')"),
        ({"threads": 4}, "threads (1 and 4)"),
        ({"provider": "XnnpackExecutionProvider"}, "device.provider"),
        ({"precision": "int8"}, "precision ('float32' and 'int8')"),
        ({"batch": 8}, "batch (1 and 8)"),
    ],
)
def test_tables_of_different_devices_are_refused_with_both(
    nas: Callable[..., Any],
    board: Callable[..., LatencyTable],
    tmp_path: Path,
    change: dict[str, Any],
    part: str,
) -> None:
    board("a", {0: (1.0, 0.1, 2)})
    b = board("b", {1: (1.0, 0.1, 2)}, **change)
    answer = nas("table", "merge", "./a", "./b", "--out", "both")
    assert answer.code == 2
    assert part in answer.err
    assert "A is of Cortex-A72, ONNX Runtime, 1 thread" in answer.err
    assert f"B of {b.header.summary}" in answer.err
    assert not (tmp_path / "both").exists()


def test_a_fingerprint_that_was_edited_is_not_believed_alone(
    nas: Callable[..., Any], board: Callable[..., LatencyTable], header: Callable[..., TableHeader]
) -> None:
    """Equal fingerprints beside different devices, and the other way round."""
    board("a", {0: (1.0, 0.1, 2)})
    fake = header().device.model_copy(update={"model": "Cortex-A76"})
    board("b", {1: (1.0, 0.1, 2)}, device=fake)
    assert "device.model" in nas("table", "merge", "./a", "./b", "--out", "both").err
    board("c", {1: (1.0, 0.1, 2)}, device=header().device.model_copy(update={"fingerprint": "0" * 64}))
    assert "their device fingerprints" in nas("table", "merge", "./a", "./c", "--out", "both").err


def test_other_refusals(nas: Callable[..., Any], board: Callable[..., LatencyTable], tmp_path: Path) -> None:
    board("a", {0: (1.0, 0.1, 2)})
    b = board("b", {1: (1.0, 0.1, 2)})
    assert "count twice" in nas("table", "merge", "./a", "./a", "--out", "both").err
    for names in (("pixel-cpu", "./a"), ("./a", "pixel-cpu")):
        answer = nas("table", "merge", *names, "--out", "both")
        assert answer.code == 2
        assert "Google Pixel 1" in answer.err
        assert "does not tell the fingerprint" in answer.err
    assert "new or empty folder" in nas("table", "merge", "./a", "./b", "--out", "b").err
    assert load_table(tmp_path / "b").fingerprint == b.fingerprint
    (tmp_path / "file").write_text("mine")
    assert "new or empty folder" in nas("table", "merge", "./a", "./b", "--out", "file").err
    assert nas("table", "merge", "./a", "./b", "--out", "file/deep").code == 2
    assert "--out" in nas("table", "merge", "./a", "./b").err
    assert not (tmp_path / "both").exists()
    (tmp_path / "empty").mkdir()
    assert nas("table", "merge", "./a", "./b", "--out", "empty").code == 0

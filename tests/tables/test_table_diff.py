"""How two tables differ: every figure by hand."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from nas.tables.diff import agree, compare
from nas.tables.table import LatencyTable, Row

A = {0: (1.0, 0.0, 4), 1: (2.0, 0.1, 4), 2: (4.0, 0.0, 4), 3: (8.0, 0.0, 4)}
B = {1: (2.2, 0.1, 4), 2: (4.4, 0.0, 4), 3: (8.16, 0.0, 4), 4: (1.0, 0.0, 4), 5: (1.0, 0.0, 4)}


def test_rows_ratio_and_agreement(board: Callable[..., LatencyTable], layers: Any) -> None:
    found = compare(board("a", A), board("b", B))
    assert found["rows"] == {"both": 3, "only_a": 1, "only_b": 2}
    assert found["ratio"] == pytest.approx(1.1)  # of 1.1, 1.1, 1.02
    assert found["agreeing_pct"] == pytest.approx(200 / 3)  # 0.2 ≤ 0.044 + 0.2, 0.4 > 0.088, 0.16 ≤ 0.1632
    assert [row["agrees"] for row in found["largest"]] == [True, False, True]
    assert [layer["kind"] for layer in found["only_a"]] == ["conv"]
    assert len(found["only_b"]) == 2


def test_two_rows_agree_within_2_percent_of_the_larger_and_both_spreads(layers: Any) -> None:
    def row(ms: float, spread: float) -> Row:
        return Row(layers[0], ms, spread, 9, "measured")

    assert agree(row(98.0, 0.0), row(100.0, 0.0))
    assert not agree(row(97.9, 0.0), row(100.0, 0.0))
    assert agree(row(97.9, 0.06), row(100.0, 0.05))
    assert agree(row(0.0, 0.0), row(0.0, 0.0))


def test_the_ten_largest_differences_come_first(board: Callable[..., LatencyTable]) -> None:
    a = board("a", dict.fromkeys(range(30), (1.0, 0.0, 4)))
    b = board("b", {number: (1 + (-1) ** number * number / 100, 0.0, 4) for number in range(30)})
    found = compare(a, b)["largest"]
    assert [round(row["b_ms"], 2) for row in found] == [0.71, 0.73, 0.75, 0.77, 1.28, 0.79, 1.26, 1.24, 0.81, 1.22]


def test_a_table_beside_itself(nas: Callable[..., Any], board: Callable[..., LatencyTable]) -> None:
    board("a", A)
    text = nas("table", "diff", "./a", "./a").out
    for part in ("4 in both", "1.0000", "100.0 %", "the same table"):
        assert part in text
    assert "largest" not in text


def test_what_differs_of_the_devices_is_told(nas: Callable[..., Any], board: Callable[..., LatencyTable]) -> None:
    board("a", A)
    board("b", B, runtime_version="1.21.0", threads=4)
    answer = nas("table", "diff", "./a", "./b")
    assert answer.code == 0
    for part in ("different devices", "runtime.version ('1.20.1' and '1.21.0')", "threads (1 and 4)", "!", "+10.0 %"):
        assert part in answer.out
    document = json.loads(nas("table", "diff", "./a", "./b", "--json").out)
    assert document["a"]["device_fingerprint"] != document["b"]["device_fingerprint"]
    assert len(document["only_b"]) == document["rows"]["only_b"] == 2


def test_published_tables_tell_no_device_fingerprint(
    nas: Callable[..., Any], board: Callable[..., LatencyTable]
) -> None:
    board("a", A)
    assert "may be of different ones" in nas("table", "diff", "pixel-cpu", "./a").out


def test_nothing_in_common_and_no_time_at_all(nas: Callable[..., Any], board: Callable[..., LatencyTable]) -> None:
    board("a", {0: (0.0, 0.0, 4)})
    board("b", {1: (1.0, 0.0, 4)})
    board("c", {0: (1.0, 0.0, 4)})
    apart = json.loads(nas("table", "diff", "./a", "./b", "--json").out)
    assert (apart["rows"]["both"], apart["ratio"], apart["agreeing_pct"]) == (0, None, None)
    assert nas("table", "diff", "./a", "./b").code == 0
    free = json.loads(nas("table", "diff", "./a", "./c", "--json").out)
    assert (free["ratio"], free["agreeing_pct"], free["largest"][0]["ratio"]) == (None, 0.0, None)
    assert nas("table", "diff", "./a", "./c").code == 0


def test_what_is_not_a_table_is_refused(nas: Callable[..., Any], board: Callable[..., LatencyTable]) -> None:
    board("a", A)
    assert "No target named" in nas("table", "diff", "a b", "./a").err
    assert nas("table", "diff", "./a", "./nothing").code == 2

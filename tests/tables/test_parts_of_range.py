"""The error of a table by parts of its range, and tables that were measured on a busy device."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tellers import Said

from nas.blocks import Layer
from nas.blocks.architecture import Architecture
from nas.cli.screen_tables import check_summary
from nas.runs.doubts import doubts
from nas.runs.problem import Problem
from nas.runs.request import Request
from nas.runs.result import Found
from nas.runs.search_method import Searched
from nas.space.load import load_space
from nas.tables.check import check_table
from nas.tables.header import NetworksError
from nas.tables.table import LatencyTable, load_table

NETWORKS = {
    "count": 20,
    "mape_pct": 1.2,
    "worst_pct": 4.5,
    "within_5_pct": 100.0,
    "within_10_pct": 100.0,
    "kendall_tau": 0.979,
    "floor_pct": 0.75,
}
THIRDS = [
    {"up_to_ms": 2.0, "count": 7, "mape_pct": 0.5, "worst_pct": 1.5},
    {"up_to_ms": 4.0, "count": 7, "mape_pct": 1.0, "worst_pct": 2.5},
    {"up_to_ms": None, "count": 6, "mape_pct": 2.0, "worst_pct": 4.5},
]


def test_the_band_is_that_of_the_part_of_the_range(
    board: Callable[..., LatencyTable], layers: tuple[Layer, ...], nas: Callable[..., Any]
) -> None:
    bands = {"measured": 4.5, "derived": 4.5, "simulated": 4.5, "interpolated": 9.0}
    checks = NETWORKS | {"thirds": THIRDS}
    rows = {1: (1.0, 0.1, 9), 2: (2.5, 0.1, 9), 3: (9.0, 0.1, 9)}
    table = board("table", rows, error={"band_pct": bands, "networks": checks})
    alone = [Architecture(layers[n].in_channels, layers[n].height, layers[n].width, (layers[n],)) for n in (1, 2, 3)]
    told = [table.estimate(network).error_pct for network in alone]
    assert told == [1.5, 2.5, 4.5]
    old = board("old", rows, error={"band_pct": bands, "networks": NETWORKS})  # as versions before wrote it
    assert old.estimate(alone[0]).error_pct == 4.5
    assert "thirds" not in (old.path / "table.yaml").read_text()
    header = json.loads(nas("table", "show", "./table", "--json").out)["header"]
    assert header["error"]["networks"]["thirds"] == THIRDS
    shown = "fastest 7 to 2.00 ms 0.5 %, at most 1.5 % · middle 7 to 4.00 ms 1.0 %, at most 2.5 % · slowest 6 2.0 %"
    assert shown in nas("table", "show", "./table").out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("count: 7", "count: 0"),
        ("worst_pct: 1.5", "worst_pct: .nan"),
        ("up_to_ms: 2.0", "up_to_ms: -2.0"),
        ("mape_pct: 0.5", "mape_pct: many"),
        ("count: 7", "count: 7, more: 1"),
    ],
)
def test_thirds_that_are_none_are_refused(
    old: str, new: str, board: Callable[..., LatencyTable], nas: Callable[..., Any]
) -> None:
    bands = dict.fromkeys(("measured", "derived", "simulated", "interpolated"), 4.5)
    table = board("table", {1: (1.0, 0.1, 9)}, error={"band_pct": bands, "networks": NETWORKS | {"thirds": THIRDS}})
    file = table.path / "table.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    done = nas("table", "show", "./table")
    assert done.code == 2
    assert "error.networks.thirds" in done.err


def test_a_noisy_table_says_so_and_what_to_do(
    board: Callable[..., LatencyTable], nas: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = dict.fromkeys(("measured", "derived", "simulated", "interpolated"), 9.5)
    noisy = NETWORKS | {"floor_pct": 4.2, "drift_pct": 30.5}
    table = board("data/nas/latency_tables/busy", {1: (1.0, 0.1, 9)}, error={"band_pct": bands, "networks": noisy})
    said = (
        "measured on a busy device (halves of the measurement differ by 4.2 %, its pace changed by 30 %): "
        "when it is quiet, measure anew, nas profile --space mobile --target ssh:pi@board --out NEW"
    )
    assert said in nas("table", "show", "busy").out
    monkeypatch.setattr("nas.system.places.table_names", lambda: {"busy": table.path})  # the others take long to read
    assert "TOO NOISY" in " ".join(nas("table", "list").out.split())
    assert said in check_summary(check_table(table))


def test_a_search_that_rests_on_a_noisy_table_says_so_first_and_doubts_its_winner() -> None:
    space, table, said = load_space("mobile"), load_table("pixel-cpu"), Said()
    noisy = NetworksError(**NETWORKS | {"floor_pct": 4.2, "space": space.name, "space_sha256": space.fingerprint})
    error = table.header.error.model_copy(update={"networks": noisy})
    busy = replace(table, header=table.header.model_copy(update={"error": error}))
    request = Request(space="mobile", target="pixel-cpu", latency_ms=75.0)
    problem = Problem.load(request, teller=said, tables=lambda: [busy])
    assert said.lines == [busy.noise(space)]
    figures = {"latency_ms": 70.0, "accuracy": 75.0, "accuracy_sigma": 0.1, "macs": 1, "params": 1}
    assert doubts(problem, Searched(1.0), Found(decisions={}, **figures)) == said.lines
    assert busy.noise(load_space("fbnet")) is None  # no network of it was measured

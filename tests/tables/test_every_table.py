"""The contract of every shipped table: its header is complete, its error is what a check finds, its claims are true."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner

from nas.blocks import Layer
from nas.cli import cli
from nas.space.adapt import parts_of
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.places import shipped_folder, shipped_tables
from nas.tables.check import check_table
from nas.tables.listing import error_of, provenance
from nas.tables.table import LatencyTable, load_table

FITTED_ANEW = {"nb201-pixel3", "nb201-eyeriss"}
"""Of 27 alike, in which the fit between whole networks takes a moment."""


@cache
def space_named(name: str) -> Space:
    space, resolution, keep, classes = parts_of(name)
    return load_space(space, resolution=resolution, classes=classes, strides="keep" if keep else "drop")


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    """What `nas table list --json` says, by table."""
    begun = time.process_time()
    result = CliRunner().invoke(cli, ["table", "list", "--json"])
    assert time.process_time() - begun < 20  # two at most
    return {entry["name"]: entry for entry in json.loads(result.stdout)}


@pytest.fixture(scope="module", params=shipped_tables())
def table(request: pytest.FixtureRequest) -> LatencyTable:
    return load_table(request.param)


def test_its_header_is_complete(table: LatencyTable, listed: dict[str, Any]) -> None:
    header = table.header
    assert header.name == table.path.name
    assert table.path.parent == shipped_folder("latency_tables")
    known = (header.device.model, header.runtime.name, header.runtime.version, header.precision, header.estimator)
    assert all(known)
    assert header.licence in {"MIT", "Apache-2.0"}
    assert sum(provenance(table).values()) == len(table.keys) + len(table.whole.codes if table.whole else ())
    error = error_of(header)
    assert error is not None
    assert error.count >= 5
    assert 0 <= error.mape_pct < 15
    entry = listed[table.name]
    assert entry["error"]["count"] == error.count
    assert entry["licence"] == header.licence
    assert entry["provenance"] == provenance(table)


def test_a_check_finds_the_error_of_its_header(table: LatencyTable) -> None:
    if table.whole is not None and table.name not in FITTED_ANEW:
        return
    found = check_table(table)
    assert found["networks_error"] == table.networks_error
    for network, told in zip(found["whole_networks"], table.header.error.whole_networks, strict=True):
        assert network["table_ms"] == pytest.approx(told.table_ms, abs=0.006)
        assert network["error_pct"] == pytest.approx(told.error_pct, abs=0.06)
    assert found["leave_one_out"] == pytest.approx(table.header.error.leave_one_out, abs=6e-4)


def test_every_space_that_it_claims_is_answered(table: LatencyTable, listed: dict[str, Any]) -> None:
    claimed = listed[table.name]["answers"]
    if table.whole is not None:  # test_shipped.py holds them against the space
        assert claimed == [table.whole.header.space]
        return
    named = [check.space for check in table.header.error.checks if check.space]
    assert claimed
    assert set(named) <= set(claimed)
    for name in claimed:
        assert table.answers_all(space_named(name)), name
    for name in named:
        assert table.checked_on(space_named(name)), name


def test_layers_of_fbnet_at_32_px_cost_something_and_wider_heads_more() -> None:
    head = Layer(kind="head", in_channels=352, out_channels=100, mid_channels=1504, height=4, width=4)
    heads = [head, head.changed(mid_channels=1984), head.changed(out_channels=1000)]
    names = [name for name in shipped_tables() if name.startswith("fbnet-")]
    assert len(names) == 19
    for table in map(load_table, names):
        assert table.latency_ms.min() > 0
        known, wider, more = table.lookup(heads).ms
        assert known == pytest.approx(table.model.predict(heads[:1])[0], abs=1e-5)  # type: ignore[union-attr]
        assert known <= min(wider, more) + 1e-5

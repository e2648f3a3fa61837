"""Tables whose rows mean something only in sums: a constant, rows and joints, of networks of one space alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from nas.cli import cli
from nas.errors import LatencyMissing, TableError
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.places import shipped_tables
from nas.tables.table import LatencyTable, latency, load_table

ROOT = Path(__file__).parents[2]
ACCELERATORS = ("a100", "rtx3090", "tpuv2", "vck190", "zcu102")
FASTEST = "--accuracy zero-cost:macs --budget 20 --latency 5ms"


@pytest.fixture(scope="module")
def mobile() -> Space:
    return load_space("mobile")


@pytest.fixture(scope="module")
def zcu102() -> LatencyTable:
    return load_table("zcu102")


def typed(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def rewritten(table: LatencyTable, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a table with another header."""
    shutil.copytree(table.path, folder)
    header = yaml.safe_load((folder / "table.yaml").read_text())
    change(header)
    (folder / "table.yaml").write_text(yaml.safe_dump(header))
    return folder


def test_those_that_ship() -> None:
    headers = {path.parent.name: path.read_text() for path in (ROOT / "latency_tables").glob("*/table.yaml")}
    assert sorted(name for name, text in headers.items() if "\nsums:" in text) == sorted(ACCELERATORS)
    assert set(ACCELERATORS) <= set(shipped_tables())


@pytest.mark.parametrize("name", ACCELERATORS)
def test_a_search_and_an_estimate_add_the_same(name: str, mobile: Space) -> None:
    table = load_table(name)
    population = mobile.sample(12, np.random.default_rng(0))
    found = [table.estimate(mobile.decode(genotype)) for genotype in population]
    assert [each.latency_ms for each in found] == pytest.approx(latency(mobile, table)(population))
    for each in found:
        assert each.coverage == pytest.approx({"measured": 0, "derived": 1, "simulated": 0, "interpolated": 0})
        assert each.error_pct == pytest.approx(table.header.error.band_pct.derived)
    assert table.answers_all(mobile)
    checked = table.checked_on(mobile)
    assert checked is not None
    assert checked["count"] > 4_500
    assert (table.header.batch, table.header.precision, table.header.licence) == (
        "not stated",
        "not stated",
        "Apache-2.0",
    )


@pytest.mark.parametrize("name", ["rtx3090", "tpuv2"])
def test_the_check_estimates_networks_that_nothing_was_fitted_to(name: str) -> None:
    told = json.loads(typed("table", "check", name, "--json").stdout)
    assert len(told["whole_networks"]) == 6
    assert told["mape_pct"] <= 2 * told["networks_error"]["mape_pct"]
    assert all(entry["coverage"]["derived"] == pytest.approx(1) for entry in told["whole_networks"])


def test_joints_are_what_a_block_costs_because_of_the_one_in_front(mobile: Space, zcu102: LatencyTable) -> None:
    layers = mobile.decode(mobile.sample(1, np.random.default_rng(3))[0]).layers
    sums = zcu102.sums
    assert sums is not None
    joints = {
        (j.after, j.residual, j.before, j.in_channels, j.out_channels, j.height): j.ms for j in sums.header.joints
    }
    added = sums.header.constant_ms
    for a, b in pairwise(layers):
        added += joints.get((a.kind, a.residual, b.kind, b.in_channels, b.out_channels, b.height), 0.0)
    assert sums.added(layers) == pytest.approx(added)
    assert added != sums.header.constant_ms


def test_a_smaller_space_within_it_is_answered_for(mobile: Space, zcu102: LatencyTable, tmp_path: Path) -> None:
    text = (ROOT / "search_spaces/mobile.yaml").read_text().partition("references:")[0]
    smaller = tmp_path / "smaller.yaml"
    smaller.write_text(text.replace("name: mobile", "name: smaller").replace("kernel: {choice: [3, 5]}", "kernel: 3"))
    space = load_space(smaller)
    population = space.sample(5, np.random.default_rng(0))
    found = latency(space, zcu102)(population)
    assert found == pytest.approx([zcu102.estimate(space.decode(genotype)).latency_ms for genotype in population])
    wider = tmp_path / "wider.yaml"
    wider.write_text(text.replace("name: mobile", "name: wider").replace("choice: [3, 5]", "choice: [3, 5, 7]"))
    assert not zcu102.answers_all(load_space(wider))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--space mobile --resolution 160 --strides keep", "mobile, 224 px and 1000 classes, as a whole"),
        ("--space mnasnet", "mnasnet has others"),
        ("--space mobile --at-most macs=1G --resolution 192", "zcu102 answers for networks of mobile"),
        ("--space nas-bench-macro", "its rows mean something only in such sums"),
    ],
)
def test_what_it_does_not_answer_for(words: str, says: str, tmp_path: Path) -> None:
    result = typed("search", "--target", "zcu102", "--out", str(tmp_path / "run"), *words.split(), *FASTEST.split())
    assert isinstance(result.exception, LatencyMissing), result.output
    assert (result.exception.exit_code, says in str(result.exception)) == (2, True), result.exception


def test_a_network_of_another_space_is_told_why() -> None:
    told = json.loads(typed("estimate", "mobilenetv2-1.0", "--target", "zcu102", "--json").stdout)
    assert told["latency_ms"] is None
    assert told["why"].startswith("zcu102 answers for networks of mobile, 224 px and 1000 classes, as a whole")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda header: header["sums"].update(constant_ms=-1.0), "sums.constant_ms"),
        (lambda header: header["sums"].update(constant_ms=float("nan")), "sums.constant_ms"),
        (lambda header: header["sums"]["joints"][0].pop("after"), r"sums.joints"),
        (lambda header: header["sums"].update(space_sha256="mobile"), "sums.space_sha256"),
        (lambda header: header.update(batch="unknown"), "batch"),
        (lambda header: header.update(batch=0), "batch"),
    ],
)
def test_headers_that_are_refused(zcu102: LatencyTable, tmp_path: Path, change: Any, says: str) -> None:
    with pytest.raises(TableError, match=says):
        load_table(rewritten(zcu102, tmp_path / "table", change))


def test_of_another_space_of_that_name_nothing_is_said(mobile: Space, zcu102: LatencyTable, tmp_path: Path) -> None:
    table = load_table(
        rewritten(zcu102, tmp_path / "table", lambda header: header["sums"].update(space_sha256="0" * 64))
    )
    assert not table.answers_all(mobile)
    assert not table.answers_network(mobile.decode(mobile.sample(1, np.random.default_rng(0))[0]))


def test_a_comparison_of_rows_says_that_only_sums_mean_something() -> None:
    told = json.loads(typed("table", "diff", "zcu102", "pixel-cpu", "--json").stdout)
    assert "of zcu102 only sums of rows mean something" in told["notes"]
    assert not any("pixel-cpu only sums" in note for note in told["notes"])

"""The shipped tables: which shipped spaces are searchable on them, and `pixel3` says what its source says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nas.blocks import Architecture, Layer
from nas.cli import cli
from nas.errors import LatencyMissing, NasError
from nas.space.load import load_space
from nas.system.places import shipped_tables, space_names
from nas.tables.check import check_table
from nas.tables.table import LatencyTable, load_table

UNTIMED = {"attentive", "hybrid", "mcunet", "mobiledets", "mobilenetv4", "ofa-mbv3"}
"""Spaces for which no shipped table answers: what is in them was not timed on their phones."""


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    """What `nas spaces list --json` says, by space."""
    result = CliRunner().invoke(cli, ["spaces", "list", "--json"])
    assert result.exit_code == 0
    return {entry["name"]: entry for entry in json.loads(result.stdout)}


@pytest.fixture(scope="module")
def tables() -> dict[str, LatencyTable]:
    return {name: load_table(name) for name in shipped_tables()}


@pytest.mark.parametrize("space", space_names())
def test_every_shipped_space_is_searched_on_every_target_that_is_listed_for_it(
    space: str, listed: dict[str, Any], tables: dict[str, LatencyTable], tmp_path: Path
) -> None:
    targets = listed[space]["targets"]
    assert bool(targets) == (space not in UNTIMED)
    loaded = load_space(space)
    assert [name for name, table in tables.items() if table.answers_all(loaded)] == targets
    boards = [name for name in targets if not tables[name].keys and name != "raspi4"]  # they are alike
    for target in targets if space != "nas-bench-201" else []:  # docs/spaces.md has that search
        if target in boards:
            continue
        cheapest = ["--accuracy", "zero-cost:macs", "--budget", "20", "--latency", "60ms"]
        out = ["--out", str(tmp_path / target)]
        words = ["search", "--space", space, "--target", target, *cheapest, *out, "--json"]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.exception
        assert json.loads(result.stdout)["winner"]["latency_ms"] <= 60


def test_the_list_names_them_for_people() -> None:
    lines = CliRunner().invoke(cli, ["spaces", "list"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == space_names()
    assert all(" · targets " in line for line in lines)
    assert {line.split()[0] for line in lines if "targets none" in line} == UNTIMED
    assert all(f"nas profile --space {name} --target cpu" in "\n".join(lines) for name in UNTIMED)
    assert lines[space_names().index("fbnet")].endswith(" · holds fbnet-a, fbnet-b, fbnet-c")


PIXEL3 = "answered by pixel3."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("fbnet --target pixel-cpu", f"fbnet is {PIXEL3}"),
        ("mobile --resolution 96 --target pixel-cpu", "pixel-cpu answers mobile. mobile-96px-keep is answered by "),
        (
            "mobilenetv4 --target pixel-cpu",
            "No shipped table answers for mobilenetv4. Make one: nas profile --space mobilenetv4 --target cpu",
        ),
        (
            "fbnet --target fbnet-titan-rtx-1",
            f"fbnet-titan-rtx-1 answers fbnet --resolution 32 --strides drop. fbnet is {PIXEL3}",
        ),
        ("nas-bench-macro --target nb201-pixel3", "nas-bench-macro is answered by pixel3, of the same device."),
        ("mobile --target raspi-4", ", of which raspi4, "),
        ("mobile --target pixel-3", "of which pixel3, "),
    ],
)
def test_a_refusal_says_which_targets_answer(
    words: str, says: str, tables: dict[str, LatencyTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.tables.listing.shipped", lambda: list(tables.values()))  # they were read already
    line = ["search", "--space", *words.split(), "--accuracy", "zero-cost:macs", "--budget", "20"]
    problem = CliRunner().invoke(cli, [*line, "--out", str(tmp_path / "run")]).exception
    assert isinstance(problem, NasError)
    assert problem.exit_code == 2
    assert says in str(problem)
    assert len(str(problem).splitlines()) <= 2


def fbnet_at_32(block: dict[str, int]) -> Architecture:
    """FBNet for CIFAR as HW-NAS-Bench has it, all blocks alike."""
    layers = [Layer(kind="conv", in_channels=3, out_channels=16, kernel=3, height=32, width=32)]
    for width, stride, depth in ((16, 1, 1), (24, 1, 4), (32, 2, 4), (64, 2, 4), (112, 1, 4), (184, 2, 4), (352, 1, 1)):
        for place in range(depth):
            into, height, _ = layers[-1].output
            own = stride if place == 0 else 1
            shape = {"in_channels": into, "out_channels": width, "height": height, "width": height, "stride": own}
            residual = own == 1 and into == width
            layers.append(Layer(kind="mbconv", mid_channels=into, residual=residual, **block, **shape))
    head = Layer(kind="head", in_channels=352, out_channels=100, mid_channels=1504, height=4, width=4)
    return Architecture(3, 32, 32, (*layers, head))


def test_networks_of_pixel3_are_those_of_its_source() -> None:
    estimate = load_table("pixel3").estimate(fbnet_at_32({"kernel": 3}))
    assert estimate.latency_ms == pytest.approx(7.7889731, abs=2e-4)  # printed in HW-NAS-Bench's notebook
    assert estimate.coverage["interpolated"] == 0
    found = check_table(load_table("pixel3"))
    assert len(found["whole_networks"]) == 2  # at 224 px, nothing was fitted to them
    assert found["worst_pct"] < 5


def test_pixel3_answers_beyond_its_rows_and_says_how_far_off_it_may_be() -> None:
    table = load_table("pixel3")
    assert table.model is not None
    block = Layer(
        kind="mbconv", in_channels=64, out_channels=64, mid_channels=192, kernel=5, residual=True, height=7, width=7
    )
    halved = block.changed(groups=2)
    plain, grouped, gated = table.lookup([block, halved, block.changed(se_channels=16)]).ms
    assert grouped / plain > halved.macs / block.macs + 0.3  # groups save work, and cost time to be taken apart
    assert plain < gated
    narrow, wide = table.model.band([block, block.changed(mid_channels=2304)])
    assert narrow == pytest.approx(16.4)
    assert wide > narrow
    assert table.header.error.band_pct.interpolated > narrow


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kernel": 7}, "`kernel` of a mbconv layer"),
        ({"groups": 4}, "`groups` of a mbconv layer"),
        ({"activation": "swish"}, "`activation` of a mbconv layer"),
        ({"height": 50, "width": 50}, "`height` of a mbconv layer"),
        ({"mid_channels": 2500}, r"lies in 8\.\.2400, got 2500"),
        ({"precision": "int8"}, "pixel3 is a table of float32, and this is asked in int8"),
    ],
)
def test_what_pixel3_refuses(settings: dict[str, Any], says: str) -> None:
    widths = {"in_channels": 16, "out_channels": 16, "mid_channels": 64}
    layer = {"kind": "mbconv", "kernel": 3, "height": 7, "width": 7, **widths}
    with pytest.raises(LatencyMissing, match=says):
        load_table("pixel3").lookup([Layer(**layer | settings)])


@pytest.mark.parametrize("target", ["pixel-cpu", "pixel3"])
def test_block_models_answer_for_projections_and_heads_of_any_kind(target: str) -> None:
    table = load_table(target)
    block = {"kind": "mbconv", "in_channels": 16, "out_channels": 24, "mid_channels": 96, "kernel": 3, "stride": 2}
    plain = Layer(**block, height=28, width=28)
    head = Layer(kind="pooled_head", in_channels=96, out_channels=10, mid_channels=64, height=7, width=7)
    bare = Layer(kind="head", in_channels=96, out_channels=10, height=7, width=7)
    layers = [plain, plain.changed(projection=True), head, head.changed(head_bias=False), bare]
    ms = table.lookup(layers).ms
    assert ms[0] < ms[1]
    assert ms[2] == ms[3]
    assert 0 < ms[4] < ms[2]
    assert table.model is not None
    assert table.model.band(layers[:2])[1] > table.model.band(layers[:1])[0]

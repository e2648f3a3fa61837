"""Lookup tables of once-for-all and ProxylessNAS: sums to the last digit, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from foreign import LOOKUP_PROXYLESS, LOOKUP_V3, conv, mcunet, mobilenet_v3
from small_run import nas

from nas.blocks.architecture import Architecture
from nas.errors import TableError
from nas.formats.onceforall import parse_onceforall
from nas.tables.lookup import import_table
from nas.tables.table import load_table

CONV = "Conv-input:32x32x3-output:16x16x16"
BLOCK = "expanded_conv-input:16x16x16-output:8x8x24-expand:3-kernel:3-stride:2-idskip:0"


def write(folder: Path, document: Any, name: str = "lookup.yaml") -> Path:
    file = folder / name
    file.write_text(json.dumps(document, indent=1) if name.endswith(".json") else yaml.safe_dump(document))
    return file


def proxyless() -> Architecture:
    document = mcunet(((16, 8, 3, 1, 1, None), (8, 16, 5, 2, 3, None)), resolution=32)
    document["feature_mix_layer"] = conv(16, 64, 1)
    document["classifier"]["in_features"] = 64
    return parse_onceforall(document, Path("net.json"))


@pytest.mark.parametrize("name", ["lookup.yaml", "160_lookup_table.json"])
def test_a_network_of_once_for_all_takes_the_sum_of_its_entries(tmp_path: Path, name: str) -> None:
    result = import_table(write(tmp_path, LOOKUP_V3, name), tmp_path / "note10")
    assert (result["entries"], result["rows"], result["left_out"]) == (8, {"measured": 5, "derived": 2}, {})
    table = load_table(tmp_path / "note10")
    found = table.estimate(parse_onceforall(mobilenet_v3(), Path("net.json"), 33))
    assert found.latency_ms == pytest.approx(sum(entry["mean"] for entry in LOOKUP_V3.values()), rel=1e-15)
    with_bias = mobilenet_v3()
    with_bias["feature_mix_layer"]["bias"] = True  # as timm's MobileNetV3 has
    assert table.estimate(parse_onceforall(with_bias, Path("net.json"), 33)).latency_ms == found.latency_ms
    rows = list(table.rows())
    assert (rows[0].latency_ms, rows[0].spread_ms, rows[0].samples) == (0.5254268537074148, 0.25, 79)
    assert (table.header.name, table.header.resolution, table.model) == ("note10", 33, None)


def test_a_network_of_proxylessnas_takes_the_sum_of_its_entries(tmp_path: Path) -> None:
    """Its classifier pools; what is not known is counted by kind, also what a kind's numbers do not allow."""
    odd = {
        "block0-input:16x16x16-output:16x16x8": {"mean": 1.0},
        "block0-input:8x8x16-output:8x8x8": {"mean": 1.0},
        "expanded_conv-input:8x8x16-output:8x8x24-expand:6-kernel:3-stride:1-idskip:1": {"mean": 1.0},  # adds 16 to 24
        "expanded_conv-input:8x8x16-output:8x8x16-expand:6-kernel:4-stride:1-idskip:1": {"mean": 1.0},  # an even kernel
        "a note": "of its author",
        "Conv_2-input:1x1x16-output:1x1x64": {"mean": 1.0},  # nothing comes before or after it
        f"{BLOCK}-dilation:2": {"mean": 1.0},
        BLOCK: {"cpu": 1.0},
    }
    result = import_table(write(tmp_path, LOOKUP_PROXYLESS | odd), tmp_path / "1st table, mine")
    counts = {kind: told["count"] for kind, told in result["left_out"].items()}
    assert counts == {"Conv_2": 1, "a note": 1, "block0": 2, "expanded_conv": 4}
    assert result["left_out"]["block0"]["first"] == "block0-input:16x16x16-output:16x16x8"
    table = load_table(tmp_path / "1st table, mine")
    assert table.name == "table-1st-table-mine"
    assert table.estimate(proxyless()).latency_ms == 1.5 + 2.25 + 3.125 + 0.5 + 0.75
    assert {row.provenance for row in table.rows() if row.layer.kind == "head"} == {"derived", "measured"}


def test_what_pools_on_its_own_belongs_to_the_head(tmp_path: Path) -> None:
    """Of MCUNet's kind, without a convolution before, and of ProxylessNAS's with one."""
    pooled = {
        CONV: {"mean": 1.0},
        "Conv_1-input:16x16x16-output:16x16x64": {"mean": 2.0},
        "AvgPool2D-input:16x16x16-output:1x1x16": {"mean": 4.0},
        "FCGlobalAveragePool2d-input:16x16x64-output:1x1x64": {"mean": 8.0},
        "Logits-input:1x1x16-output:10": {"mean": 16.0},
        "Logits-input:1x1x64-output:10": {"mean": 32.0},
    }
    assert import_table(write(tmp_path, pooled), tmp_path / "out")["left_out"] == {}
    heads = {
        (row.layer.in_channels, row.layer.mid_channels): row.latency_ms
        for row in load_table(tmp_path / "out").rows()
        if row.layer.kind == "head"
    }
    assert heads == {(16, 0): 4.0 + 16.0, (64, 0): 8.0 + 32.0, (16, 64): 2.0 + 8.0 + 32.0}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([CONV], "a lookup table is a mapping of blocks to times, got list"),
        ({}, "no entry is a block as once-for-all and ProxylessNAS name them"),
        ({"conv1": 2.0}, "with a `mean`; got 'conv1'"),
        ({BLOCK: {"cpu_b": 1.0, "gpu": 2.0}}, "with a `mean`; got 'expanded_conv-input"),
        ({"Conv-input:0x0x3-output:16x16x16": {"mean": 1.0}}, "no entry is a block"),
        ({"Conv-input:99999x99999x3-output:50000x50000x16": {"mean": 1.0}}, "no entry is a block"),
        ({"Conv-input:32x32x3-output:7": {"mean": 1.0}}, "no entry is a block"),
        ({CONV: {"mean": "fast"}}, f"{CONV}: `mean` is a number of at least 0, got 'fast'"),
        ({CONV: {"mean": -1}}, f"{CONV}: `mean` is a number of at least 0, got '-1'"),
        ({CONV: {"mean": 1.0, "count": True}}, "`count` is a number of at least 0, got 'True'"),
        ({CONV: {"mean": float("nan")}}, "`mean` is a number of at least 0, got 'nan'"),
        (
            {f"{BLOCK}-se:0-hs:0": {"mean": 1}, BLOCK.replace("d:3", "d:48") + "-se:0-hs:0": {"mean": 1}},
            "are one layer",
        ),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, document: Any, says: str) -> None:
    with pytest.raises(TableError) as caught:
        import_table(write(tmp_path, document), tmp_path / "out")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_as_typed(tmp_path: Path) -> None:
    write(tmp_path, LOOKUP_V3, "table.json")
    (tmp_path / "net.json").write_text(json.dumps(mobilenet_v3()))
    told = nas("table", "import", "table.json", "--out", "mine", cwd=tmp_path).stdout
    assert "5 measured and 2 derived, of 8 entries" in told
    words = told.splitlines()[-1].split()[2:]
    assert words[:3] == ["nas", "estimate", "NET"]
    estimate = nas("estimate", "net.json", *words[3:], "--resolution", "33", cwd=tmp_path).stdout
    assert estimate.startswith("latency   6.04 ms on mine (± 10 %)")
    for wrong, says in (("table.json", "an imported table goes into a new or empty folder"), ("none.yaml", "no such")):
        refused = nas("table", "import", wrong, "--out", "mine" if wrong == "table.json" else "x", cwd=tmp_path, code=2)
        assert says in refused.stderr
    checked = nas("table", "check", "./mine", "--json", cwd=tmp_path)
    assert json.loads(checked.stdout)["rows"] == 7

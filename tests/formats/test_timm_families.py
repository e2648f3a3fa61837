"""Networks of timm that are made of other blocks than MobileNets: equal outputs, parameters and MACs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from fvcore.nn import FlopCountAnalysis
from networks import randomize
from test_imports import imported

from nas.cli import cli
from nas.cost.recount import COUNTED, differences
from nas.errors import ArchitectureError
from nas.formats.timm_network import from_timm, timm_tensors

timm = pytest.importorskip("timm")


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("ghostnet_050", 2_587_292, 42_328_152),
        ("ghostnet_100", 5_182_508, 141_150_512),
        ("ghostnetv2_100", 6_156_908, 167_048_288),  # 6.1 M and 167 M, arXiv:2211.12905, table 1
        ("fasternet_t0", 3_905_500, 335_422_720),  # 3.9 M and 0.34 G, arXiv:2303.03667, table 2
    ],
)
def test_networks_of_timm(name: str, params: int, macs: int) -> None:
    theirs = randomize(timm.create_model(name), 1).eval()
    whole = from_timm(theirs)
    assert (whole.height, whole.params, whole.macs) == (224, params, macs)
    assert whole.params == sum(parameter.numel() for parameter in theirs.parameters())
    small = from_timm(theirs, 64)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, got = theirs(x), imported(small, timm_tensors(theirs))(x)
        counted = FlopCountAnalysis(theirs, x[:1]).tracer_warnings("none").unsupported_ops_warnings(False)
        operators = counted.uncalled_modules_warnings(False).by_operator()
    assert float((expected - got).abs().max()) <= 1e-5 * float(expected.abs().max())
    assert small.macs == sum(operators[operator] for operator in COUNTED)
    assert differences(small) == []


def test_the_command_brings_one_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = timm.create_model("ghostnet_050", num_classes=7)
    torch.save(model.state_dict(), "mine.pth")
    words = ["import", "timm:ghostnet_050", "--weights", "mine.pth", "--resolution", "64", "--out", "mine", "--json"]
    run = CliRunner().invoke(cli, words)
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert (told["dialect"], told["num_classes"], told["resolution"]) == ("timm", 7, 64)
    assert {layer["kind"] for layer in json.loads(Path("mine/config.json").read_text())["layers"]} == {
        *("conv", "ghost", "pooled_head")
    }


@pytest.mark.parametrize(
    ("name", "options", "size", "problem"),
    [
        ("ghostnetv3_050", {}, None, r"blocks\.0\.0 of this timm network: no block of nas is a GhostBottleneckV3"),
        ("ghostnetv2_100", {}, 32, r"Pooling of 2×2 pixels needs as many at least, got 1×1"),
        ("fasternet_t0", {}, 100, "multiples of 32 pixels a side, got 100"),
        ("fasternet_t0", {"layer_scale_init_value": 0.1}, None, "no block of nas has a scale by layer"),
        ("ghostnet_050", {"num_classes": 0}, None, "no block of nas has a network without a classifier"),
    ],
)
def test_what_no_block_stands_for(name: str, options: dict[str, object], size: int | None, problem: str) -> None:
    with pytest.raises(ArchitectureError, match=problem):
        from_timm(timm.create_model(name, **options), size)

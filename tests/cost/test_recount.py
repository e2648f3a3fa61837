"""What is told where fvcore and the arithmetic disagree; that they agree is in tests/blocks/test_agreement.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nas.blocks import Architecture, Layer
from nas.blocks.convolution import Conv
from nas.cli import cli
from nas.cost.recount import differences
from nas.formats.winner import export


def network() -> Architecture:
    first = Layer(kind="conv", in_channels=3, out_channels=5, kernel=3, stride=2, height=8, width=8)
    return Architecture(3, 8, 8, (first, Layer(kind="conv", in_channels=5, out_channels=7, height=4, width=4)))


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arithmetic forgets that a pointwise convolution is one."""
    right = Conv.macs
    monkeypatch.setattr(Conv, "macs", lambda op, *inputs: right(op, *inputs) if op.kernel > 1 else 0)


def test_counts_that_agree_are_not_told() -> None:
    assert differences(network()) == []


def test_a_difference_is_told_with_both_numbers_and_its_layer(wrong: None) -> None:
    first, second = 5 * 3 * 9 * 16, 7 * 5 * 16  # out, in, kernel, 4 x 4 outputs
    (line,) = differences(network())
    assert line.startswith(
        f"fvcore counts {first + second:,} MACs in the torch module, nas {first:,}. 1 layer(s) differ"
    )
    assert f"layer 1 (conv): {second:,}, not 0." in line


def test_an_export_tells_it_on_stderr(wrong: None, tmp_path: Path) -> None:
    export(network(), tmp_path / "in", ["config"])
    words = ["export", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--format"]
    told = CliRunner().invoke(cli, [*words, "torch"])
    assert told.exit_code == 0
    assert "fvcore counts" in told.stderr
    assert "fvcore" not in told.stdout
    assert "fvcore" not in CliRunner().invoke(cli, [*words, "config"]).stderr  # which has no torch module


def test_a_network_that_would_be_run_for_long_is_not_counted() -> None:
    wide = Layer(kind="conv", in_channels=3, out_channels=4096, kernel=7, height=224, width=224)
    assert "is left out" in differences(Architecture(3, 224, 224, (wide,)))[0]

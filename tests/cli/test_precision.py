"""Networks in 8 bits as typed, on the fake device: tables of their own, and requests that mix precisions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from small_run import SPACE, nas

from nas.blocks.precision import MEASURED
from nas.devices.fake import Fake
from nas.formats.config import read_config
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.space.adapt import in_precision, options_of
from nas.space.load import load_space
from nas.system.teller import Silent
from nas.tables.header import BesideFloat
from nas.tables.table import load_table

SEARCH = ("search", "--space", "small.yaml", "--accuracy", "zero-cost:macs", "--budget", "8", "--latency", "1ms")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small space, and a table of it in each precision."""
    folder = tmp_path_factory.mktemp("precision")
    (folder / "small.yaml").write_text(SPACE)
    for precision in MEASURED:
        space = load_space(folder / "small.yaml", precision=precision)
        profile(space, "fake", Fake(), folder / precision, Effort(50.0, 1.0), Silent())
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It, of a user whose device `fake` has both tables."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    own = tmp_path / "data" / "nas" / "latency_tables"
    shutil.copytree(made / "float32", own / "fake-small")
    shutil.copytree(made / "int8", own / "fake-small-int8")
    return made


def test_a_space_means_the_same_in_each_precision(made: Path) -> None:
    plain = load_space(made / "small.yaml")
    small = load_space(made / "small.yaml", precision="int8")
    genotype = plain.sample(1, np.random.default_rng(0))[0]
    assert small.name == "small-int8"
    assert (
        options_of("small-32px-keep-10c-int8") == "small --resolution 32 --strides keep --classes 10 --precision int8"
    )
    assert small.decode(genotype) == plain.decode(genotype).in_precision("int8")
    assert {layer.precision for layer in small.layers()} == {"int8"}
    assert small.fingerprint != plain.fingerprint == in_precision(small, "float32").fingerprint


def test_a_table_in_8_bits_tells_its_error_and_what_it_saves(made: Path) -> None:
    table, plain = (load_table(made / precision) for precision in ("int8", "float32"))
    beside = table.header.beside_float
    assert table.header.precision == "int8"
    assert plain.header.beside_float is None
    assert "precision" not in (made / "float32" / "profile.json").read_text()
    assert table.networks_error is not None
    assert table.networks_error["mape_pct"] < 5
    assert beside is not None
    assert 0.3 < beside.ratio < 0.8  # a multiply-accumulate is half as dear there, and other work is not
    shown = nas("table", "show", "int8", cwd=made).stdout
    assert f"{100 * beside.ratio:.0f} % of the time of the same networks in float32" in shown
    assert "slower here by 1.9x" in BesideFloat(networks=8, ratio=1.94).told
    difference = json.loads(nas("table", "diff", "./float32", "./int8", "--json", cwd=made).stdout)
    assert difference["rows"]["both"] == len(table.keys)
    assert 0.3 < difference["ratio"] < 0.8


def test_a_search_in_8_bits_ends_with_a_measured_winner_and_its_file(home: Path, tmp_path: Path) -> None:
    done = nas(*SEARCH, "--target", "fake", "--precision", "int8", "--out", str(tmp_path / "run"), cwd=home)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["space"], result["target"]) == ("small-int8", "int8")  # as its header calls it
    assert "times the time of itself in float32" in done.stdout
    measured = result["measured"]
    assert measured["raw_ms"] < measured["float32_ms"]
    assert result["doubts"] == []
    config = read_config(tmp_path / "run" / "winner" / "config.json")
    assert {layer.precision for layer in config.architecture.layers} == {"int8"}
    model = onnx.load(tmp_path / "run" / "winner" / "model.int8.onnx")
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    assert "arch.txt" in done.stdout
    flash = {
        p: json.loads(
            nas("estimate", str(tmp_path / "run"), "--precision", p, "--target", "fake", "--json", cwd=home)[1]
        )
        for p in MEASURED
    }
    assert flash["int8"]["latency_ms"] == pytest.approx(result["winner"]["latency_ms"])
    assert flash["float32"]["latency_ms"] > flash["int8"]["latency_ms"]
    assert flash["float32"]["flash_bytes"] > 2 * flash["int8"]["flash_bytes"]


def test_a_search_says_that_8_bits_are_slower_here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.devices.fake.SHARE_OF_INT8", 40.0)
    done = nas(*SEARCH, "--target", "fake", "--precision", "int8", "--out", str(tmp_path / "run"), cwd=home)
    assert "int8 is slower here by" in done.stdout
    assert "than the winner in float32: leave --precision out" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            (*SEARCH, "--target", "./int8"),
            "int8 is a table of int8, and this is asked in float32. Ask with --precision",
        ),
        ((*SEARCH, "--target", "./float32", "--precision", "int8"), "float32 is a table of float32, and this is asked"),
        (
            (*SEARCH, "--target", "browser", "--precision", "int8"),
            "measured on cpu, ssh, fake by ONNX Runtime, not on browser",
        ),
        ((*SEARCH, "--target", "ssh:pi@board:openvino", "--precision", "int8"), "not on OpenVINO on ssh"),
        ((*SEARCH, "--target", "fake", "--precision", "int4"), "'int4' is not one of 'float32', 'int8'"),
        (
            ("search", "--space", "mobile", "--target", "pixel-cpu", "--precision", "int8"),
            "pixel-cpu is a table of float32",
        ),
        (
            ("profile", "--space", "small.yaml", "--target", "fake", "--out", "int8"),
            "int8 holds a table of another precision",
        ),
        (("profile", "--space", "small.yaml", "--target", "fake", "--precision", "float16"), "is float32 or int8, got"),
        (
            ("profile", "--space", "small.yaml", "--target", "fake", "--precision", "5%", "--interval", "5%"),
            "--precision is float32 or int8, got '5%'",
        ),
        (("profile", "--space", "small.yaml", "--target", "adb:X", "--precision", "int8"), "not on adb"),
        (("table", "merge", "./int8", "./float32", "--out", "merged"), "They differ in precision"),
        (
            (
                "scale",
                "mobilenetv2-1.0",
                "--target",
                "browser",
                "--latency",
                "1ms",
                "--out",
                "x",
                "--precision",
                "int8",
            ),
            "on",
        ),
    ],
)
def test_requests_that_mix_precisions(home: Path, words: tuple[str, ...], message: str) -> None:
    result = nas(*words, cwd=home, code=2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (home / "runs").exists()

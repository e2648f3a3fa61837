"""Tables without rows, of boards in MLPerf Inference: what their headers own up to, what they answer and what not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nas.cli import cli
from nas.space.load import load_space
from nas.space.space import Space
from nas.system.places import shipped_tables
from nas.tables.table import load_table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

from mlperf_networks import archdef, network
from mlperf_tables import SHARES, System, errors, fit

BOARDS = [name for name in shipped_tables() if (table := load_table(name)).model and not table.keys]
NAMED = {"raspi4", "raspi4-int8", "odroid-n2-int8", "orin", "graviton3", "m1"}


def test_those_that_are_promised_ship() -> None:
    assert set(BOARDS) >= NAMED
    assert not {"raspi3", "m1-int8", "rk3588s"} & set(BOARDS)  # further off than 8 %


@pytest.fixture(scope="module")
def mobile() -> Space:
    return load_space("mobile")


@pytest.mark.parametrize("name", BOARDS)
def test_a_table_without_rows_says_what_it_is(name: str, mobile: Space) -> None:
    table = load_table(name)
    header, error = table.header, table.networks_error
    assert "Not verified by MLCommons Association. Threads" in header.source
    assert (header.threads, header.licence) == ("not stated", "Apache-2.0")
    assert header.precision == ("int8" if name.endswith("-int8") else "float32")
    assert error is not None
    left_out = header.error.leave_one_stage_out
    assert max(left_out["family_left_out_mean_pct"], left_out["width_left_out_mean_pct"]) <= 8
    assert error["mape_pct"] == pytest.approx(left_out["family_left_out_mean_pct"], abs=0.01)
    assert sum(third["count"] for third in error["thirds"]) == error["count"]
    assert header.error.band_pct.interpolated > 2 * error["mape_pct"] - 4  # nine in ten, not the middle
    assert table.answers_all(mobile)
    assert table.checked_on(mobile) == error
    estimate = table.estimate(network("mobilenet_v3", "large", 1.0, 224))
    assert estimate.coverage["interpolated"] == pytest.approx(1)
    assert estimate.error_pct == pytest.approx(header.error.band_pct.interpolated)


@pytest.mark.parametrize(
    ("target", "key", "ms"),
    [
        ("orin", ("mobilenet_v1", "", 1.0, 224), 37.0094),
        ("orin", ("mobilenet_v2", "", 0.5, 160), 4.646),
        ("orin", ("mobilenet_v3", "large", 1.0, 224), 18.2866),
        ("raspi4", ("mobilenet_v2", "", 1.0, 224), 62.4096),
        ("raspi4", ("efficientnet_lite", "lite4", 1.0, 300), 365.0499),
        ("raspi4-int8", ("mobilenet_v1", "", 1.0, 224), 27.3829),
    ],
)
def test_published_networks_are_within_the_band(target: str, key: Any, ms: float) -> None:
    estimate = load_table(target).estimate(network(*key))
    assert abs(estimate.latency_ms / ms - 1) < estimate.error_pct / 100


@pytest.mark.parametrize(
    ("key", "macs", "params"),
    [
        (("mobilenet_v1", "", 1.0, 224), 568.7e6, 4.23e6),
        (("mobilenet_v2", "", 1.4, 224), 582e6, 6.11e6),
        (("mobilenet_v3", "large", 1.0, 224), 216.6e6, 5.48e6),
        (("mobilenet_v3", "small-minimalistic", 1.0, 224), 52.3e6, 2.04e6),
        (("efficientnet_lite", "lite4", 1.0, 300), 2553e6, 13.0e6),
    ],
)
def test_their_networks_are_the_published_ones(key: Any, macs: float, params: float) -> None:
    found = network(*key)
    assert found.macs == pytest.approx(macs, rel=2e-3)
    assert found.params == pytest.approx(params, rel=5e-3)


def test_a_sum_is_found_and_holds_for_a_family_that_was_left_out() -> None:
    keys = [("mobilenet_v1", "", w, r) for w in (0.25, 0.5, 1.0) for r in (128, 224)]
    keys += [("mobilenet_v2", "", w, r) for w in (0.35, 0.5, 1.0) for r in (96, 160, 224)]
    keys += [("mobilenet_v3", size, 1.0, 224) for size in ("small", "large", "large-minimalistic")]
    keys += [("efficientnet_lite", "lite1", 1.0, 240), ("efficientnet_lite", "lite4", 1.0, 300)]
    names = ("family", "variant", "width", "resolution")
    blank = [dict(zip(names, map(str, key), strict=True)) | {"p50_ms": "1"} for key in keys]
    asked = System("v1", "us", "board-tflite", "float32", tuple(blank)).asked
    true = [0.08, 0.2, 0.5, 1.0, 1.0, 0.01, 0.5, 0.0, 0.02]
    boards = []
    for name, pace in (("board-tflite", 1.0), ("other-tflite", 3.0)):
        ms = pace * asked @ (SHARES.T @ true)
        rows = tuple(row | {"p50_ms": repr(float(time))} for row, time in zip(blank, ms, strict=True))
        boards.append(System("v1", "us", name, "float32", rows))
    found = fit(boards[0].asked, boards[0].ms)
    assert (found >= 0).all()
    assert asked @ (SHARES.T @ found) == pytest.approx(boards[0].ms, rel=0.02)
    off = {name: abs(values).mean() for name, values in errors(boards[0], boards, "family").items()}
    assert off["terms"] < 5
    assert off["macs"] > 4 * off["terms"]


def nas(*words: str) -> Any:
    return CliRunner().invoke(cli, words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--space", "fbnet"), "`groups` of a mbconv layer in a 96 to 320 px network is one of 1, got 2"),
        (("--space", "mobile", "--resolution", "64", "--strides", "keep"), "is one of 96, 104, 112, … 320, got 64"),
        (("--space", "nas-bench-macro"), "got 32"),
        (("--space", "attentive"), "`activation` of a conv layer in a 96 to 320 px network"),
        (("--space", "mnasnet"), "`kernel` of a conv layer in a 96 to 320 px network is one of 1, 3, got 5"),
    ],
)
def test_what_lies_outside_is_refused_with_the_range(
    words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.tables.listing.shipped", list)  # which tables do answer is not asked here
    found = nas("search", *words, "--target", "raspi4", "--latency", "60ms", "--out", str(tmp_path / "run"))
    problem: Any = found.exception
    assert problem.exit_code == 2
    with pytest.raises(type(problem), match=says):
        raise problem


def test_a_bound_is_answered_with_the_band_and_the_error(tmp_path: Path) -> None:
    words = ("--accuracy", "zero-cost:macs", "--budget", "20", "--out", str(tmp_path / "run"), "--json")
    found = json.loads(nas("search", "--space", "mobile", "--target", "raspi4", "--latency", "60ms", *words).stdout)
    band = load_table("raspi4").header.error.band_pct.interpolated
    assert found["winner"]["latency_ms"] <= 60
    assert found["winner"]["coverage"]["interpolated"] == pytest.approx(1)
    assert found["winner"]["latency_error_pct"] == pytest.approx(band)
    assert found["networks_error"]["count"] == 43


def test_a_check_tells_what_was_left_out_and_a_summary_that_nothing_is_a_row() -> None:
    shown = nas("table", "check", "odroid-n2-int8").stdout
    assert "mobilenet v2 left out mean" in shown
    assert "on 39 whole networks" in shown
    assert "no rows: all is interpolated" in nas("table", "show", "raspi4").stdout


def test_networks_of_other_sizes_are_answered(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps(archdef("mobilenet_v2", "", 0.75, 160)))
    found = json.loads(nas("estimate", str(tmp_path / "net.json"), "--target", "raspi4", "--json").stdout)
    half, whole = (load_table("raspi4").estimate(network("mobilenet_v2", "", w, 160)).latency_ms for w in (0.5, 1.0))
    assert half < found["latency_ms"] < whole

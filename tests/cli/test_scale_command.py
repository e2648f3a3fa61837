"""`nas scale`: what it writes and prints, and how it answers odd requests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import nas

from nas.runs.network import find_network

NET = ("mobilenetv2-0.35", "--resolution", "32")


@pytest.mark.parametrize(("target", "bound"), [("pixel-cpu", 30.0), ("fake", 0.25)])
def test_what_is_written_is_within_the_bound_and_a_network_like_any_other(
    target: str, bound: float, tmp_path: Path
) -> None:
    net = NET if target == "fake" else ("mobilenetv2-1.0",)
    words = ("scale", *net, "--target", target, "--latency", f"{bound}ms", "--json", "--out")
    found = json.loads(nas(*words, "out", cwd=tmp_path).stdout)
    taken = found["latency_ms"] if target == "pixel-cpu" else found["measured"]["measured_ms"]
    assert 0.8 * bound < taken <= bound
    assert (found["measured"] is None) == (target == "pixel-cpu")
    config = find_network(tmp_path / "out").config
    assert (config.architecture.macs, config.architecture.params) == (found["macs"], found["params"])
    assert config.metrics is not None
    assert config.metrics["scaled"] == {"from": net[0], "width": found["width"]}
    assert config.weights == "random"
    again = nas(*words, "out", cwd=tmp_path, code=2)
    assert "something is there already" in again.stderr


def test_a_person_reads_the_width_the_latency_and_the_size(tmp_path: Path) -> None:
    words = ("scale", "mobilenetv2-1.0", "--target", "pixel-cpu", "--latency", "30ms", "--out", "out")
    text = nas(*words, cwd=tmp_path).stdout
    assert "0.52 times as wide" in text
    assert "asked ≤ 30.0 ms · table 29.8 ms on pixel-cpu" in text
    assert "1,982,776 parameters" in text


@pytest.mark.slow
def test_a_network_is_scaled_by_the_clock_of_this_machine(tmp_path: Path) -> None:
    words = ("scale", "mnasnet-a1-0.35", "--resolution", "32", "--target", "cpu", "--latency", "2ms", "--out", "out")
    found = json.loads(nas(*words, "--json", cwd=tmp_path).stdout)
    assert found["measured"]["measured_ms"] <= 2


ODD = {
    ("--latency", "2.5"): (2, "A latency is a positive number with its unit"),
    ("--latency", "-1ms"): (2, "A latency is a positive number with its unit"),
    ("--latency", "1us"): (1, "Scaled to 0.05 of its width the network still takes"),
    ("--target", "nowhere"): (2, "No target named 'nowhere'"),
    ("--resolution", "0"): (2, "`--resolution` is a whole number"),
    ("--out", "full"): (2, "something is there already"),
    ("--out", "full/file"): (2, "something is there already"),
}


@pytest.mark.parametrize("words", ODD, ids=" ".join)
def test_odd_requests_are_answered_and_nothing_is_written(words: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    code, message = ODD[words]
    usual = {"--target": "pixel-cpu", "--latency": "30ms", "--out": "out"} | dict([words])
    options = [word for pair in usual.items() for word in pair]
    done = nas("scale", "mobilenetv2-1.0", *options, cwd=tmp_path, code=code)
    assert message in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_network_that_is_none_is_told(tmp_path: Path) -> None:
    done = nas("scale", "resnet", "--target", "fake", "--latency", "1ms", "--out", "out", cwd=tmp_path, code=2)
    assert "No network named 'resnet'" in done.stderr

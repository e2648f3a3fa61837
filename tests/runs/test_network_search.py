"""A search of what a trained network has in it, from request to winner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import nas

from nas.runs.run import Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a small network that was trained on digits."""
    folder = tmp_path_factory.mktemp("own")
    blocks = [["ds_r1_k3_s2_c8"], ["ir_r2_k5_s2_e2_c16"]]
    network = {"resolution": 16, "stem": 8, "head": 24, "activation": "relu", "num_classes": 10, "blocks": blocks}
    (folder / "own.json").write_text(json.dumps(network))
    words = ["train", "own.json", "--data", "digits", "--epochs", "1"]
    nas(*words, "--out", "digits-net", cwd=folder)
    return folder / "digits-net"


def test_a_network_trained_on_these_pictures_is_shrunk(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    words = ("--network", str(trained), "--target", "fake", "--latency", "80%", "--data", "digits")
    words += ("--finalists", "0", "--budget", "6")
    err = nas("search", *words, "--accuracy", "supernet:3", "--out", "r", cwd=tmp_path).stderr
    result = Run.load(tmp_path / "r").result
    whole = result.references["digits-net"]
    assert result.bounds["latency_ms"] == pytest.approx(0.8 * whole.latency_ms)
    assert result.winner.latency_ms <= result.bounds["latency_ms"]
    assert "tuned" not in err  # it knows these pictures
    assert (tmp_path / "r" / "teacher" / "model.safetensors").is_file()
    assert (tmp_path / "r" / "winner" / "model.safetensors").is_file()
    report = (tmp_path / "r" / "report.html").read_text()
    assert "--network" in report
    assert "80%" in report
    nas("search", "--resume", "--out", "r", cwd=tmp_path)


@pytest.mark.parametrize("how", [["--controller", "exact"], ["--controller", "netadapt", "--budget", "2k"]])
def test_it_is_shrunk_by_what_each_option_costs_alone(trained, tmp_path, monkeypatch, how):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    words = ("--network", str(trained), "--target", "fake", "--latency", "80%", "--data", "digits", "--finalists", "0")
    nas("search", *words, "--accuracy", "sensitivity:3", *how, "--out", "r", cwd=tmp_path)
    result = Run.load(tmp_path / "r").result
    assert result.proof.proven
    assert result.winner.latency_ms <= result.bounds["latency_ms"]
    assert result.winner.accuracy <= result.references["digits-net"].accuracy  # around which losses are measured


def test_what_a_proof_found_races_against_faster_ones(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("nas.runs.race.NETWORKS", ())  # published networks are raced elsewhere
    words = ("--network", str(trained), "--target", "fake", "--latency", "99%", "--data", "digits", "--finalists", "3")
    nas("search", *words, "--accuracy", "sensitivity:3", "--controller", "exact", "--out", "r", cwd=tmp_path)
    result = Run.load(tmp_path / "r").result
    own = [runner for runner in result.race.runners if runner.decisions is not None]
    ms = sorted([runner.latency_ms for runner in own], reverse=True)
    assert len(ms) == result.evaluations == 3
    assert result.bounds["latency_ms"] >= ms[0] >= ms[1] / 0.96 >= ms[2] / 0.96**2
    assert result.proof.proven


NETWORK = ("--network", "mobilenetv2-1.0", "--target", "fake")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--space", "elastic:nothing", "--target", "fake"], "No network named"),
        (["--space", "mobile", "--network", "mobilenetv2-1.0", "--target", "fake"], "not both"),
        (["--network", "nothing", "--target", "fake"], "No network named"),
        (["--space", "mobile", "--weights", "x", "--target", "pixel-cpu"], "give it by --network"),
        ([*NETWORK, "--weights", "x"], "add --data"),
        ([*NETWORK, "--weights", "x", "--data", "digits", "--accuracy", "zero-cost"], "has no use for --weights"),
        ([*NETWORK, "--weights", "/no", "--data", "digits"], "/no"),
        ([*NETWORK, "--latency", "0%"], "percentage"),
        ([*NETWORK, "--latency", "x%"], "percentage"),
        ([*NETWORK, "--resolution", "32", "--strides", "drop"], "strides"),
    ],
)
def test_wrong_requests_are_told(words, told, tmp_path):
    err = nas("search", *words, "--out", "r", cwd=tmp_path, code=2).stderr
    assert told in err
    assert len(err.strip().splitlines()) <= 2
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("words", [["show"], ["show", "mobile", "--network", "fbnet-a"], ["show", "--network", "no"]])
def test_spaces_show_takes_one_space(words, tmp_path):
    nas("spaces", *words, cwd=tmp_path, code=2)
    assert '"stage4.block2.mid"' in nas("spaces", "show", "--network", "mobilenetv2-1.0", "--json", cwd=tmp_path).stdout

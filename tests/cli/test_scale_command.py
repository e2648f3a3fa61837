"""`nas scale`: what it writes and prints, and how it answers odd requests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from small_run import nas

from nas.errors import Interrupted
from nas.formats.config import to_config
from nas.runs.network import find_network
from nas.runs.proportions import WAYS
from nas.runs.scaling import measured_to

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


SMALL = {"resolution": 64, "stem": 32, "head": 0, "activation": "relu", "num_classes": 10, "blocks": [
    ["ds_r1_k3_s1_e1_c32"], ["ir_r2_k3_s2_e3_c48"], ["ir_r3_k3_s2_e3_c96"]]}  # fmt: skip
FAMILY = ("scale", "small.json", "--target", "pixel3", "--latency", "5ms,0.002s,10ms", "--out", "out")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a small network in it."""
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    return tmp_path


@pytest.mark.parametrize("by", WAYS)
def test_a_family_has_a_member_within_each_bound(by: str, place: Path) -> None:
    found = json.loads(nas(*FAMILY, "--by", by, "--classes", "7", "--json", cwd=place).stdout)["members"]
    assert [member["asked_ms"] for member in found] == [5, 2, 10]
    for member in found:
        assert 0.65 * member["asked_ms"] < member["latency_ms"] <= member["asked_ms"]
        assert member["measured"] is None
        config = find_network(place / "out" / f"{member['asked_ms']:g}ms").config
        network = config.architecture
        assert (network.macs, network.params) == (member["macs"], member["params"])
        assert (network.height, network.num_classes) == (member["resolution"], 7)
        assert config.metrics is not None
        assert config.metrics["scaled"].get("by", "width") == by
    assert (len({member["resolution"] for member in found}) > 1) == (by != "width")
    assert (len({member["layers"] for member in found}) > 1) == (by == "compound")


def test_a_person_reads_a_line_for_each_member_also_where_there_is_none(place: Path) -> None:
    """What was asked for before is there again, and what is asked for besides is added."""
    nas(*FAMILY, "--by", "fast", cwd=place)
    done = nas(*(word.replace("10ms", "9us,9ms") for word in FAMILY), "--by", "fast", cwd=place, code=1)
    lines = done.stdout.splitlines()
    assert lines[0] == "network   small.json · fast scaling · on pixel3 · weights are random"
    titles = ["asked", "table", "width", "layers", "pixels", "MACs", "parameters", "written"]
    assert lines[1].split() == ["members", *titles]
    assert lines[2].split()[:5] == ["5", "ms", "4.89", "±", "1.4"]
    assert lines[2].endswith("out/5ms/config.json")
    assert lines[4].split() == ["0.009", "ms", "none"]
    told = r"No network for 0\.009ms\. Scaled to 0\.06 of its width, 48 pixels and 5 layers, the network still takes"
    assert re.search(told, done.stderr)
    assert sorted(path.name for path in (place / "out").iterdir()) == ["10ms", "2ms", "5ms", "9ms"]


def test_pictures_that_are_not_square_stay_so(place: Path) -> None:
    config = to_config(find_network(place / "small.json").config.architecture.resized(64, 96))
    (place / "wide.json").write_text(json.dumps(config))
    words = ("scale", "wide.json", "--target", "pixel3", "--latency", "3ms,8ms", "--by", "compound", "--out", "out")
    found = json.loads(nas(*words, "--json", cwd=place).stdout)["members"]
    assert [member["resolution"] for member in found] == [[56, 80], [64, 96]]
    assert "64×96" in nas(*words, cwd=place).stdout


def test_a_table_of_one_picture_size_keeps_members_to_it(tmp_path: Path) -> None:
    words = ("scale", "mobilenetv2-0.35", "--target", "pixel-cpu", "--latency", "20ms", "--by", "compound")
    done = nas(*words, "--out", "out", cwd=tmp_path)
    assert "pixel-cpu answers for pictures of 224 pixels: members keep to these" in done.stderr
    assert "layers, 224 pixels" in done.stdout


MEASURED = ("scale", "small.json", "--target", "fake", "--latency", "0.8ms,2ms", "--by", "fast", "--out", "out")


def test_measured_members_are_kept_when_the_command_is_run_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def once(*asked: Any) -> Any:
        monkeypatch.setattr("nas.runs.family.measured_to", interrupted)
        return measured_to(*asked)

    def interrupted(*asked: Any) -> Any:
        raise Interrupted("12 samples were taken.")

    monkeypatch.setattr("nas.runs.family.measured_to", once)
    done = nas(*MEASURED, cwd=place, code=130)
    assert "the same command goes on" in done.stderr
    monkeypatch.setattr("nas.runs.family.measured_to", measured_to)
    first = place / "out" / "0.8ms" / "config.json"
    assert [path.name for path in (place / "out").iterdir()] == ["0.8ms"]
    written = first.stat().st_mtime_ns
    (place / "out" / "2ms").mkdir()
    (place / "out" / "2ms" / ".config.json.killed.part").write_text("{")
    found = json.loads(nas(*MEASURED, "--json", cwd=place).stdout)["members"]
    assert first.stat().st_mtime_ns == written
    assert all(member["measured"]["measured_ms"] <= member["asked_ms"] for member in found)
    assert [path.name for path in (place / "out" / "2ms").iterdir()] == ["config.json"]
    monkeypatch.setattr("nas.runs.family.attached", None)  # nothing is left to be measured
    assert json.loads(nas(*MEASURED, "--json", cwd=place).stdout)["members"] == found
    for words in (("--by", "width"), ("--latency", "0.8ms,2ms,3ms", "--classes", "3"), ("--target", "pixel3")):
        other = nas(*MEASURED, *words, cwd=place, code=2)
        assert "out/0.8ms: something else is there already" in other.stderr


def test_a_broken_member_is_something_else(place: Path) -> None:
    (place / "out" / "0.8ms").mkdir(parents=True)
    (place / "out" / "0.8ms" / "config.json").write_text('{"format": "nas-architecture/1", "metrics": {"scaled": 1}}')
    assert "something else is there already" in nas(*MEASURED, cwd=place, code=2).stderr
    (place / "out" / "notes.txt").write_text("mine")
    assert "out: something is there already" in nas(*MEASURED, cwd=place, code=2).stderr


@pytest.mark.slow
def test_a_network_is_scaled_by_the_clock_of_this_machine(tmp_path: Path) -> None:
    words = ("scale", "mnasnet-a1-0.35", "--resolution", "32", "--target", "cpu", "--latency", "2ms", "--out", "out")
    found = json.loads(nas(*words, "--json", cwd=tmp_path).stdout)
    assert found["measured"]["measured_ms"] <= 2


ODD = {
    ("--latency", "30ms,"): (2, "A latency is a positive number with its unit"),
    ("--latency", "30ms;40ms"): (2, "A latency is a positive number with its unit"),
    ("--latency", "30ms,0.03s"): (2, "Each latency of a family stands once, got 0.03s twice"),
    ("--latency", "1us,2us"): (1, "No network for 0.001ms, 0.002ms. Scaled to 0.05 of its width"),
    ("--latency", "50%"): (2, "A latency is a positive number with its unit"),
    ("--by", "depth"): (2, "'depth' is not one of 'width', 'fast', 'compound'"),
    ("--classes", "0"): (2, "`--classes` is a whole number of 1 to 65,536, got 0"),
    ("--classes", "many"): (2, "'many' is not a valid integer"),
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

"""`nas train` as typed."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny import TINY, nas, patched, write_config

from nas.blocks import Architecture, Layer
from nas.errors import ArchitectureError, NasError
from nas.formats.card import EXAMPLES
from nas.formats.config import read_config, to_config
from nas.formats.weights import random_weights
from nas.formats.weights_file import read_weights
from nas.training.board import board
from nas.training.history import Epoch
from nas.training.network import check, start

QUICK = ["--data", "digits", "--epochs", "2"]
OFTEN = "import nas.training.stepper as s; s.CHECKPOINT_SECONDS = 0.1"


def epoch_lines(stderr: str) -> list[tuple[int, str]]:
    """Number and line of every epoch that a log was told of."""
    form = r"nas: epoch (\d+) of 20 · loss \d\.\d{3} · held-out top-1 [\d.]+ % · [\d,]+ img/s( · \d+:\d\d to go)?"
    return [(int(found[1]), line) for line in stderr.splitlines() if (found := re.fullmatch(form, line))]


def test_what_a_training_leaves(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "answers.json",
        "checkpoint.safetensors",
        "config.json",
        "metrics.csv",
        "model.safetensors",
        "request.json",
        "result.json",
    ]
    config = read_config(trained / "config.json")
    assert config.weights == "trained"
    assert config.architecture == TINY
    assert config.pictures is not None
    assert config.pictures.classes == tuple(map(str, range(10)))
    assert config.metrics is not None
    accuracy = config.metrics["accuracy"]
    assert accuracy["value"] > 80
    assert accuracy["count"] == 359
    assert 0.5 < accuracy["sigma"] < 2.5
    assert accuracy["data"] == "digits"
    assert accuracy["recipe"]["epochs"] == 12
    assert accuracy["seed"] == 0
    assert read_weights(trained / "config.json", TINY).keys() == random_weights(TINY, 0).keys()
    result = json.loads((trained / "result.json").read_text())
    assert result["test"]["top1"] == accuracy["value"]
    with (trained / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(n) for n in range(1, 13)]


def test_a_finished_one_prints_its_result_again(trained: Path) -> None:
    before = (trained / "model.safetensors").stat().st_mtime_ns
    text = nas("train", "--resume", "--out", str(trained), cwd=trained.parent).stdout
    for word in ("digits", "img/s", "top-1", "±", "359 pictures", "drawn from the seed"):
        assert word in text
    document = json.loads(nas("train", "--resume", "--out", str(trained), "--json", cwd=trained.parent).stdout)
    assert document["training"] == str(trained)
    assert (trained / "model.safetensors").stat().st_mtime_ns == before


def test_inherited_weights_are_a_better_start(trained: Path, tmp_path: Path) -> None:
    def first_epoch(*more: str, out: str) -> float:
        arguments = ["train", str(trained), "--data", "digits", "--epochs", "1", "--seed", "7", "--out", out, *more]
        nas(*arguments, cwd=tmp_path)
        with (tmp_path / out / "metrics.csv").open() as file:
            return float(next(csv.DictReader(file))["train_top1"])

    assert first_epoch(out="tuned") > first_epoch("--from-scratch", out="anew") + 40
    assert "inherited, trained" in json.loads((tmp_path / "tuned/result.json").read_text())["network"]["weights"]
    by_file = first_epoch("--weights", str(trained / "model.safetensors"), out="named")
    assert by_file == first_epoch(out="again")


def test_a_teacher(trained: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    nas("train", str(config), *QUICK, "--teacher", str(trained), "--out", "pupil", cwd=tmp_path)
    result = json.loads((tmp_path / "pupil/result.json").read_text())
    assert result["teacher"] == str(trained)
    message = nas("train", str(config), *QUICK, "--teacher", str(config), cwd=tmp_path, code=2).stderr
    assert "a teacher has trained weights, this one's are random" in message


@pytest.mark.parametrize("side", [24, 8])
def test_the_network_that_a_winner_came_from_teaches_it(trained: Path, tmp_path: Path, side: int) -> None:
    shutil.copytree(trained, tmp_path / "run/teacher")
    nas("export", str(trained), "--format", "config", "--out", "run/winner", cwd=tmp_path)
    arguments = ["train", "run/winner", "--data", "digits", "--epochs", "1", "--resolution", str(side)]
    done = nas(*arguments, "--out", "taught", cwd=tmp_path)
    assert "at 16 × 16 px" in done.stderr
    result = json.loads((tmp_path / "taught/result.json").read_text())
    assert result["teacher"] == str(tmp_path / "run/teacher")
    assert result["peak_memory_bytes"] > 1 << 20
    assert result["recipe"]["batch"] == 32
    nas(*arguments, "--teacher", "none", "--out", "alone", cwd=tmp_path)
    assert json.loads((tmp_path / "alone/result.json").read_text())["teacher"] is None
    nas("train", "--resume", "--out", "alone", "--teacher", "none", cwd=tmp_path)


def test_a_part_is_trained(trained: Path, tmp_path: Path) -> None:
    arguments = ["train", str(trained), *QUICK, "--norm", "tune", "--only", "norm,last", "--out", "part"]
    text = nas(*arguments, cwd=tmp_path).stdout
    for word in ("only last and norm trained · statistics kept", "MiB at most"):
        assert word in text
    before, after = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path / "part"))
    moved = {name for name in before if not np.allclose(before[name], after[name], atol=1e-6)}
    assert {name.split(".")[-2] for name in moved} == {"norm", "linear"}
    assert not any("running" in name for name in moved)
    nas("train", "--resume", "--out", "part", "--only", "last,norm", cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "foo"], "--only names what is trained, of last, norm"),
        (["--norm", "group"], "--norm is batch or tune, got 'group'"),
        (["--norm", "tune", "--from-scratch"], "keep a part of inherited weights, and these are random"),
        (["--only", "last", "--from-scratch"], "keep a part of inherited weights, and these are random"),
        (["--teacher", "wide"], "a teacher's pictures have the shape of its pupil's"),
        (["--teacher", "nobody"], "nobody: no such file"),
    ],
)
def test_parts_and_teachers_that_cannot_be(trained: Path, tmp_path: Path, arguments: list[str], says: str) -> None:
    nas("export", str(trained), "--format", "config", "--out", "wide", cwd=tmp_path)
    wide = json.loads((tmp_path / "wide/config.json").read_text())
    wide["input"]["width"] *= 2
    for layer in wide["layers"]:
        layer["width"] *= 2
    (tmp_path / "wide/config.json").write_text(json.dumps(wide))
    done = nas("train", str(trained), *QUICK, *arguments, "--out", "it", cwd=tmp_path, code=2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not (tmp_path / "it").exists()


def test_a_head_for_other_classes(tmp_path: Path) -> None:
    wide = replace(TINY, layers=(*TINY.layers[:-1], TINY.layers[-1].changed(out_channels=1000)))
    config = write_config(tmp_path, wide)
    done = nas("train", str(config), *QUICK, "--out", "done", cwd=tmp_path)
    assert "The head is rebuilt: the network has 1,000 classes, the data 10." in done.stderr
    assert read_config(tmp_path / "done/config.json").architecture == TINY


@pytest.mark.parametrize("classes", [1000, 10])
def test_the_latency_of_another_number_of_classes_is_not_handed_on(tmp_path: Path, classes: int) -> None:
    network = replace(TINY, layers=(*TINY.layers[:-1], TINY.layers[-1].changed(out_channels=classes)))
    metrics = {"latency": {"ms": 5.0, "target": "somewhere"}, "accuracy": {"value": 60.0}}
    (tmp_path / "config.json").write_text(json.dumps(to_config(network, metrics=metrics)))
    done = nas("train", "config.json", *QUICK, "--out", "done", cwd=tmp_path)
    known = read_config(tmp_path / "done/config.json").metrics
    assert known is not None
    assert known["accuracy_estimate"] == {"value": 60.0}
    said = "The latency in its config is left out: it is that of 1,000 classes." in done.stderr
    assert said == (classes == 1000)
    assert known.get("latency") == (None if said else metrics["latency"])


def test_inherited_weights_are_kept_but_for_the_last_layer() -> None:
    wide = replace(TINY, layers=(*TINY.layers[:-1], TINY.layers[-1].changed(out_channels=1000)))
    old, classes = random_weights(wide, 5), tuple("abcdefghij")
    begin = start(wide, old, classes, 0)
    assert begin.architecture == TINY
    assert begin.weights["2.2.linear.weight"].shape == (10, 64)
    for name in random_weights(TINY, 0):
        if not name.startswith("2.2."):
            assert np.array_equal(begin.weights[name], old[name]), name
    assert any("dropped" in note for note in begin.notes)
    same = random_weights(TINY, 5)
    assert np.array_equal(
        start(TINY, same, classes, 0, classes).weights["2.2.linear.weight"], same["2.2.linear.weight"]
    )
    renamed = start(TINY, same, classes, 0, tuple("0123456789"))
    assert not np.array_equal(renamed.weights["2.2.linear.weight"], same["2.2.linear.weight"])


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(3, 8, 8, (Layer(kind="conv", in_channels=3, out_channels=4, height=8, width=8),)),
        Architecture(4, 8, 8, (Layer(kind="head", in_channels=4, mid_channels=2, out_channels=4, height=8, width=8),)),
    ],
)
def test_networks_that_cannot_be_trained(architecture: Architecture) -> None:
    with pytest.raises(ArchitectureError, match=r"A network that is trained|this network takes 4"):
        check(architecture)


def test_killed_and_gone_on_with_the_weights_are_the_same(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    arguments = ["train", str(config), "--data", "digits", "--epochs", "20", "--seed", "3"]
    told = epoch_lines(nas(*arguments, "--out", "whole", cwd=tmp_path).stderr)
    assert [epoch for epoch, _ in told] == list(range(1, 21))
    assert "to go" not in told[-1][1]
    process = patched(OFTEN, *arguments, "--out", "killed", cwd=tmp_path)
    _wait_for_epochs(tmp_path / "killed", 3)
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed/result.json").exists()
    done = nas("train", "--resume", "--out", "killed", "--json", cwd=tmp_path)
    document, told = json.loads(done.stdout), epoch_lines(done.stderr)
    assert [epoch for epoch, _ in told] == list(range(told[0][0], 21))
    assert told[0][0] > 1
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    for name in whole:
        assert np.array_equal(whole[name], killed[name]), name
    assert document["test"] == json.loads((tmp_path / "whole/result.json").read_text())["test"]
    with (tmp_path / "killed/metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(n) for n in range(1, 21)]


def test_sigterm_ends_with_130_and_the_command(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    process = patched(OFTEN, "train", str(config), "--data", "digits", "--epochs", "300", "--out", "it", cwd=tmp_path)
    _wait_for_epochs(tmp_path / "it", 1)
    assert (
        "another process is working on this training"
        in nas("train", "--resume", "--out", "it", cwd=tmp_path, code=2).stderr
    )
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Go on: nas train --resume --out it" in err
    assert "Traceback" not in err
    message = nas("export", "it", "--out", "x", cwd=tmp_path, code=2).stderr
    assert "this training is not finished" in message


def _wait_for_epochs(folder: Path, epochs: int) -> None:
    file, until = folder / "metrics.csv", time.monotonic() + 60
    while not (file.is_file() and (folder / "checkpoint.safetensors").is_file() and _lines(file) > epochs):
        assert time.monotonic() < until
        time.sleep(0.02)


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "is required"),
        (["config.json"], "--data digits is required"),
        (["missing.json", *QUICK], "missing.json: no such file"),
        (["config.json", "--data", "didgits"], "no data named 'didgits'"),
        (["config.json", "--data", "imagefolder:nowhere"], "nowhere"),
        (["config.json", *QUICK, "--epochs", "0"], "--epochs is a whole number in 1..100,000, got 0"),
        (["config.json", *QUICK, "--batch", "1"], "--batch is a whole number in 2..65,536, got 1"),
        (["config.json", *QUICK, "--lr", "nan"], "--lr is a number above 0"),
        (["config.json", *QUICK, "--seed", "-1"], "--seed"),
        (["config.json", *QUICK, "--weights", "w", "--from-scratch"], "Leave one of the two out"),
        (["config.json", *QUICK, "--weights", "nowhere"], "the weights cannot be read"),
        (["config.json", *QUICK, "--out", "full"], "new or empty folder"),
        (["--resume"], "--resume needs --out"),
        (["--resume", "--out", "nowhere"], "there is no training to resume"),
        (["plain.json", *QUICK], "ends in a head"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else None,
)
def test_wrong_requests(tmp_path: Path, arguments: list[str], says: str) -> None:
    write_config(tmp_path)
    layer = Layer(kind="conv", in_channels=3, out_channels=4, height=8, width=8)
    write_config(tmp_path / "plain", Architecture(3, 8, 8, (layer,))).rename(tmp_path / "plain.json")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    before = sorted(tmp_path.rglob("*"))
    done = nas("train", *arguments, cwd=tmp_path, code=2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_resuming_must_not_contradict(trained: Path) -> None:
    message = nas("train", "--resume", "--out", str(trained), "--epochs", "3", cwd=trained.parent, code=2).stderr
    assert "this training has epochs 12, the request says 3" in message
    message = nas("train", str(trained), *QUICK, "--out", str(trained), cwd=trained.parent, code=2).stderr
    assert "Add --resume" in message


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path / "tensorboard")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None:
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(NasError, match=r"pip install 'nas\[tensorboard\]'"):
        board(tmp_path)
    stand_in = types.ModuleType("tensorboard")
    stand_in.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    board(tmp_path)(
        Epoch(
            epoch=2,
            step=8,
            train_loss=1.5,
            train_top1=50.0,
            validation_top1=None,
            learning_rate=0.1,
            seconds=1.0,
            pictures_per_second=256.0,
        )
    )
    assert ("train_loss", 1.5, 2) in written
    assert not any(name == "validation_top1" for name, _, _ in written)


def test_a_trained_network_is_exported_with_its_weights(trained: Path, tmp_path: Path) -> None:
    formats = ["--format", "config,onnx,hf,int8"]
    message = nas("export", str(trained), *formats, "--out", "x", cwd=tmp_path, code=2).stderr
    assert "int8 needs --data" in message
    done = nas("export", str(trained), *formats, "--data", "digits", "--out", "x", cwd=tmp_path)
    assert "test pictures" in done.stdout
    assert "times the time" in done.stdout
    names = {path.name for path in (tmp_path / "x").iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "model.onnx",
        "model.py",
        "README.md",
        "model.int8.onnx",
        "int8.json",
        *EXAMPLES,
    }
    assert (tmp_path / "x/config.json").read_text() == (trained / "config.json").read_text()
    card = (tmp_path / "x/README.md").read_text()
    code = card.split("## How to run it")[1].split("```python\n")[1].split("```")[0]
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "x", capture_output=True, text=True, check=True)
    assert said.stdout == card.split("```text\n")[1].split("```")[0]
    assert said.stdout.count("example-") == 3
    nas("export", str(trained), "--format", "hf", "--resolution", "24", "--out", "y", cwd=tmp_path)
    assert not list((tmp_path / "y").glob("example-*"))  # their answers are those of another size
    assert np.array_equal(
        load_file(tmp_path / "x/model.safetensors")["2.2.linear.weight"],
        load_file(trained / "model.safetensors")["2.2.linear.weight"],
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "onnx", "--data", "digits"], "--data is for the format int8"),
        (["--format", "int8", "--data", "digits"], "this one's are random"),
        (["--format", "tflite"], "No export format named 'tflite'"),
    ],
)
def test_exports_that_cannot_be(tmp_path: Path, arguments: list[str], says: str) -> None:
    config = write_config(tmp_path)
    assert says in nas("export", str(config), *arguments, "--out", "x", cwd=tmp_path, code=2).stderr
    assert not (tmp_path / "x").exists()

"""Every command takes every form of a network: files, folders and names, also of networks from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from foreign import MCUNET_IN2, mcunet
from small_run import nas

from nas.runs.network import find_network
from nas.runs.run import Run
from nas.runs.training_folder import TrainingFolder
from nas.system.places import network_names

ARCH_DEF = {
    "resolution": 32,
    "stem": 8,
    "head": 32,
    "activation": "relu",
    "num_classes": 2,
    "blocks": [["ds_r1_k3_s2_c16"], ["ir_r1_k3_s2_e3_c24"]],
}
HARD_SWISH = {
    "resolution": 64,
    "stem": 8,
    "head": 128,
    "activation": "hard-swish",
    "num_classes": 10,
    "se_gate": "hard-sigmoid",
    "se_from": "mid",
    "head_after_pool": True,
    "blocks": [["ds_r1_k3_s1_c16_nre"], ["ir_r2_k5_s2_e3_c24_se0.25"], ["cn_r1_k1_s1_c96"]],
}
"""timm builds and counts the same: 3,768,448 MACs and 30,786 parameters."""


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one network in every form."""
    folder = tmp_path_factory.mktemp("forms")
    (folder / "arch.json").write_text(json.dumps(ARCH_DEF))
    nas("export", "arch.json", "--format", "config", "--out", "model", cwd=folder)
    config = json.loads((folder / "model" / "config.json").read_text())
    needed = {name: config[name] for name in ("format", "input", "num_classes", "layers")}
    (folder / "written-by-hand.json").write_text(json.dumps(needed))
    (folder / "mcunet.json").write_text(json.dumps(mcunet(MCUNET_IN2[:2], resolution=None)))
    (folder / "hard-swish.json").write_text(json.dumps(HARD_SWISH))
    run = folder / "run"
    (run / "winner").mkdir(parents=True)
    (run / "winner" / "config.json").write_text(json.dumps(config))
    request = {"space": "mobile", "target": "fake"}
    (run / "request.json").write_text(json.dumps({"format": Run.file_format, "request": request}))
    (run / "result.json").write_text("{}")
    return folder


ONE = ("arch.json", "model", "model/config.json", "written-by-hand.json", "run", "run/winner")


def as_json(*words: str, cwd: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(nas(*words, "--json", cwd=cwd).stdout)
    return found


@pytest.mark.parametrize("form", ONE)
def test_one_network_has_one_size_whatever_its_form(forms: Path, form: str) -> None:
    found = as_json("estimate", form, cwd=forms)
    assert (found["macs"], found["params"]) == (154_944, 3_970)
    assert found["target"] is found["latency_ms"] is None
    assert found == as_json("estimate", "--arch-def", form, cwd=forms)
    assert "why" not in found


def test_size_is_told_beside_the_reason_why_there_is_no_latency(forms: Path) -> None:
    found = as_json("estimate", "--arch-def", "hard-swish.json", "--target", "pixel-cpu", cwd=forms)
    assert (found["macs"], found["params"], found["latency_ms"]) == (3_768_448, 30_786, None)
    assert found["why"].startswith("pixel-cpu does not answer for conv 3→8 k3 s2 hard-swish at 64×64")
    text = nas("estimate", "hard-swish.json", "--target", "pixel-cpu", cwd=forms).stdout
    assert text.startswith("latency   none: pixel-cpu does not answer")
    assert "3,768,448 MACs · 30,786 parameters" in text


@pytest.mark.parametrize("target", ["cpu", "fake"])
def test_a_device_without_a_table_of_the_network_names_the_way_on(forms: Path, target: str) -> None:
    for form, reason in (("arch.json", "names none"), ("mobilenetv2-1.0", "names none"), ("run", "names none")):
        why = as_json("estimate", form, "--target", target, cwd=forms)["why"]
        assert reason in why
        assert why.endswith(f"Time it: nas verify {form} --target {target}")


@pytest.mark.parametrize("form", ["hard-swish.json", "run", "mobilenetv2-0.35"])
def test_any_network_is_timed_on_any_device(forms: Path, form: str) -> None:
    found = as_json("verify", form, "--target", "fake", cwd=forms)
    assert found["measured_p10_ms"] <= found["measured_ms"] <= found["measured_p90_ms"]
    assert found["target"] == "fake"
    assert found["latency_ms"] is found["error_pct"] is None
    assert found["macs"] == as_json("estimate", form, cwd=forms)["macs"]
    assert "names none" in found["why"]


def test_the_target_of_a_run_is_known_and_a_table_that_does_not_answer_is_told(forms: Path) -> None:
    text = nas("verify", "run", cwd=forms).stdout
    assert text.startswith("measured  ")
    assert "ms on fake\ntable     none: fake has a table for each space" in text


@pytest.mark.parametrize(("form", "resolution"), [("mcunet.json", "64"), ("arch.json", "48"), ("run/winner", "33")])
def test_another_resolution(forms: Path, form: str, resolution: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    words = ["export", form, "--resolution", resolution, "--format", "config,onnx", "--out", out]
    assert nas(*words, cwd=forms).stdout.splitlines() == [f"{out}/config.json", f"{out}/model.onnx"]
    network = find_network(out)
    assert (network.config.architecture.height, network.config.architecture.width) == (int(resolution),) * 2
    assert network.config.architecture.params == find_network(forms / form, 96).config.architecture.params


def test_what_was_known_of_a_network_does_not_outlive_its_resolution(forms: Path, tmp_path: Path) -> None:
    config = json.loads((forms / "model" / "config.json").read_text())
    known = {"space": "mobile", "decisions": {"resolution": 32}, "metrics": {"latency": {"value": 1.0}}}
    (tmp_path / "config.json").write_text(json.dumps(config | known))
    found, resized = (find_network(tmp_path, size).config for size in (32, 64))
    assert (found.space, found.decisions, found.metrics) == tuple(known.values())
    assert (resized.space, resized.decisions, resized.metrics) == (None, None, None)


@pytest.mark.parametrize(("words", "first"), [([], "batch"), (["--batch", "4"], 4), (["--batch", "fixed"], 1)])
def test_a_graph_for_so_many_pictures(forms: Path, tmp_path: Path, words: list[str], first: int | str) -> None:
    """Runtimes without dynamic shapes want a constant there."""
    nas("export", "hard-swish.json", "--format", "onnx", "--out", str(tmp_path), *words, cwd=forms)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.shape, given.shape) == ([first, 3, 64, 64], [first, 10])
    count = first if isinstance(first, int) else 2
    assert session.run(None, {"input": np.zeros((count, 3, 64, 64), np.float32)})[0].shape == (count, 10)


def test_a_shipped_network_is_found_from_every_folder_and_wins_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "mnasnet-b1").write_text("mine")
    shipped = find_network("mnasnet-b1")
    assert shipped.path == network_names()["mnasnet-b1"]
    assert shipped.config.weights == "random"
    assert as_json("estimate", "mnasnet-b1", "--target", "pixel-cpu", cwd=tmp_path)["latency_ms"] == pytest.approx(
        79, rel=0.12
    )
    assert "not valid JSON" in nas("estimate", "./mnasnet-b1", cwd=tmp_path, code=2).stderr


def test_an_arch_def_is_trained(forms: Path, tmp_path: Path) -> None:
    words = ["train", str(forms / "arch.json"), "--data", "digits", "--epochs", "1", "--resolution", "16"]
    nas(*words, "--out", "run", cwd=tmp_path)
    assert TrainingFolder.recall(tmp_path / "run", {}).resolution == 16
    trained = find_network(tmp_path / "run")
    assert (trained.config.weights, trained.config.architecture.height) == ("trained", 16)
    assert trained.weights is not None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["estimate"], "Give a network, such as config.json, and just one."),
        (["estimate", "arch.json", "--arch-def", "arch.json"], "and just one"),
        (
            ["estimate", "mobilenetv2"],
            "No network named 'mobilenetv2', nor a file or folder. Shipped: efficientnet-b0,",
        ),
        (["estimate", "no/such.json"], "no/such.json: no such file"),
        (["estimate", "."], "the folder of a network has a config.json, or is that of a run; this one is neither"),
        (["export", "list.json", "--out", "x"], "a network is a JSON file: a config.json (with `layers`)"),
        (["train", "other.json", "--data", "digits"], "this file is none. See docs/architectures.md"),
        (["verify", "empty.json", "--target", "fake"], "this file is none"),
        (["estimate", "model.onnx"], "(with `blocks`); a .onnx file is none. See docs/architectures.md"),
        (["verify", "arch.json"], "--target is required for a config"),
        (["verify", "arch.json", "--target", "toaster"], "No target named 'toaster'"),
        (["verify", "hard-swish.json", "--target", "pixel-cpu"], "pixel-cpu names no device to measure on"),
        (["estimate", "arch.json", "--target", "pixelcpu"], "No target named 'pixelcpu'"),
        (["estimate", "mcunet.json"], "Give --resolution, such as 224"),
        (["train", "mcunet.json", "--data", "digits"], "Give --resolution, such as 224"),
        (
            ["estimate", "arch.json", "--resolution", "0"],
            "`--resolution` is a whole number of 1 to 4,096 pixels, got 0",
        ),
        (["export", "arch.json", "--out", "x", "--resolution", "5000"], "1 to 4,096 pixels, got 5000"),
        (["export", "arch.json", "--out", "x", "--batch", "0"], "`--batch` is a whole number of 1 to 65,536, or fixed"),
        (["export", "arch.json", "--out", "x", "--batch", "dynamic"], "or fixed (which is 1), got 'dynamic'"),
        (["export", "arch.json", "--out", "x", "--batch", "²"], "or fixed (which is 1), got '²'"),
        (
            ["export", "arch.json", "--out", "x", "--format", "torch", "--batch", "4"],
            "of the formats onnx, hf and int8",
        ),
        (["export", "half.json", "--out", "x"], "input, num_classes: these keys are required"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else None,
)
def test_wrong_requests(forms: Path, words: list[str], says: str) -> None:
    for name, document in {"list": [1], "other": {"a": 1}, "empty": {}, "half": {"layers": []}}.items():
        (forms / f"{name}.json").write_text(json.dumps(document))
    (forms / "model.onnx").write_bytes(b"\x08\x08\x12")
    done = nas(*words, cwd=forms, code=2)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == ""
    assert not (forms / "x").exists()
    assert not (forms / "runs").exists()

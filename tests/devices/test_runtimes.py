"""Runtimes other than ONNX Runtime compute what torch does, and are measured by the same worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from networks import picture, randomize

from nas.blocks.build import build
from nas.blocks.layer import Layer
from nas.cli import cli
from nas.devices import worker
from nas.devices.device import DeviceInfo, Fault, Plan, Probe, Sample
from nas.devices.hosted import WORKER, Hosted, Runner, python_runner
from nas.devices.runtimes import RUNTIMES
from nas.devices.transport import Local
from nas.errors import NasError
from nas.formats.onnx_graph import Inline, to_onnx
from nas.profiler.probe import INPUT_SLICE, make_probe, write_weights
from nas.profiler.rounds import Effort
from nas.space.load import load_space
from nas.system.teller import Silent

WORDS = [word for word in RUNTIMES if word]
SPACES = ("mobile", "mobilenetv3", "mobilenetv4", "fbnet", "hybrid")


@pytest.fixture(scope="module", params=WORDS)
def word(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(RUNTIMES[request.param].module)
    return str(request.param)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    write_weights(path)
    return path


@pytest.fixture
def device(word: str) -> Iterator[Hosted]:
    device = Hosted(Local, python_runner(sys.executable), runtime=RUNTIMES[word])
    yield device
    device.close()


@cache
def small(name: str) -> tuple[Probe, torch.Tensor, np.ndarray]:
    """The smallest of some random networks of a space with random weights, a picture, and what torch makes of it."""
    space = load_space(name, resolution=64, classes=10)
    drawn = map(space.decode, space.sample(20, np.random.default_rng(3)))
    architecture = min(drawn, key=lambda network: network.params)
    network = randomize(build(architecture), seed=1)
    x = picture(architecture, batch=1)
    model = to_onnx(architecture, Inline({key: value.numpy() for key, value in network.state_dict().items()}), {})
    with torch.inference_mode():
        return Probe("network", model.SerializeToString(), tuple(x.shape)), x, network(x).numpy()


def output_of(word: str, probe: Probe, x: torch.Tensor, folder: Path) -> np.ndarray:
    for file, content in RUNTIMES[word].files(probe, folder / "weights.bin").items():
        assert isinstance(content, bytes)
        (folder / file).write_bytes(content)
    run, output = worker.runtime(1, RUNTIMES[word].provider).open(str(folder / probe.name), x.numpy())
    run()
    return np.array(output)


@pytest.mark.parametrize("name", SPACES)
def test_networks_compute_what_torch_does(word: str, name: str, tmp_path: Path) -> None:
    probe, x, expected = small(name)
    output = output_of(word, probe, x, tmp_path)
    assert output.size == expected.size
    assert np.abs(output.reshape(expected.shape) - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


def test_a_probe_computes_the_same_as_with_onnx_runtime(device: Hosted, word: str, weights: Path) -> None:
    small = Layer(kind="conv", in_channels=8, out_channels=8, kernel=3, height=14, width=14)
    probes = tuple(make_probe((layer,)) for layer in (small, small.changed(stride=2)))
    plan = Plan((probes,), weights, 2, 2, 1, INPUT_SLICE)
    usual = Hosted(Local, python_runner(sys.executable))
    found = [{s.probe: s.checksum for s in d.measure(plan) if isinstance(s, Sample)} for d in (device, usual)]
    usual.close()
    assert found[0].keys() == {probe.name for probe in probes}
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_its_name_and_version_keep_tables_apart(device: Hosted, word: str) -> None:
    info = device.info
    assert info.runtime == RUNTIMES[word].title
    assert version(RUNTIMES[word].package).startswith(info.runtime_version)
    usual = DeviceInfo.read(info.to_json() | {"runtime": "ONNX Runtime"})
    assert usual.fingerprint != info.fingerprint


@pytest.mark.parametrize("word", WORDS)
def test_a_missing_package_is_told_with_what_installs_it(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.devices.runtimes.find_spec", lambda module: None)
    problem = CliRunner().invoke(cli, ["profile", "--space", "mobile", "--target", f"cpu:{word}:4t"]).exception
    assert isinstance(problem, NasError)
    assert problem.exit_code == 2
    assert str(problem) == f"cpu:{word} needs {RUNTIMES[word].title}, which is not here: pip install 'nas[{word}]'."


@pytest.mark.parametrize("word", WORDS)
def test_a_package_that_does_not_work_is_told(word: str) -> None:
    """Some other module of that name."""
    runtime = RUNTIMES[word]
    files = {"worker.py": WORKER, f"{runtime.module}.py": b""}
    device = Hosted(Local, Runner((sys.executable, "worker.py"), files), runtime=runtime)
    with pytest.raises(Fault, match=f"the {runtime.title} that is installed here does not work") as caught:
        _ = device.info
    device.close()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", [word for word in WORDS if RUNTIMES[word].writer])
def test_what_a_runtime_cannot_run_is_told_before_anything_is_measured(word: str, tmp_path: Path) -> None:
    pytest.importorskip(RUNTIMES[word].module)
    file = tmp_path / "evolved.yaml"
    file.write_text(
        "format: nas-space/1\nname: evolved\nsource: none\nactivation: evonorm\ninput: {resolution: 16}\n"
        "num_classes: 5\nstages:\n  - {name: one, block: conv, width: 32, stride: 1, kernel: {choice: [3, 5]}}\n"
        "head: {width: 32}\n"
    )
    words = ["profile", "--space", str(file), "--target", f"cpu:{word}", "--out", str(tmp_path / "table")]
    problem = CliRunner().invoke(cli, words).exception
    assert isinstance(problem, NasError)
    assert str(problem).startswith(f"conv of evolved: {RUNTIMES[word].title} cannot run ReduceMean as it is here.")
    assert not (tmp_path / "table").exists()


def test_the_experiment_holds_runtimes_against_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "experiments")
    from pieces import Pieces  # type: ignore[import-not-found]
    from runtimes import compared  # type: ignore[import-not-found]

    file = tmp_path / "tiny.yaml"
    file.write_text(
        "format: nas-space/1\nname: tiny\nsource: none\nactivation: relu\ninput: {resolution: 16}\nnum_classes: 5\n"
        "stages:\n  - {name: one, block: mbconv, width: {choice: [8, 16]}, stride: 2, kernel: {choice: [3, 5]}, "
        "expansion: {choice: [2, 4]}}\nhead: {width: 32}\n"
    )
    space = load_space(file)
    best = space.decode(space.sample(1, np.random.default_rng(0))[0])
    monkeypatch.setattr("nas.search", lambda **request: SimpleNamespace(architecture=best))
    pieces = Pieces(tmp_path / "out", {})
    found = compared(file, ("fake", "fake:2t"), 6, Effort(seconds=1.0), pieces, Silent())
    monkeypatch.setattr("runtimes.attached", None)  # nothing is measured again
    assert compared(file, ("fake", "fake:2t"), 6, Effort(seconds=1.0), pieces, Silent()) == found
    assert found["networks"] == 6
    assert found["kendall_tau"]["fake"] == pytest.approx({"fake": 1.0, "fake:2t": 1.0})
    for target in ("fake", "fake:2t"):
        assert found["runtimes"][target]["table_error"]["count"] > 0
        assert found["winners"][target]["layers_that_differ"] == {"fake": 0, "fake:2t": 0}
        assert found["winners"][target]["macs"] == best.macs

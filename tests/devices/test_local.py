"""The local device: real ONNX Runtime sessions, timed by the worker in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nas.blocks.layer import Layer
from nas.devices import worker
from nas.devices.device import DeviceInfo, Fault, Plan, Remark, Sample
from nas.devices.hosted import Hosted, Runner, python_runner
from nas.devices.transport import Local
from nas.profiler.probe import INPUT_SLICE, make_probe, write_weights
from nas.space.load import load_space

SMALL = Layer(kind="conv", in_channels=8, out_channels=8, kernel=3, height=14, width=14)
LARGE = Layer(kind="conv", in_channels=64, out_channels=128, kernel=3, height=56, width=56)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    write_weights(path)
    return path


def plan(weights: Path, *layers: Layer, passes: int = 3, runs: int = 4) -> Plan:
    return Plan((tuple(make_probe((layer,)) for layer in layers),), weights, passes, runs, 1, INPUT_SLICE)


def local(**options: object) -> Hosted:
    return Hosted(Local, python_runner(sys.executable), **options)  # type: ignore[arg-type]


def test_times_follow_the_work(weights: Path) -> None:
    device = local()
    samples = [s for s in device.measure(plan(weights, SMALL, LARGE)) if isinstance(s, Sample)]
    device.close()
    times = {p: np.median([ns for s in samples if s.probe == p for ns in s.ns]) for p in {s.probe for s in samples}}
    small, large = (make_probe((layer,)).name for layer in (SMALL, LARGE))
    assert times[large] > 20 * times[small] > 0  # 410 times the MACs
    assert len(samples) == 6
    assert {(s.probe, s.slice) for s in samples} == {(p, n) for p in (small, large) for n in range(3)}
    assert len({s.session for s in samples}) == 2


def test_a_probe_computes_what_its_weights_say(weights: Path) -> None:
    """The checksum is that of the convolution done by hand, from the shared file."""
    data = np.fromfile(weights, np.float32)
    start, values = INPUT_SLICE
    picture = np.resize(data[start : start + values], (8, 14, 14)).astype(np.float64)
    kernel = data[start : start + 8 * 8 * 9].reshape(8, 8, 3, 3).astype(np.float64)
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    output = np.maximum(np.einsum("chwij,ocij->ohw", windows, kernel), 0) / np.sqrt(8 * 9 / 512)
    device = local()
    (sample, *_) = device.measure(plan(weights, SMALL, passes=1))
    device.close()
    assert isinstance(sample, Sample)
    assert sample.checksum == pytest.approx(np.abs(output).mean(), rel=1e-5)


def test_whole_networks_keep_their_scale(weights: Path) -> None:
    space = load_space("mobile")
    networks = [space.decode(g).layers for g in space.sample(4, np.random.default_rng(0))]
    device = local()
    job = Plan((tuple(make_probe(layers) for layers in networks),), weights, 1, 1, 0, INPUT_SLICE)
    checksums = {s.probe: s.checksum for s in device.measure(job) if isinstance(s, Sample)}
    device.close()
    assert len(checksums) == 4
    assert all(1e-3 < value < 10 for value in checksums.values())


def test_info_is_of_this_machine(weights: Path) -> None:
    import onnxruntime

    device = local()
    info = device.info
    device.close()
    assert info.runtime_version == onnxruntime.__version__
    assert DeviceInfo.read(info.to_json()) == info
    assert info.fingerprint == DeviceInfo.read(info.to_json() | {"system": "other", "memory_mb": 1}).fingerprint
    assert info.fingerprint != DeviceInfo.read(info.to_json() | {"threads": 2}).fingerprint


def test_a_provider_that_is_not_there_is_told() -> None:
    device = local(provider="CUDAExecutionProvider")
    with pytest.raises(Fault, match=r"onnxruntime here has .*CPUExecutionProvider, not CUDA"):
        _ = device.info
    device.close()


def test_load_of_others_is_remarked(weights: Path) -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        device = local()
        found = {r.kind: r.value for r in device.measure(plan(weights, LARGE, passes=50)) if isinstance(r, Remark)}
        device.close()
    finally:
        busy.kill()
        busy.wait()
    assert found["load"] > 0.1  # of all processors: one of at most a few


def runner(code: str) -> Runner:
    return Runner((sys.executable, "program.py"), {"program.py": code.encode()})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('hello')", "speaks JSON"),
        ("print('[1]')", "speaks JSON"),
        ("import time; time.sleep(60)", "said nothing for 1 s"),
        ("print('x' * 3_000_000)", "a line has at most"),
        ("import sys; print('no board here', file=sys.stderr); sys.exit(3)", "no board here"),
        ("import os; os._exit(9)", "ended with code 9"),
        ("pass", "in the middle of its job"),
        ('print(\'{"error": "disk full"}\')', "disk full"),
        ('print(\'{"remark": "weather", "value": 1}\')', "a remark is"),
    ],
)
def test_faults_are_one_line(weights: Path, code: str, message: str) -> None:
    device = Hosted(Local, runner(code), silence_s=1)
    with pytest.raises(Fault, match=message) as caught:
        list(device.measure(plan(weights, SMALL)))
    device.close()
    assert "\n" not in str(caught.value)


def test_nothing_is_left_behind(weights: Path) -> None:
    device = local()
    list(device.measure(plan(weights, SMALL, passes=1)))
    folder = device._transport.folder  # type: ignore[union-attr]
    assert (folder / "weights.bin").is_file()
    device.close()
    device.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("alone", "took_us", "worked_us", "told_us"),
    [
        (True, 5_000, 2_000, 2_000),  # others had the processor for 3 ms
        (True, 5_000, 4_950, 5_000),  # an interrupt
        (True, 30, 25, 30),  # how coarse the processor's clock is
        (True, 5_000, 5_001, 5_000),
        (False, 5_000, 2_000, 5_000),  # several threads, or something else than the processor: it may have waited
        (False, 5_000, 19_000, 5_000),
    ],
)
def test_a_run_that_others_took_the_processor_from_counts_with_its_work(
    alone: bool, took_us: int, worked_us: int, told_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"wall": 0, "work": 0}

    def run() -> None:
        now["wall"] += 1_000 * took_us
        now["work"] += 1_000 * worked_us

    clocks = SimpleNamespace(perf_counter_ns=lambda: now["wall"], process_time_ns=lambda: now["work"])
    monkeypatch.setattr(worker, "time", clocks)
    session = object.__new__(worker.Session)
    session.run, session.alone = run, alone
    assert session.timed(2) == [1_000 * told_us] * 2

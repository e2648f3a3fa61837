"""The C runner against the Python worker: same jobs, same lines, same checksums."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from native_runner import native_bundle

from nas.blocks.layer import Layer
from nas.devices.device import Fault, Plan, Probe, Remark, Sample
from nas.devices.hosted import Hosted, Runner, job_text, python_runner
from nas.devices.runner import build
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


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return native_bundle(tmp_path_factory.mktemp("bundle"))


def native(bundle: Path, **options: object) -> Hosted:
    return Hosted(Local, Runner((str(bundle / "runner"),), {}), **options)  # type: ignore[arg-type]


def plan(weights: Path, *probes: Probe, passes: int = 3, runs: int = 4) -> Plan:
    return Plan((probes,), weights, passes, runs, 1, INPUT_SLICE)


def measured(device: Hosted, plan: Plan) -> tuple[list[Sample], list[Remark]]:
    found = list(device.measure(plan))
    device.close()
    return [s for s in found if isinstance(s, Sample)], [r for r in found if isinstance(r, Remark)]


def checksums(samples: list[Sample]) -> dict[str, float]:
    return {sample.probe: sample.checksum for sample in samples}


def network() -> Probe:
    space = load_space("mobile")
    return make_probe(space.decode(space.sample(1, np.random.default_rng(0))[0]).layers)


def test_it_computes_and_takes_what_the_worker_does(weights: Path, bundle: Path) -> None:
    probes = (make_probe((SMALL,)), make_probe((LARGE,)), network())
    ours, remarks = measured(native(bundle), plan(weights, *probes))
    theirs, _ = measured(Hosted(Local, python_runner(sys.executable)), plan(weights, *probes))
    assert checksums(ours) == pytest.approx(checksums(theirs), rel=1e-9)
    for probe in probes:
        mine, worker = (min(ns for s in samples if s.probe == probe.name for ns in s.ns) for samples in (ours, theirs))
        assert 1 / 5 < mine / worker < 5  # in the same unit; the machine may be busy
    assert {remark.kind for remark in remarks} == {"load", "stolen"}


def test_slices_are_shuffled_and_sessions_their_own(weights: Path, bundle: Path) -> None:
    probes = tuple(make_probe((SMALL.changed(out_channels=n),)) for n in range(1, 8))
    job = Plan((probes[:5], probes[5:]), weights, 6, 2, 7, INPUT_SLICE)
    samples, _ = measured(native(bundle), job)
    orders = [[s.probe for s in samples[start : start + 5]] for start in range(0, 30, 5)]
    assert all(sorted(order) == sorted(probe.name for probe in probes[:5]) for order in orders)
    assert len({tuple(order) for order in orders}) > 3  # of 120 orders, in 6 passes
    assert [s.slice for s in samples] == [n for n in range(6) for _ in range(5)] + [
        n for n in range(6, 12) for _ in range(2)
    ]
    assert len({s.session for s in samples}) == 7
    assert all(len(s.ns) == 2 and s.batch == 1 for s in samples)
    again, _ = measured(native(bundle), job)
    assert [s.probe for s in again] == [s.probe for s in samples]  # the plan's seed


def test_it_tells_what_the_worker_tells_of_this_machine(bundle: Path) -> None:
    ours, theirs = native(bundle, threads=2), Hosted(Local, python_runner(sys.executable), threads=2)
    assert ours.info == theirs.info
    ours.close()
    theirs.close()


def test_a_provider_that_is_not_there_is_told(bundle: Path, weights: Path) -> None:
    device = native(bundle, provider="CUDAExecutionProvider")
    with pytest.raises(Fault, match="has CPUExecutionProvider, not CUDA"):
        _ = device.info
    with pytest.raises(Fault, match="has CPUExecutionProvider, not CUDA"):
        list(device.measure(plan(weights, make_probe((SMALL,)))))
    device.close()


def test_a_broken_model_is_told_and_what_was_measured_stands(weights: Path, bundle: Path) -> None:
    good, broken = make_probe((SMALL,)), Probe("abc", b"nonsense", (1, 8, 14, 14))
    device = native(bundle)
    found = device.measure(Plan(((good,), (broken,)), weights, 2, 2, 0, INPUT_SLICE))
    assert [next(found).probe for _ in range(2)] == [good.name] * 2  # type: ignore[union-attr]
    with pytest.raises(Fault, match=r"ONNX Runtime: .*abc\.onnx"):
        next(found)
    device.close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("surprise 1", "not understood: surprise 1"),
        ("runs", "not understood: runs"),
        ("runs -1", "not understood: runs -1"),
        ("runs 20000", "at most 10,000 runs"),
        ("probe x 1 2", "not understood: probe x 1 2"),
        ("probe ../x 1 8 14 14", "not understood: probe"),
        ("probe x 1 8 14 0", "not understood: probe"),
        ("probe x 99999 99999 99999 99999", "not understood: probe"),
        ("probe missing 1 8 14 14", "ONNX Runtime: .*missing.onnx"),
        ("input_values 999999999", "weights.bin has no 999999999 values"),
        ("", None),
    ],
)
def test_bad_jobs_are_one_line(weights: Path, bundle: Path, tmp_path: Path, line: str, message: str | None) -> None:
    probe = make_probe((SMALL,))
    os.link(weights, tmp_path / "weights.bin")  # ONNX Runtime follows no symbolic link out of the folder
    (tmp_path / f"{probe.name}.onnx").write_bytes(probe.model)
    text = job_text(plan(weights, probe, passes=1), 1, "CPUExecutionProvider")
    (tmp_path / "job.txt").write_text(text + line + "\n")
    done = subprocess.run(
        [bundle / "runner", "run", "job.txt"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    last = json.loads(done.stdout.splitlines()[-1])
    if message is None:
        assert (done.returncode, last) == (0, {"done": 1})
    else:
        assert done.returncode == 1
        assert last.keys() == {"error"}
        assert re.search(message, last["error"])


def test_the_cross_build_needs_its_parts(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is missing is told in a line, and leaves nothing behind."""
    runtime = bundle / build.RUNTIME
    with pytest.raises(Fault, match=r"has no ld-linux-aarch64\.so\.1; a phone's runner needs"):
        build.build_runner(tmp_path / "made", runtime=runtime, libraries=tmp_path)
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(Fault, match=r"pip install 'nas\[android\]'"):
        build.build_runner(tmp_path / "made", runtime=runtime, libraries=bundle)
    with pytest.raises(Fault, match="No such file"):
        build.build_runner(tmp_path / "made", runtime=tmp_path / "absent.so", libraries=bundle)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ziglang") is None, reason="needs ziglang: pip install 'nas[android]'")
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs Debian or Ubuntu for the Arm C library")
@pytest.mark.skipif(shutil.which("qemu-aarch64-static") is None, reason="needs qemu: apt install qemu-user-static")
def test_the_arm_bundle_under_emulation(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built as for a phone and run under qemu: the same checksums. Times mean nothing there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arm = build.cached_runner()
    assert build.cached_runner() == arm
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "proc" / "cpuinfo").write_text(
        "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n"
    )  # ONNX Runtime reads it when it is loaded
    words = ("qemu-aarch64-static", "-cpu", "cortex-a72", "-L", str(root), str(arm / build.LIBRARIES[0]))
    device = Hosted(Local, Runner((*words, "--library-path", str(arm), str(arm / "runner")), {}))
    assert (device.info.architecture, device.info.model) == ("aarch64", "implementer 0x41 part 0xd08")
    probes = (make_probe((SMALL,)), make_probe((LARGE,)), network())
    ours, _ = measured(device, plan(weights, *probes, passes=1, runs=1))
    theirs, _ = measured(Hosted(Local, python_runner(sys.executable)), plan(weights, *probes, passes=1, runs=1))
    assert checksums(ours) == pytest.approx(checksums(theirs), rel=1e-4)

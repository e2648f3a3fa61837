"""200 faults, 50 over each transport, in the real stack: whatever a device had finished is kept, whatever went wrong is
told in a line, soon, and the measurement goes on where it can. A fifth of them by default, all of them with `-m ''`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any

import adb_stub
import faulty
import pytest
from faulty import KINDS, MOMENTS, Injection, Injector
from native_runner import native_bundle
from sshd import HOST, running_sshd

from nas.blocks.layer import Layer
from nas.devices import ssh as ssh_module
from nas.devices import worker
from nas.devices.adb import Adb
from nas.devices.browser import server as browser_server
from nas.devices.browser.desk import Desk
from nas.devices.browser.device import Browser
from nas.devices.browser.server import Server
from nas.devices.device import Device, Fault, Plan, Sample
from nas.devices.hosted import Hosted, Runner, python_runner
from nas.devices.runner.build import android_runner
from nas.devices.ssh import ssh_device
from nas.devices.transport import Local
from nas.errors import NasError
from nas.profiler import rounds as rounds_module
from nas.profiler.probe import INPUT_SLICE, write_weights
from nas.profiler.rounds import FAULTS_IN_A_ROW, LEAST_SESSIONS, PASSES, Effort, Rounds, Workload
from nas.profiler.samples import Samples

TRANSPORTS = ("local", "ssh", "adb", "browser")
EACH = 50
DEFAULT = (*range(4), 45)
"""Numbers of the cases that are run by default; 45 and on repeat their fault until the device is given up."""
WORKLOAD = Workload(
    [(Layer(kind="conv", in_channels=8, out_channels=n, kernel=3, height=14, width=14),) for n in (8, 16)]
)
LINES = len(WORKLOAD.probes) * LEAST_SESSIONS * PASSES
"""Samples of the whole measurement."""
PATIENT_S = 20.0
SILENT_S = 2.0
"""Timeout where a device falls silent."""
CONNECT_S = 5.0
MARGIN_S = 10.0
"""For a machine that does other things too."""


@dataclass(frozen=True)
class Case:
    """One of the faults."""

    transport: str
    number: int

    @property
    def kind(self) -> str:
        return KINDS[(self.number + 4 * TRANSPORTS.index(self.transport)) % len(KINDS)]

    @property
    def moment(self) -> str:
        if self.number >= len(KINDS) * len(MOMENTS):
            return "always" if self.number % 5 < 4 else "probe"
        return MOMENTS[(self.number // len(KINDS) + self.number % len(KINDS)) % len(MOMENTS)]

    @property
    def silent(self) -> bool:
        """Whether nothing is heard of the device any more; a page that crashed cannot even hang up."""
        return self.kind in ("hang", "drip") or (self.transport, self.kind) == ("browser", "disconnect")

    @property
    def injection(self) -> Injection:
        line = {"middle": Random(str(self)).randrange(1, LINES - 1), "last": LINES - 1}.get(self.moment, 0)
        probe = min(WORKLOAD.probes) if self.moment == "probe" else ""
        return Injection(self.kind, line, self.number, repeats=self.moment in ("always", "probe"), probe=probe)

    def __str__(self) -> str:
        return f"{self.transport}-{self.number}-{self.kind.replace(' ', '_')}-{self.moment}"


CASES = [Case(transport, number) for transport in TRANSPORTS for number in range(EACH)]


def test_the_cases_are_200_and_their_sample_has_all_kinds() -> None:
    sample = [case for case in CASES if case.number in DEFAULT]
    assert (len(CASES), len(sample)) == (200, 20)
    assert {case.kind for case in sample} == set(KINDS)
    assert {case.moment for case in sample} == {*MOMENTS, "always"}
    for transport in TRANSPORTS:
        mine = {(case.kind, case.moment) for case in CASES if case.transport == transport}
        assert mine >= {(kind, moment) for kind in KINDS for moment in MOMENTS}


@dataclass
class Bench:
    """A device of one transport that is told to fail."""

    folder: Path
    """Of the injector."""
    device: Device
    link: str = ""
    disk: Path | None = None
    """What is full where a disk is; see `Injection`."""
    fills_before: bool = True
    """A disk that is full from the first is so before anything is put on the device."""
    replug: Callable[[], None] = lambda: None
    told: threading.Event = field(default_factory=threading.Event)

    def arrange(self, injection: Injection, samples: Path) -> None:
        """Have it fail next."""
        if injection.kind == "full disk":
            if self.disk is None:
                pytest.skip("a small disk cannot be mounted here")
            if self.disk.is_dir() and not self.fills_before:
                samples = self.disk / "samples.jsonl"
        faulty.write(replace(injection, link=self.link, disk=str(self.disk or ""), samples=str(samples)), self.folder)
        self.told.clear()
        if injection.kind == "full disk" and injection.line == 0 and not injection.repeats and self.fills_before:
            assert self.disk
            self.device.close()
            faulty.fill(self.disk)
            with suppress(OSError):
                for number in range(1000 * self.disk.is_dir()):  # nor a name for a file
                    (self.disk / f"{number}-filler").touch()
            Injector(self.folder).log("fired", time.monotonic())

    def relieve(self) -> None:
        """What a person does who is told of a fault: one thing at a time."""
        if self.disk and self.disk.is_dir():
            for path in [*self.disk.glob("*-filler")] or [*self.disk.glob("filler")]:
                path.unlink()
        elif self.disk:
            self.disk.unlink(missing_ok=True)
        stopped = self.folder / "stopped"
        for pid in stopped.read_text().split() if stopped.exists() else []:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        stopped.unlink(missing_ok=True)
        self.replug()
        self.told.set()


class Told:
    """A teller that keeps what it is told, and when, and what was kept then; and has the fault relieved."""

    def __init__(self, bench: Bench, samples: Path, relieves: bool) -> None:
        self.bench, self.samples, self.relieves = bench, samples, relieves
        self.faults: list[tuple[float, str]] = []
        self.kept: list[bytes] = []

    def progress(self, done: int, total: int, note: str) -> None:
        assert 0 <= done <= total

    def say(self, line: str) -> None:
        if re.match(r"(other processes used|a hypervisor took) \d+%", line):
            return
        if re.fullmatch(r"\d+ files, \d+ MB, are sent to the device, once", line):
            return
        assert re.fullmatch(r"fault \d+: .+ Asking again\.", line)
        self.fault(line)

    def fault(self, line: str) -> None:
        assert line.isprintable()
        assert len(line) < 700
        assert "Traceback" not in line
        self.faults.append((time.monotonic(), line))
        self.kept.append(self.samples.read_bytes())
        if self.relieves:
            self.bench.relieve()
        self.bench.told.set()


def measure(bench: Bench, samples: Path, weights: Path, told: Told) -> bool:
    """As the command does; whether it came to its end."""
    file = Samples(samples)
    try:
        Rounds(bench.device, WORKLOAD, file, weights, told).measure(Effort(seconds=0))
        return True
    except NasError as problem:
        told.fault(str(problem))
        return False
    finally:
        file.close()


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def key(sample: Mapping[str, Any]) -> tuple[str, int]:
    return sample["session"], sample["slice"]


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=str(case), marks=() if case.number in DEFAULT else pytest.mark.slow) for case in CASES],
)
def test_a_fault_costs_nothing_measured(
    bench_of: Callable[[str], Bench], case: Case, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(case.transport)
    monkeypatch.setattr(rounds_module, "PAUSE_S", 0.05)
    injection, silence_s = case.injection, SILENT_S if case.silent else PATIENT_S
    our_disk = case.kind == "full disk" and not bench.fills_before
    if our_disk:
        monkeypatch.setattr(rounds_module, "RUNS", 1000)  # a sample is then longer than a page of the disk
    samples = tmp_path / "samples.jsonl"
    samples.touch()
    bench.arrange(injection, samples)
    samples = Path(json.loads((bench.folder / "injection.json").read_text())["samples"])
    samples.write_bytes(b"")
    patience(bench.device, silence_s)
    told = Told(bench, samples, relieves=not (injection.repeats and case.kind == "full disk"))
    began = time.monotonic()
    ended = measure(bench, samples, weights, told)
    limit_s = silence_s * case.silent + CONNECT_S * (case.transport == "ssh") + MARGIN_S

    fired = read(bench.folder / "fired")
    assert 1 <= len(fired) <= len(told.faults), told.faults
    for moment in fired:
        assert any(0 < at - moment < limit_s for at, _ in told.faults), (moment, told.faults)
    assert time.monotonic() - began < limit_s * (len(told.faults) + 1)
    if case.moment == "always" and not our_disk:
        assert not ended
        assert told.faults[-1][1].startswith(f"The device failed {FAULTS_IN_A_ROW} times in a row")
        assert len(fired) >= (1 if case.kind == "full disk" else FAULTS_IN_A_ROW)
    elif not injection.repeats:
        assert ended or our_disk

    if not ended:  # all is made well, and the same command goes on
        assert re.search(r" [\d,]+ samples are kept: .*the same command to go on\.", told.faults[-1][1])
        bench.relieve()
        injector = Injector(bench.folder)
        if injection.repeats:
            (bench.folder / "injection.json").write_text(
                json.dumps(vars(replace(injector.injection, repeats=False, probe="")))
            )
        assert measure(bench, samples, weights, told), told.faults

    kept = read(samples)
    made, passed, spoiled = (read(bench.folder / name) for name in ("made", "passed", "spoiled"))
    made_right = {key(line): Sample.read(line, WORKLOAD.probes).to_json() for line in made}
    for line in kept:
        line.pop("round")
        assert line == made_right[key(line)]
    keys = [key(line) for line in kept]
    assert len(set(keys)) == len(keys)
    assert {key(line) for line in passed} <= set(keys)
    assert not {key(line) for line in spoiled} & set(keys)
    for before in told.kept:
        whole = before[: before.rfind(b"\n") + 1]
        assert samples.read_bytes().startswith(whole)
    again = Samples(samples)
    again.close()
    assert all(again.sessions(name) >= LEAST_SESSIONS for name in WORKLOAD.probes)


def test_a_device_that_never_ends_is_left(weights: Path) -> None:
    sample: dict[str, object] = {"probe": min(WORKLOAD.probes), "session": "a1", "slice": 0, "at_s": 0, "batch": 1}
    sample |= {"ns": [1], "checksum": 1}
    code = f"while True: print({json.dumps(json.dumps(sample))}, flush=True)"
    device = Hosted(Local, Runner((sys.executable, "program.py"), {"program.py": code.encode()}))
    taken = device.measure(Plan((tuple(WORKLOAD.probes.values()),), weights, 3, 1, 0, INPUT_SLICE))
    assert len([next(taken) for _ in range(6)]) == 6
    with pytest.raises(Fault, match="more samples than were asked for"):
        next(taken)
    device.close()


def patience(device: Device, silence_s: float) -> None:
    if isinstance(device, Browser):
        device.desk.silence_s = silence_s
    else:
        assert isinstance(device, Hosted)
        device.silence_s = silence_s


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of the file of weights as the small probes read."""
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    write_weights(path)
    os.truncate(path, 4 * sum(INPUT_SLICE))
    return path


@pytest.fixture(scope="module")
def bench_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Bench]]:
    """The bench of a transport; one at a time is kept for the cases that follow."""
    places = {"local": local, "ssh": ssh, "adb": adb, "browser": browser}
    kept: dict[str, Bench] = {}
    with ExitStack() as stack:

        def of(transport: str) -> Bench:
            if transport not in kept:
                kept.clear()
                stack.close()
                kept[transport] = stack.enter_context(places[transport](tmp_path_factory.mktemp(transport)))
            return kept[transport]

        yield of


def spoiling(runner: Runner, python: tuple[str, ...], folder: Path) -> Runner:
    """A runner with the injector before it."""
    files = {**runner.files, "faulty.py": Path(faulty.__file__)}
    return Runner((*python, "faulty.py", str(folder), *runner.command), files)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path | None]:
    """A disk of its own at this folder; None where that is not allowed."""
    place.mkdir(exist_ok=True)
    words = ("mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=200", "nas-test", str(place))
    mounted = os.name == "posix" and subprocess.run(words, capture_output=True).returncode == 0
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def local(folder: Path) -> Iterator[Bench]:
    with small_disk(folder / "disk", "8m") as disk:

        def place() -> Local:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tempfile, "tempdir", str(folder / "disk"))
                return Local()

        runner = spoiling(python_runner(sys.executable), (sys.executable,), folder)
        yield (made := Bench(folder, Hosted(place, runner), disk=disk))
        made.device.close()
        assert list((folder / "disk").iterdir()) == []


@contextmanager
def ssh(folder: Path) -> Iterator[Bench]:
    (folder / "board").mkdir()
    with (
        running_sshd(folder / "board") as server,
        small_disk(server.tmp, "80m") as disk,
        pytest.MonkeyPatch.context() as patch,
    ):
        (server.home / ".cache").mkdir()
        (server.home / ".cache" / "nas").symlink_to(server.tmp)
        patch.setattr(ssh_module, "CONNECT_S", CONNECT_S)
        device = ssh_device(HOST, config=server.config)
        device.runner = spoiling(device.runner, ("sh", "python"), folder)
        yield Bench(folder, device, link="ssh", disk=disk)
        device.close()
        all_gone(server.tmp)


def all_gone(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while list(folder.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Phone(adb_stub.Stub):
    """A phone that looks, before each line that it sends, at what the injector wants of it."""

    folder: Path
    full = property(lambda self: (self.folder / "full").exists(), lambda self, value: None)  # type: ignore[assignment]

    def may_say(self) -> bool:
        if (self.folder / "unplug").exists():
            self.vanish()
            return False
        if (self.folder / "freeze").exists():
            (self.folder / "freeze").unlink()
            self.hangs = True
            return False
        return True


@contextmanager
def adb(folder: Path) -> Iterator[Bench]:
    if shutil.which("adb") is None:
        pytest.skip("needs the adb client: apt install adb")
    bundle = folder / "bundle"
    bundle.mkdir()
    native_bundle(bundle)
    first = adb_stub.free_listener()
    port = first.getsockname()[1]
    serial = f"127.0.0.1:{port}"
    phones: list[Phone] = []

    def client(*words: str) -> None:
        subprocess.run(["adb", *words], capture_output=True, timeout=30, check=words[0] != "disconnect")

    def plug() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(adb_stub, "free_listener", lambda: socket.create_server(("127.0.0.1", port)))
            Phone.folder = folder
            phones.append(Phone(folder / f"phone{len(phones)}"))
        client("connect", serial)

    def replug() -> None:
        if phones[-1].gone.is_set():
            (folder / "unplug").unlink(missing_ok=True)
            client("disconnect", serial)
            phones[-1].close()
            plug()

    other = adb_stub.free_listener()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(other.getsockname()[1]))
        patch.delenv("ADB_SERVER_SOCKET", raising=False)
        patch.setenv("HOME", str(folder))
        first.close()
        other.close()
        client("start-server")
        stack.callback(client, "kill-server")
        plug()
        stack.callback(lambda: phones[-1].close())
        stack.callback(client, "disconnect", serial)
        device = Hosted(lambda: Adb(serial), spoiling(android_runner(bundle), (sys.executable,), folder))
        yield Bench(folder, device, link="adb", disk=folder / "full", replug=replug)
        device.close()
        assert list(phones[-1].tmp.iterdir()) == []


@contextmanager
def browser(folder: Path) -> Iterator[Bench]:
    """Its server for real, and a page in Python. The disk that is full is ours: a page has none."""
    with small_disk(folder / "disk", "4m") as disk, pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_server, "POLL_S", 1.0)
        desk = Desk("wasm", 1, PATIENT_S)
        device = Browser(desk, Server(desk, {}, lan=False, https=False), show=lambda line: None, connect_s=PATIENT_S)
        made = Bench(folder, device, disk=disk, fills_before=False)
        page = Page(device.server, made)
        page.start()
        yield made
        page.ends.set()
        device.close()
        made.told.set()
        page.join(20)
        assert not page.is_alive()
        assert page.problem is None


class Refused(Exception):
    """Another status than 200."""


class Page(threading.Thread):
    """Speaks to the server as page.js and worker.js do, and computes with ONNX Runtime what it is given."""

    def __init__(self, server: Server, bench: Bench) -> None:
        super().__init__()
        self.server, self.bench = server, bench
        self.page = "a0"
        self.ends = threading.Event()
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            while True:
                try:
                    self.serve()
                except Refused as refused:
                    if refused.args[0] == 410:
                        return
                    time.sleep(0.02)
                except OSError:
                    if self.ends.is_set():
                        return
                    raise
        except BaseException as problem:
            self.problem = problem
            raise

    def ask(self, method: str, route: str, body: bytes | None = None) -> bytes:
        connection = HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=30)
        try:
            connection.request(method, f"/{self.server.token}/{route}", body, {"Page": self.page})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise Refused(answer.status, content)
        return content

    def post(self, document: Mapping[str, object]) -> None:
        self.ask("POST", "post", json.dumps(document).encode())

    def serve(self) -> None:
        info = {"model": "test", "architecture": "x86_64", "cores": 2, "runtime": "ONNX Runtime Web"}
        info |= {"runtime_version": "0", "provider": "wasm", "threads": 1}
        self.ask("POST", "hello", json.dumps(info).encode())
        while True:
            if job := json.loads(self.ask("GET", "job")):
                with tempfile.TemporaryDirectory() as folder:
                    self.measure(job, Path(folder))

    def measure(self, job: Mapping[str, Any], folder: Path) -> None:
        import numpy as np

        (folder / "weights.bin").write_bytes(self.ask("GET", job["weights"]))
        for probe in (probe for group in job["groups"] for probe in group):
            (folder / f"{probe['name']}.onnx").write_bytes(self.ask("GET", f"{probe['name']}.onnx"))
        offset, values = job["input"]
        data = np.fromfile(folder / "weights.bin", np.float32, values, offset=4 * offset)
        runtime = worker.runtime(1, "CPUExecutionProvider")
        injector, shuffler, began = Injector(self.bench.folder), Random(job["seed"]), time.monotonic()
        for turn, group in enumerate(job["groups"]):
            sessions = [
                worker.Session(str(folder), probe["name"], probe["shape"], runtime, data)
                for probe in shuffler.sample(group, len(group))
            ]
            self.post({"round": job["round"], "alive": True})
            for number in range(job["passes"]):
                for session in shuffler.sample(sessions, len(sessions)):
                    sample = {"probe": session.name, "session": session.id, "slice": turn * job["passes"] + number}
                    sample |= {"at_s": time.monotonic() - began, "batch": 1, "ns": session.timed(job["runs"])}
                    sample |= {"checksum": session.checksum}
                    if injector.due(sample):
                        self.do_wrong(injector, job["round"], sample)
                    else:
                        self.post({"round": job["round"], "samples": [sample]})
                        injector.passed(sample)
        self.post({"round": job["round"], "done": True, "hidden_s": 0})

    def do_wrong(self, injector: Injector, number: int, sample: dict[str, Any]) -> None:
        kind, chance = injector.injection.kind, injector.rng.random()
        right = json.dumps({"round": number, "samples": [sample]}).encode()
        if kind == "lost line":
            return
        if kind == "hang" and chance < 0.5:
            self.bench.told.wait(30)
        elif kind in ("hang", "drip"):
            self.stall(right, drip=kind == "drip")
        elif kind == "disconnect" and chance < 0.3:
            self.cut(right[: injector.rng.randrange(1, len(right))], len(right))
            self.page += "1"
        elif kind == "disconnect":
            if chance < 0.6:  # else it crashed and says nothing
                self.ask("POST", "bye", b"")
            self.page += "1"
        elif kind == "full disk":
            injector.await_receipt()
            faulty.fill(Path(injector.injection.disk))
            self.ask("POST", "post", right)
            return
        elif kind in ("garbage", "truncated"):
            self.ask("POST", "post", injector.spoiled(sample))
        elif kind == "error":
            error = json.loads(injector.spoiled(sample))
            self.post({"round": number, **error})
        else:
            self.ask("POST", "post", b'{"round": %d, "samples": [%s]}' % (number, injector.spoiled(sample)))
        raise Refused(0, "began anew")

    def cut(self, body: bytes, length: int) -> None:
        """Post a part, and be gone."""
        with self.begun(length) as link:
            link.sendall(body)

    def stall(self, body: bytes, drip: bool) -> None:
        """Post without an end."""
        with self.begun(len(body)) as link:
            link.sendall(body[:10])
            for byte in body[10:-1]:
                if self.bench.told.wait(0.1 if drip else 10):
                    return
                if drip:
                    link.sendall(bytes([byte]))

    def begun(self, length: int) -> socket.socket:
        link = socket.create_connection(("127.0.0.1", self.server.server_address[1]))
        head = f"POST /{self.server.token}/post HTTP/1.1\r\nHost: localhost\r\nPage: {self.page}\r\n"
        link.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
        return link

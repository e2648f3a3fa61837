"""The browser: real headless Chromium with onnxruntime-web, and a page in Python for what a page may do wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.blocks.layer import Layer
from nas.devices.browser import runtime
from nas.devices.browser.desk import Desk
from nas.devices.browser.device import Browser, browser_device
from nas.devices.browser.runtime import FILES, install_runtime, runtime_folder
from nas.devices.browser.server import Server
from nas.devices.device import Fault, Plan, Sample
from nas.devices.hosted import Hosted, python_runner
from nas.devices.transport import Local
from nas.errors import NasError
from nas.profiler.probe import INPUT_SLICE, make_probe, write_weights

LAYERS = tuple(
    Layer(kind="conv", in_channels=c, out_channels=c, kernel=3, height=size, width=size)
    for c, size in ((8, 14), (32, 28), (64, 56))
)
PROBES = tuple(make_probe((layer,)) for layer in LAYERS)
FLAGS = [f"--disable-{what}" for what in ("background-networking", "component-update", "quic", "sync")]
FLAGS += ["--headless=new", "--no-sandbox", "--no-first-run", "--ignore-certificate-errors"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    write_weights(path)
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """onnxruntime-web as npm has it, in a data folder of the tests' own."""
    for program in ("chromium", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield install_runtime()


def plan(weights: Path, passes: int = 3, runs: int = 4) -> Plan:
    return Plan((PROBES,), weights, passes, runs, 2**40 + 7, INPUT_SLICE)


@contextmanager
def chromium(url: str, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            "nice",
            "-n",
            "19",
            "chromium",
            *FLAGS,
            *(flags or ("--disable-gpu",)),
            f"--user-data-dir={profile}",
            url,
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def closing(device: Browser) -> Iterator[Browser]:
    try:
        yield device
    finally:
        device.close()


def collect(device: Browser, plan: Plan) -> tuple[list[Sample], str]:
    """The samples, and the fault that ended them."""
    samples: list[Sample] = []
    try:
        samples.extend(iter(device.measure(plan)))
    except Fault as problem:
        return samples, str(problem)
    return samples, ""


def median_ns(samples: list[Sample]) -> list[float]:
    return [float(np.median([ns for s in samples if s.probe == probe.name for ns in s.ns])) for probe in PROBES]


# Chromium


def test_a_page_measures_what_the_local_device_measures(installed: Path, weights: Path) -> None:
    told: list[str] = []
    with closing(browser_device(threads=2, show=told.append, connect_s=60)) as device, chromium(device.server.url):
        info, samples = device.info, list(device.measure(plan(weights)))
        again = list(device.measure(plan(weights, passes=1)))
    local = Hosted(Local, python_runner(sys.executable))
    expected = {s.probe: s.checksum for s in local.measure(plan(weights, passes=1)) if isinstance(s, Sample)}
    local.close()
    assert {(s.probe, s.slice) for s in samples} == {(p.name, n) for p in PROBES for n in range(3)}
    assert len({s.session for s in samples + again}) == 6  # three in each round
    for sample in samples:
        assert sample.checksum == pytest.approx(expected[sample.probe], rel=1e-4)
        assert len(sample.ns) == math.ceil(4 / sample.batch)
    times = median_ns(samples)
    assert times[2] > 20 * times[0] > 0  # 1,024 times the MACs
    assert (info.runtime, info.runtime_version, info.provider) == ("ONNX Runtime Web", runtime.VERSION, "wasm")
    assert (info.threads, info.cores > 0) == (2, True)
    assert info.clock_ns <= 5_000  # of an isolated page; 100,000 of others
    assert len(told) == 1
    assert device.server.url in told[0]


def test_a_page_that_is_not_isolated_times_batches(installed: Path, weights: Path) -> None:
    """Over plain http, under a name that is not this machine's loopback."""
    told: list[str] = []
    name = f"{socket.gethostname()}.local"
    with closing(browser_device(threads=2, lan=True, show=told.append, connect_s=60)) as device:
        url = device.server.url.replace(device.server.address, name)
        with chromium(url, "--disable-gpu", f"--host-resolver-rules=MAP {name} 127.0.0.1"):
            info, samples = device.info, list(device.measure(plan(weights)))
    assert info.threads == 1
    assert info.clock_ns > 50_000
    assert any("Threads are off, 1 of 2" in line for line in told)
    assert any("timed in batches of 10 ms" in line for line in told)
    times = median_ns(samples)
    assert times[2] > 20 * times[0] > 0
    for sample in samples:
        assert sample.batch > 1 or max(sample.ns) > 1e6
        assert len(sample.ns) == math.ceil(4 / sample.batch)


def test_https_makes_a_page_isolated(installed: Path, weights: Path) -> None:
    told: list[str] = []
    with closing(browser_device(threads=2, lan=True, https=True, show=told.append, connect_s=60)) as device:
        name = f"{socket.gethostname()}.local"
        url = device.server.url.replace(device.server.address, name)
        with chromium(url, "--disable-gpu", f"--host-resolver-rules=MAP {name} 127.0.0.1"):
            info, samples = device.info, list(device.measure(plan(weights, passes=1)))
    assert url.startswith("https://")
    assert len(samples) == 3
    assert (info.threads, info.clock_ns <= 5_000) == (2, True)
    assert device.server.certificate in told[0]


def test_a_page_that_dies_costs_its_round_and_the_next_page_goes_on(installed: Path, weights: Path) -> None:
    with closing(browser_device(show=lambda _: None, silence_s=4, connect_s=60)) as device:
        with chromium(device.server.url) as process:
            _ = device.info
            samples = device.measure(plan(weights, passes=2000))
            kept = [next(samples)]
            kill(process)
            died = time.monotonic()
            with pytest.raises(Fault, match="the page said nothing for 4 s"):
                kept.extend(samples)
        assert time.monotonic() - died < 6
        assert 1 <= len(kept) < 6000
        with chromium(device.server.url):
            assert len(list(device.measure(plan(weights, passes=1)))) == 3


def test_a_browser_without_webgpu_says_so(installed: Path) -> None:
    with (
        closing(browser_device(provider="webgpu", show=lambda _: None, connect_s=60)) as device,
        chromium(device.server.url),
        pytest.raises(Fault, match="this browser has no WebGPU adapter"),
    ):
        _ = device.info


@pytest.mark.slow
def test_webgpu_on_a_software_adapter(installed: Path, weights: Path) -> None:
    flags = "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --enable-features=Vulkan --use-vulkan=swiftshader"
    job = Plan((PROBES[:2],), weights, 1, 2, 1, INPUT_SLICE)
    with (
        closing(browser_device(provider="webgpu", show=lambda _: None, connect_s=60)) as device,
        chromium(device.server.url, *flags.split()),
    ):
        found = {s.probe: s.checksum for s in device.measure(job)}
    local = Hosted(Local, python_runner(sys.executable))
    expected = {s.probe: s.checksum for s in local.measure(job) if isinstance(s, Sample)}
    local.close()
    assert found == pytest.approx(expected, rel=1e-4)
    assert "swiftshader" in device.info.model


# A page in Python

INFO = {"model": "test", "architecture": "x86_64", "cores": 2, "runtime": "ONNX Runtime Web", "runtime_version": "0"}
INFO |= {"provider": "wasm", "threads": 1}


class Page:
    """Speaks to the server as page.js and worker.js do."""

    def __init__(self, server: Server, name: str = "a1") -> None:
        self.server, self.name = server, name

    def ask(self, method: str, route: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        return self.raw(method, f"/{self.server.token}/{route}", body, **headers)

    def raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=20)
        try:
            sent = {"Page": self.name, "Connection": "close"} | {k.replace("_", "-"): v for k, v in headers.items()}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, route: str, document: object) -> int:
        return self.ask("POST", route, document if isinstance(document, bytes) else json.dumps(document).encode())[0]

    def job(self) -> dict[str, Any]:
        while True:
            status, body = self.ask("GET", "job")
            assert status == 200
            if (job := json.loads(body)) is not None:
                return job


def sample(slice: int = 0, **changes: object) -> dict[str, object]:
    document = {"probe": PROBES[0].name, "session": "ab12", "slice": slice, "at_s": float(slice), "batch": 1}
    return document | {"ns": [1e6], "checksum": 0.5} | changes


@pytest.fixture
def device() -> Iterator[Browser]:
    desk = Desk("wasm", 2, 2)
    with closing(Browser(desk, Server(desk, {}, lan=False, https=False), show=lambda _: None, connect_s=5)) as browser:
        yield browser


@contextmanager
def background(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


def finish(page: Page, slices: int) -> None:
    """Take the round that is there and do it well."""
    job = page.job()
    assert page.post("post", {"round": job["round"], "alive": True}) == 200
    for number in range(slices):
        assert page.post("post", {"round": job["round"], "samples": [sample(number)]}) == 200
    assert page.post("post", {"round": job["round"], "done": True, "hidden_s": 0}) == 200


BAD: list[object] = [
    b"",
    b"no json",
    b"[" * 100_000,
    b'{"round": 1, "samples": [',
    [1],
    {"round": 1},
    {"round": 1, "samples": 3},
    {"round": 1, "samples": [{}]},
    {"round": 1, "samples": [sample(1, ns=[float("nan")])]},
    {"round": 1, "samples": [sample(1, ns=[-5.0])]},
    {"round": 1, "samples": [sample(1, ns=[float("inf")])]},
    {"round": 1, "samples": [sample(1, ns=[])]},
    {"round": 1, "samples": [sample(1, checksum=float("nan"))]},
    {"round": 1, "samples": [sample(1, probe="f00")]},
    {"round": 1, "samples": [sample(1, batch=0)]},
    {"round": 1, "samples": [sample(1, more=1)]},
    {"round": 1, "samples": [sample(1), sample(0)]},  # the clock goes back
    {"round": 1, "samples": [sample(n) for n in range(1, 5)]},  # more than were asked for
    {"round": 1, "done": True, "hidden_s": 0},  # fewer
    {"round": 1, "error": "out of\x1b[2J memory\n" * 99},
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:40])
def test_garbage_costs_the_round_and_nothing_measured(device: Browser, weights: Path, bad: object) -> None:
    page, job = Page(device.server), Plan((PROBES[:1],), weights, 4, 1, 1, INPUT_SLICE)

    def work() -> None:
        assert page.post("hello", INFO) == 200
        round = page.job()["round"]
        assert page.post("post", {"round": round, "samples": [sample()]}) == 200
        assert page.post("post", bad) == 400
        assert page.post("post", {"round": round, "samples": [sample(3)]}) == 409
        finish(page, 4)

    with background(work):
        samples, fault = collect(device, job)
        assert (len(samples) >= 1, samples[0].slice, fault != "", fault.isprintable()) == (True, 0, True, True)
        assert len(fault) < 400
        assert [s.slice for s in collect(device, job)[0]] == [0, 1, 2, 3]


def test_a_page_gets_models_and_weights_of_the_round_only(device: Browser, weights: Path) -> None:
    page, paths = Page(device.server), []

    def work() -> None:
        page.post("hello", INFO)
        job = page.job()
        for path, content in ((f"{PROBES[0].name}.onnx", PROBES[0].model), (job["weights"], weights.read_bytes())):
            paths.append(path)
            assert page.ask("GET", path) == (200, content)
        assert page.ask("GET", f"{PROBES[1].name}.onnx")[0] == 404
        assert job["input"] == list(INPUT_SLICE)
        assert job["groups"] == [[{"name": PROBES[0].name, "shape": list(PROBES[0].shape)}]]
        page.post("post", {"round": job["round"], "error": "enough"})

    with background(work):
        assert collect(device, Plan((PROBES[:1],), weights, 1, 1, 1, INPUT_SLICE)) == ([], "the page: enough")
    assert [page.ask("GET", path)[0] for path in paths] == [404, 404]


def test_one_page_owns_the_round_and_one_that_leaves_is_followed(device: Browser, weights: Path) -> None:
    first, second = Page(device.server, "a1"), Page(device.server, "b2")
    job = Plan((PROBES[:1],), weights, 2, 1, 1, INPUT_SLICE)

    def work() -> None:
        assert first.post("hello", INFO) == 200
        round = first.job()["round"]
        assert first.post("post", {"round": round, "samples": [sample()]}) == 200
        assert second.post("hello", INFO) == 409
        assert second.post("post", {"round": round, "samples": [sample(1)]}) == 409
        assert second.post("post", b"garbage") == 409
        assert second.post("bye", b"") == 409
        assert second.ask("GET", "job")[0] == 409
        assert first.post("bye", b"") == 200
        assert second.post("hello", INFO | {"model": "another"}) == 409
        assert second.post("hello", INFO) == 200
        finish(second, 2)

    with background(work):
        samples, fault = collect(device, job)
        assert [s.slice for s in samples] == [0]
        assert "closed or reloaded" in fault
        assert len(collect(device, job)[0]) == 2


def test_a_round_that_nobody_waits_for_any_more_is_over(device: Browser, weights: Path) -> None:
    page, left = Page(device.server), threading.Event()

    def work() -> None:
        page.post("hello", INFO)
        round = page.job()["round"]
        assert page.post("post", {"round": round, "samples": [sample()]}) == 200
        assert left.wait(10)
        assert page.post("post", {"round": round, "samples": [sample(1)]}) == 409

    with background(work):
        samples = device.measure(Plan((PROBES[:1],), weights, 4, 1, 1, INPUT_SLICE))
        assert next(samples).slice == 0
        samples.close()
        left.set()
    device.desk.close()
    assert page.ask("GET", "job")[0] == 410


def test_silence_and_absence_are_told(device: Browser, weights: Path) -> None:
    device.connect_s = 0.2
    with pytest.raises(Fault, match="nobody opened the page within 0 s"):
        _ = device.info
    page = Page(device.server)
    assert page.post("hello", INFO | {"provider": "webgpu"}) == 400
    with pytest.raises(Fault, match="a page runs wasm"):
        _ = device.info
    assert page.post("hello", INFO | {"threads": 3}) == 400
    assert page.post("hello", {"error": "no memory"}) == 400
    with pytest.raises(Fault, match="the page: no memory"):
        _ = device.info
    assert page.post("hello", INFO) == 200
    began = time.monotonic()
    assert collect(device, plan(weights))[1].startswith("the page said nothing for 2 s")
    assert 1.9 < time.monotonic() - began < 4


def test_without_the_token_nothing_is_served(device: Browser) -> None:
    page, token = Page(device.server), device.server.token
    for route in ("", "page.js", "worker.js", "job", "settings", "hello", "post", "bye", "weights-0.bin", *FILES):
        for path in (f"/{route}", f"/x/{route}", f"/{token[:-1]}/{route}", f"/{token}x/{route}"):
            for method in ("GET", "POST"):
                assert page.raw(method, path, b"{}" if method == "POST" else None)[0] == 403, path
    assert page.raw("GET", f"/{token}")[0] == 403
    assert page.raw("GET", f"/%20{token}/")[0] == 403
    assert page.ask("GET", "settings") == (200, b'{"provider": "wasm", "threads": 2}')


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "192.0.2.7", "", "[::1", "0x7f.1"])
def test_other_names_for_this_machine_are_refused(device: Browser, host: str) -> None:
    assert Page(device.server).ask("GET", "settings", Host=host)[0] == 403
    assert Page(device.server).ask("GET", "settings", Host="localhost:1")[0] == 200


def test_requests_name_no_files(device: Browser) -> None:
    page = Page(device.server)
    for route in ("../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "device.py", "page.js?x", "%00"):
        assert page.ask("GET", route)[0] == 404, route
        assert page.ask("POST", route, b"{}")[0] == 404, route


@pytest.mark.parametrize("length", [str(1 << 21), "-1", "x", "9" * 30])
def test_posts_are_limited_in_size(device: Browser, length: str) -> None:
    page = Page(device.server)
    assert page.ask("POST", "post", None, Content_Length=length)[0] == 413
    assert page.ask("GET", "settings")[0] == 200


# The runtime


def tarball(members: dict[str, bytes | int]) -> bytes:
    """A package with these files; a number stands for so many zeros."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            content = bytes(content) if isinstance(content, int) else content
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo(f"package/dist/{FILES[0]}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return data.getvalue()


def pinned(patch: pytest.MonkeyPatch, data: bytes) -> None:
    patch.setattr(runtime, "INTEGRITY", base64.b64encode(hashlib.sha512(data).digest()).decode())


def test_only_the_pinned_tarball_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    source = tmp_path / "ort.tgz"
    source.write_bytes(tarball({f"package/dist/{name}": b"x" for name in FILES}))
    with pytest.raises(NasError, match=r"another SHA-512.*npm pack onnxruntime-web@"):
        install_runtime(source)
    with pytest.raises(NasError, match="cannot be read"):
        install_runtime(tmp_path / "missing.tgz")
    with pytest.raises(Fault, match="run `nas devices --install browser`"):
        browser_device()
    assert not (tmp_path / "data").exists()


def test_a_tarball_gives_known_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    good = {f"package/dist/{name}": name.encode() for name in FILES}
    data = tarball({"../evil": b"x", "/tmp/evil": b"x", "package/dist/../../../evil": b"x", "package/x": b"x"} | good)
    source = tmp_path / "ort.tgz"
    source.write_bytes(data)
    pinned(monkeypatch, data)
    for _ in range(2):  # again over what is there
        folder = install_runtime(source)
        assert folder == runtime_folder()
        assert {path.name for path in folder.iterdir()} == {*FILES, "LICENSE"}
        assert all((folder / name).read_bytes() == name.encode() for name in FILES)
        assert "Microsoft" in (folder / "LICENSE").read_text()
    assert {path.name for path in tmp_path.rglob("*")} == {
        *("data", "nas", "onnxruntime-web", runtime.VERSION, "LICENSE", "ort.tgz"),
        *FILES,
    }


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({f"package/dist/{FILES[1]}": b"x"}, f"lacks dist/{FILES[0]}"),
        ({f"package/dist/{FILES[2]}": (64 << 20) + 1}, "has 67,108,865 bytes"),
        (None, "cannot be read"),
    ],
)
def test_a_tarball_that_is_wrong_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes | int] | None, message: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    data = b"no archive" if members is None else tarball(members)
    source = tmp_path / "ort.tgz"
    source.write_bytes(data)
    pinned(monkeypatch, data)
    with pytest.raises(NasError, match=message):
        install_runtime(source)
    assert {path.name for path in tmp_path.rglob("*")} <= {"ort.tgz", "data", "nas", "onnxruntime-web"}


def test_without_npm_the_next_step_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NasError, match=r"npm, which fetches .* `nas devices --install browser --from TARBALL`"):
        install_runtime()


@pytest.mark.parametrize("options", [{"provider": "webgl"}, {"threads": 0}])
def test_wrong_requests(options: dict[str, Any]) -> None:
    with pytest.raises(NasError, match="a browser"):
        browser_device(**options)


SPACE = """
format: nas-space/1
name: twenty
source: this test
input: {resolution: 32}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: 16, kernel: 3, stride: 2}
  - {name: a, block: mbconv, width: 24, stride: 2, kernel: {choice: [3, 5]}, expansion: {choice: [2, 3, 4]}}
  - {name: b, block: mbconv, width: 32, kernel: {choice: [3, 5]}, expansion: {choice: [2, 3, 4]}}
  - {name: c, block: mbconv, width: 48, stride: 2, kernel: {choice: [3, 5]}, expansion: {choice: [2, 3, 4]}}
head: {width: 64}
"""


def test_a_table_made_in_a_browser_is_searched_with(installed: Path, tmp_path: Path) -> None:
    """As typed: twenty blocks profiled in Chromium, then a search by that table."""
    (tmp_path / "twenty.yaml").write_text(SPACE)
    nas = [sys.executable, "-m", "nas"]
    words = ["profile", "--space", "twenty.yaml", "--target", "browser", "--budget", "5s", "--out", "table", "--json"]
    profile = subprocess.Popen([*nas, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert profile.stderr is not None
    url = next(line.strip() for line in profile.stderr if line.startswith("http://"))
    with chromium(url):
        printed, complaints = profile.communicate(timeout=180)
    assert profile.returncode == 0, complaints
    document = json.loads(printed)
    assert document["rows"] == 20
    assert document["header"]["runtime"]["name"] == "ONNX Runtime Web"
    words = ["search", "--space", "twenty.yaml", "--target", "./table", "--latency", "1s", "--budget", "8", "--json"]
    search = subprocess.run([*nas, *words], cwd=tmp_path, capture_output=True, text=True)
    assert search.returncode == 0, search.stderr
    assert json.loads(search.stdout)["winner"]["coverage"]["measured"] == pytest.approx(1)

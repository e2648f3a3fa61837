"""Android by the real `adb` client, against a stub that speaks its protocol and runs the runner for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from adb_stub import Stub, free_listener
from native_runner import native_bundle

from nas.blocks.layer import Layer
from nas.devices import adb as adb_module
from nas.devices import stream as stream_module
from nas.devices.adb import Adb, Attached, adb_device, adb_devices
from nas.devices.device import Fault, Plan, Sample
from nas.devices.hosted import Hosted, python_runner
from nas.devices.runner.build import android_runner
from nas.devices.transport import Local
from nas.profiler.probe import INPUT_SLICE, make_probe, write_weights

pytestmark = pytest.mark.skipif(shutil.which("adb") is None, reason="needs the adb client: apt install adb")
SMALL = Layer(kind="conv", in_channels=8, out_channels=8, kernel=3, height=14, width=14)
LARGE = Layer(kind="conv", in_channels=64, out_channels=128, kernel=3, height=56, width=56)


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An adb server of our own, with its own port and keys."""
    listener = free_listener()
    port = listener.getsockname()[1]
    listener.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.delenv("ADB_SERVER_SOCKET", raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        client("start-server")
        yield
        client("kill-server")


def client(*words: str) -> str:
    return subprocess.run(["adb", *words], capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Stub]:
    stub = Stub(tmp_path / "phone")
    try:
        client("connect", stub.serial)
        yield stub
    finally:
        subprocess.run(["adb", "disconnect", stub.serial], capture_output=True, timeout=30, check=False)
        stub.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return native_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    write_weights(path)
    return path


def plan(weights: Path, passes: int = 3) -> Plan:
    return Plan(((make_probe((SMALL,)), make_probe((LARGE,))),), weights, passes, 4, 1, INPUT_SLICE)


def samples(device: Hosted, job: Plan) -> list[Sample]:
    return [sample for sample in device.measure(job) if isinstance(sample, Sample)]


def test_a_phone_measures(phone: Stub, bundle: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_module, "cached_runner", lambda: bundle)
    device = adb_device(phone.serial)
    info = device.info
    assert (info.model, info.soc, info.runtime, info.threads) == ("Stub Phone", "SM0000", "ONNX Runtime", 1)
    assert info.system.startswith("Android 13, Linux ")
    found = samples(device, plan(weights))
    assert len(list(phone.tmp.iterdir())) == 1
    device.close()
    device.close()
    assert list(phone.tmp.iterdir()) == []
    here = Hosted(Local, python_runner(sys.executable))
    expected = {sample.probe: sample.checksum for sample in samples(here, plan(weights, passes=1))}
    here.close()
    assert {sample.probe: sample.checksum for sample in found} == pytest.approx(expected, rel=1e-9)
    assert len(found) == 6


def test_a_second_round_sends_only_what_is_new(phone: Stub, bundle: Path, weights: Path) -> None:
    device = Hosted(lambda: Adb(phone.serial), android_runner(bundle))
    samples(device, plan(weights, passes=1))
    phone.written.clear()
    samples(device, plan(weights, passes=1))
    device.close()
    assert phone.written == ["job.txt"]


def test_devices_are_listed_with_the_next_step(phone: Stub, tmp_path: Path) -> None:
    other = Stub(tmp_path / "other")
    other.trusted = False
    client("connect", other.serial)
    try:
        listed = {device.serial: device for device in adb_devices()}
        assert (listed[phone.serial].model, listed[phone.serial].why) == ("Stub Phone", "")
        assert listed[other.serial].state == "unauthorized"
        assert "confirm the dialog on its screen" in listed[other.serial].why
        with pytest.raises(Fault, match="confirm the dialog"):
            Adb(other.serial)
    finally:
        client("disconnect", other.serial)
        other.close()
    phone.vanish()
    with pytest.raises(Fault, match=r"does not answer; unplug it|has no device"):
        wait_for_the_fault(phone.serial)


def wait_for_the_fault(serial: str) -> None:
    """adb's server takes a moment to see that a device is gone."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        Adb(serial).close()
        time.sleep(0.1)


def test_lines_of_adb_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States that the stub cannot take, as adb prints them."""
    (tmp_path / "adb").write_text(
        "#!/bin/sh\necho 'List of devices attached'\n"
        "echo '8A1X  device usb:1-2 product:blueline model:Pixel_3 device:blueline transport_id:1'\n"
        "echo 'R58M  no permissions (user in plugdev group; are your udev rules wrong?); see [http://x] usb:1-1'\n"
        "echo 'ZY22  sideload usb:1-4 transport_id:7'\necho\n"
    )
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    good, closed, odd = adb_devices()
    assert (good.serial, good.model, good.why) == ("8A1X", "Pixel 3", "")
    assert closed.state == "no permissions"
    assert "udev rules" in closed.why
    assert "in the state `sideload`" in odd.why


@pytest.mark.parametrize(
    ("line", "serial", "state"),
    [
        ("0A1B2C                 device product:x model:Pixel_4a device:x transport_id:1", "0A1B2C", "device"),
        ("0A1B2C\tdevice", "0A1B2C", "device"),
        ("\x1b]0;a title\x070A1B2C                 device", "0A1B2C", "device"),
        ("192.168.0.7:5555       connecting", "192.168.0.7:5555", "connecting"),
        ("emulator-5554          authorizing transport_id:3", "emulator-5554", "authorizing"),
        (
            "adb-3A (2)._adb-tls-connect._tcp device product:o transport_id:9",
            "adb-3A (2)._adb-tls-connect._tcp",
            "device",
        ),
        ("adb-3A (2)._adb-tls-connect._tcp offline", "adb-3A (2)._adb-tls-connect._tcp", "offline"),
        ("my phone               device", "my phone", "device"),
        ("my device\tunauthorized", "my device", "unauthorized"),
        ("R58                    no permissions; see [http://x/device.html] usb:1-1", "R58", "no permissions"),
        ("????????????           no permissions (a (b)? c); see [http://x] usb:1-1", "????????????", "no permissions"),
        ("(no serial number)     device usb:1-4.2 product:x transport_id:1", "usb:1-4.2", "device"),
        *((f"A1                     {state}", "A1", state) for state in ("bootloader", "host", "rescue", "unknown")),
    ],
)
def test_a_line_of_adb_is_a_device(line: str, serial: str, state: str) -> None:
    found = Attached.read(line)
    assert found is not None
    assert (found.serial, found.state) == (serial, state)
    assert bool(found.why) == (state != "device")


@pytest.mark.parametrize(
    "line",
    [
        *("", " ", "List of devices attached", "* daemon started successfully", "* daemon not running; starting now"),
        *(
            "adb server version (39) doesn't match this client (41); killing...",
            "adb server is out of date.  killing...",
        ),
        *(
            "error: device offline",
            "error: device unauthorized.",
            "adb: more than one device",
            "* device",
            "adb: offline",
        ),
        *(
            "- waiting for device -",
            "a phone whose second word is no state",
            "A1 device-owner",
            "device",
            "A1 devices x",
        ),
    ],
)
def test_a_line_of_adb_is_a_notice(line: str) -> None:
    assert Attached.read(line) is None


def test_without_adb_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Fault, match="adb is not installed: `apt install adb`"):
        adb_devices()


@pytest.mark.parametrize("serial", ["", "-a", "a b ", " a", "a\n", "é", "x" * 201])
def test_serials_are_checked(serial: str) -> None:
    with pytest.raises(Fault, match="a serial is printable"):
        Adb(serial)


def test_a_serial_that_is_not_there_is_told_with_those_that_are(phone: Stub) -> None:
    with pytest.raises(Fault, match=rf"no device emulator-9 \(it has: {phone.serial}\)"):
        adb_device("emulator-9")


@pytest.mark.parametrize("machine", ["armv8l", "x86_64"])
def test_other_processors_are_refused(phone: Stub, machine: str) -> None:
    phone.machine = machine
    with pytest.raises(Fault, match=f"64-bit Arm Linux .aarch64., this is '{machine}'"):
        Adb(phone.serial)
    assert list(phone.tmp.iterdir()) == []


def test_only_a_folder_of_ours_is_ever_removed(phone: Stub) -> None:
    phone.program("mktemp", "echo /data/local/tmp")
    (phone.tmp / "precious").touch()
    with pytest.raises(Fault, match="no folder could be made in /data/local/tmp"):
        Adb(phone.serial)
    assert (phone.tmp / "precious").is_file()


def test_words_arrive_as_they_are(phone: Stub) -> None:
    place = Adb(phone.serial)
    words = ["a b", "$HOME", "`id`", "; exit 4", "'", '"', "*", "ü"]
    assert list(place.run(["printf", "%s\\n", *words], 5)) == words
    place.put({"one": b"1\r\n2", "two.bin": bytes(range(256)) * 5000})
    assert list(place.run(["wc", "-c", "two.bin"], 5)) == ["1280000 two.bin"]
    place.put({"one": b"new\n\nend"})
    assert list(place.run(["cat", "one"], 5)) == ["new", "", "end"]
    place.close()


@pytest.mark.parametrize(
    "banner", [b"\x1b]0;phone\x07", b"WARNING: linker: unused\r\n* motd *\r\nno end", b"nas: ended\n"]
)
def test_what_the_shell_says_first_is_no_answer(phone: Stub, banner: bytes) -> None:
    phone.banner = banner
    place = Adb(phone.serial)
    assert list(place.run(["printf", "one\\n\\ntwo"], 5)) == ["one", "", "two"]
    assert list(place.run(["true"], 5)) == []
    place.close()
    assert list(phone.tmp.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo no board here >&2; exit 7", "no board here"),
        ("exit 7", "adb ended with code 7"),
        ("sleep 30", "said nothing for 1 s"),
        ("kill -9 $$", "Killed"),
    ],
)
def test_a_command_that_fails_is_told(phone: Stub, command: str, message: str) -> None:
    place = Adb(phone.serial)
    began = time.monotonic()
    with pytest.raises(Fault, match=message) as caught:
        list(place.run(["sh", "-c", command], 1))
    place.close()
    assert phone.serial in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 10


def test_who_waits_for_a_phone_is_told(phone: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "SOON_S", 0.1)
    told: list[str] = []
    place = Adb(phone.serial, told.append)
    for _ in range(2):
        assert list(place.run(["sleep", "0.3"], 9)) == []
    place.close()
    assert told == [f"{phone.serial}: waiting until the program there says something, 9 s at most"]


def test_a_full_phone_is_told(phone: Stub, bundle: Path, weights: Path) -> None:
    device = Hosted(lambda: Adb(phone.serial), android_runner(bundle))
    _ = device.info
    phone.full = True
    with pytest.raises(Fault, match=r"its storage is full; free some of /data\."):
        list(device.measure(plan(weights)))
    phone.full = False
    assert len(samples(device, plan(weights))) == 6
    device.close()


def test_a_phone_that_goes_away_costs_nothing_measured(phone: Stub, bundle: Path, weights: Path) -> None:
    device = Hosted(lambda: Adb(phone.serial), android_runner(bundle))
    _ = device.info
    phone.lines_left = 7
    found = device.measure(plan(weights, passes=50))
    assert len(list(islice(found, 7))) == 7
    with pytest.raises(Fault, match=r"ended in the middle of a command\. .*(does not answer|has no device)"):
        next(found)
    device.close()


def test_a_phone_that_falls_silent_is_left(phone: Stub, bundle: Path, weights: Path) -> None:
    device = Hosted(lambda: Adb(phone.serial), android_runner(bundle), silence_s=2)
    _ = device.info
    phone.lines_left, phone.hangs = 3, True
    began = time.monotonic()
    found = device.measure(plan(weights, passes=50))
    assert len(list(islice(found, 3))) == 3
    with pytest.raises(Fault, match="said nothing for 2 s"):
        next(found)
    assert time.monotonic() - began < 15
    phone.lines_left = None
    assert len(samples(device, plan(weights))) == 6  # the connection is still good
    device.close()

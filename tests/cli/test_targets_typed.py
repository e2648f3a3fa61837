"""What `--target` and `--space` name where they are typed: devices and shipped names before folders, ports, phones."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nas.cli import cli
from nas.errors import NasError
from nas.runs import search as search_module
from nas.runs.run import Run
from nas.system.places import shipped_folder

SPACE = """
format: nas-space/1
name: tiny
source: this test
input: {resolution: 16}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: 16, kernel: 3, stride: 2}
  - {name: one, block: mbconv, width: 24, stride: 2, kernel: {choice: [3, 5]}, expansion: 2}
head: {width: 64}
"""
PROFILE = ("profile", "--space", "tiny.yaml", "--budget", "1s", "--out", "out", "--target")
SEARCH = ("search", "--space", "mobile", "--budget", "4", "--latency", "30ms", "--out", "run", "--target")
ESTIMATE = ("estimate", "--arch-def", "net.json", "--target")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with others that are called as devices, tables and spaces are."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("fake", "cpu", "browser", "pixel-cpu", "mobile", "pi"):
        Path(name).mkdir()
    Path("tiny.yaml").write_text(SPACE)
    network = shipped_folder("latency_tables") / "pixel-cpu" / "networks" / "mnasnet-a1-1.0.json"
    Path("net.json").write_text(network.read_text())
    return tmp_path


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nas(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def refusal(*words: str) -> str:
    """What is said where a request is refused."""
    problem = nas(*words).exception
    assert isinstance(problem, NasError), problem
    assert problem.exit_code == 2
    assert len(str(problem).splitlines()) == 1
    assert not Path("out").exists()
    assert not Path("run").exists()
    return str(problem)


@pytest.mark.parametrize(
    "form", ["ssh://pi@127.0.0.1:{}", "SSH://pi@127.0.0.1:{}/", "ssh://[::1]:{}", "ssh://127.0.0.1:{}:2t"]
)
def test_a_board_with_a_port_is_a_board(form: str, free_port: int) -> None:
    target = "ssh:" + form.format(free_port)
    assert "nothing answers at its ssh port" in refusal(*PROFILE, target)
    assert "this network names none" in nas(*ESTIMATE, target).stdout


def test_a_search_takes_a_board_with_a_port(free_port: int) -> None:
    target = f"ssh:ssh://pi@127.0.0.1:{free_port}"
    assert "nothing answers at its ssh port" in refusal(*SEARCH, target)


def test_a_board_with_a_port_may_have_a_name(folder: Path, free_port: int) -> None:
    (folder / "config" / "nas").mkdir(parents=True)
    (folder / "config" / "nas" / "devices.yaml").write_text(f"pi: ssh:ssh://pi@127.0.0.1:{free_port}\n")
    assert "nothing answers at its ssh port" in refusal(*PROFILE, "pi")


@pytest.mark.parametrize(
    ("target", "right"),
    [
        ("ssh:pi@host:2222", "ssh:ssh://pi@host:2222"),
        ("ssh:host:2222:4t", "ssh:ssh://host:2222:4t"),
        ("ssh:pi@[::1]:2222", "ssh:ssh://pi@[::1]:2222"),
        ("ssh:[::1]", "ssh:ssh://[::1]"),
        ("ssh:cafe:22", "ssh:ssh://cafe:22"),
        ("ssh://pi@host:2222", "ssh:ssh://pi@host:2222"),
        ("ssh:ssh:pi@host:22", "ssh:ssh://pi@host:22"),
        ("ssh:pi@host/", "ssh:pi@host"),
        ("ssh:pi@host:", "ssh:pi@host"),
        ("ssh:pi@host:/home/pi", "ssh:pi@host"),
        ("ssh:ssh://pi@host:2222/home", "ssh:ssh://pi@host:2222"),
        ("ssh:ssh://pi@::1:22", "ssh:pi@board, with a port ssh:ssh://pi@board:2222"),
        ("ssh:ssh://pi@host:99999", "ssh:pi@board, with a port ssh:ssh://pi@board:2222"),
        ("ssh:ssh://", "ssh:pi@board, with a port ssh:ssh://pi@board:2222"),
        ("ssh:@host", "ssh:pi@board, with a port ssh:ssh://pi@board:2222"),
        ("ssh:ssh://%2DoProxyCommand@host", "ssh:"),
    ],
)
def test_what_is_nearly_a_board_is_refused_with_the_right_form(target: str, right: str) -> None:
    for words in (PROFILE, SEARCH, ESTIMATE):
        assert refusal(*words, target).startswith(f"A ssh device is written {right}")


@pytest.mark.parametrize("target", ["SSH:ssh://pi@host:2222", "Fake", "CPU:4t", "Adb:SERIAL"])
def test_capitals_are_told(target: str) -> None:
    kind, colon, rest = target.partition(":")
    for words in (PROFILE, SEARCH, ESTIMATE):
        assert refusal(*words, target).endswith(f"A device is written small: {kind.lower()}{colon}{rest}")


def test_a_folder_named_as_a_device_is_not_in_its_way() -> None:
    told = nas(*PROFILE, "fake")
    assert told.exit_code == 0, told.exception
    assert "use it    nas search --space tiny.yaml --target ./out" in told.stdout
    again = nas(*PROFILE[:-2], "fake", "--target", "fake")  # a table in the folder that is called as the device
    assert "nas search --space tiny.yaml --target ./fake" in again.stdout, again.exception
    assert "has a table for each space" in nas(*ESTIMATE, "fake").stdout
    for folder in ("./fake", "out"):  # a word that names nothing else needs no separator
        assert "does not answer for conv" in nas(*ESTIMATE, folder).stdout


def test_names_in_a_request_stay_names_and_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    asked: list[tuple[str, str]] = []

    def carry_out(run: Run, *rest: object) -> None:
        asked.append((run.request.space, run.request.target))
        run.release()

    monkeypatch.setattr(search_module, "carry_out", carry_out)
    for target in ("pixel-cpu", "fake", "ssh:ssh://pi@host:2222", "ssh:pi@192.168.0.7"):
        nas("search", "--space", "mobile", "--target", target)
    assert asked == [
        ("mobile", target) for target in ("pixel-cpu", "fake", "ssh:ssh://pi@host:2222", "ssh:pi@192.168.0.7")
    ]
    names = sorted(path.name for path in Path("runs").iterdir())
    assert names == [
        "mobile-fake-1",
        "mobile-pixel-cpu-1",
        "mobile-ssh-pi-192-168-0-7-1",
        "mobile-ssh-ssh-pi-host-2222-1",
    ]
    nas("search", "--space", "./mobile", "--target", "pixel-cpu")  # a folder, which is no space
    assert len(asked) == 4


@pytest.mark.parametrize("words", [("spaces", "show", "mobile"), ("table", "show", "pixel-cpu")])
def test_shipped_names_are_found_beside_folders_of_their_names(words: tuple[str, ...]) -> None:
    assert nas(*words).exit_code == 0


@pytest.mark.parametrize(
    "words", [("spaces", "show", "./mobile"), ("table", "show", "./pixel-cpu"), (*SEARCH, "./pixel-cpu")]
)
def test_a_separator_means_the_folder(words: tuple[str, ...]) -> None:
    assert "no such search-space file" in refusal(*words) or "this is none" in refusal(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "fake", "--python", "python3"), "`--python` names the interpreter of an ssh board"),
        (("--target", "ssh:pi@host", "--python", "venv/bin/python"), "An interpreter is a name there"),
        (("--target", "ssh:pi@host", "--python", "-c"), "An interpreter is a name there"),
        (("--target", "ssh:pi@host", "--python", ""), "An interpreter is a name there"),
        (("--target", "ssh:pi@host", "--python", "python3", "--install"), "Leave out one of them"),
    ],
)
def test_an_interpreter_that_cannot_be_is_refused(words: tuple[str, ...], message: str) -> None:
    assert message in refusal(*PROFILE[:-1], *words)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake", "fake is a device, with a table for each space, such as fake-mobile"),
        ("ssh:ssh://pi@host:2222", "is a device, with a table for each space, such as ssh-ssh-pi-host-2222-mobile"),
        ("ssh:pi@host:2222", "A ssh device is written ssh:ssh://pi@host:2222"),
        ("./fake", "this is none"),
        ("Cpu", "No target named 'Cpu'"),
    ],
)
def test_where_a_table_is_asked_for_a_device_is_told_as_one(name: str, message: str) -> None:
    for words in (("table", "show", name), ("table", "check", name), ("table", "diff", "pixel-cpu", name)):
        assert message in refusal(*words)


Phones = Callable[[str], dict[str, tuple[bool, str]]]


@pytest.fixture
def listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Phones:
    """What `nas devices` lists of phones, where adb prints these lines."""
    (folder / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr("nas.devices.listing._providers", list)

    def phones(lines: str) -> dict[str, tuple[bool, str]]:
        (folder / "lines").write_text(lines)
        (folder / "bin" / "adb").write_text(f"#!/bin/sh\ncat {folder}/lines\n")
        (folder / "bin" / "adb").chmod(0o755)
        found = json.loads(nas("devices", "--json").stdout)
        return {each["target"]: (each["usable"], each["note"]) for each in found if each["target"].startswith("adb:")}

    return phones


def test_notices_among_phones_are_no_phones(listed: Phones) -> None:
    found = listed(
        "* daemon not running; starting now at tcp:5037\n* daemon started successfully\n"
        "\x1b]0;adb\x07List of devices attached\n"
        "adb server version (39) doesn't match this client (41); killing...\n\x1b]0;a title\x07"
        "0A1B2C                 device product:x model:Pixel_4a device:x transport_id:1\r\n"
        "error: device offline\nadb: a line of any kind about a device\n\n"
        "adb-39021F-QVp (2)._adb-tls-connect._tcp device product:o model:Pixel_6 device:o transport_id:3\n"
        "8A1X\toffline\n"
        "R58M                   no permissions (missing udev rules?); see [http://x/device.html] usb:1-1\n"
    )
    assert list(found) == ["adb:0A1B2C", "adb:adb-39021F-QVp (2)._adb-tls-connect._tcp", "adb:8A1X", "adb:R58M"]
    assert [usable for usable, _ in found.values()] == [True, True, False, False]
    assert found["adb:0A1B2C"] == (True, "Pixel 4a")


def test_where_only_notices_stand_there_is_no_phone(listed: Phones) -> None:
    found = listed("List of devices attached\nadb: failed to check server version: cannot connect to daemon\n\n")
    assert found["adb:SERIAL"][0] is False
    assert "no phone is attached" in found["adb:SERIAL"][1]

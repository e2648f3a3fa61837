"""Boards by ssh: the real programs on both sides, over a loopback port to an sshd of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sshd import HOST, Sshd, running_sshd

from nas.blocks.layer import Layer
from nas.devices import ssh as ssh_module
from nas.devices import stream as stream_module
from nas.devices.device import Fault, Plan, Sample
from nas.devices.hosted import Hosted, python_runner
from nas.devices.runtimes import RUNTIMES
from nas.devices.ssh import Ssh, ssh_device
from nas.devices.transport import Local
from nas.profiler.probe import INPUT_SLICE, make_probe, write_weights

LAYERS = tuple(Layer(kind="conv", in_channels=8, out_channels=n, kernel=3, height=14, width=14) for n in (8, 16))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with running_sshd(tmp_path) as server:
        yield server


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A Python without numpy and onnxruntime."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return str(tmp_path / "bare" / "bin" / "python")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    write_weights(path)
    return path


def plan(weights: Path, passes: int = 2, runs: int = 3) -> Plan:
    return Plan((tuple(make_probe((layer,)) for layer in LAYERS),), weights, passes, runs, 1, INPUT_SLICE)


def inside(folder: str) -> list[int]:
    """Processes that work in a folder, removed or not."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = os.readlink(entry / "cwd")
            except OSError:
                continue
            if place.startswith(folder):
                found.append(int(entry.name))
    return found


def wait_until_gone(folder: str, limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while inside(folder) or Path(folder).exists():
        assert time.monotonic() < deadline, f"{folder} still there, or processes {inside(folder)} in it"
        time.sleep(0.05)


def refusal(server: Sshd, host: str = HOST) -> str:
    """What is said where a connection is refused."""
    with pytest.raises(Fault) as caught:
        Ssh(host, config=server.config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_is_this_machine_as_the_local_device_sees_it(server: Sshd) -> None:
    with (
        closing(ssh_device(HOST, config=server.config)) as far,
        closing(Hosted(Local, python_runner(sys.executable))) as near,
    ):
        assert far.info.fingerprint == near.info.fingerprint


@pytest.mark.parametrize("word", ["", "ncnn"])
def test_samples_are_those_of_the_local_device(server: Sshd, weights: Path, word: str) -> None:
    runtime, checksums = RUNTIMES[word], []
    pytest.importorskip(runtime.module)
    far = ssh_device(HOST, runtime=runtime, config=server.config, python=sys.executable if word else "")
    for device in (far, Hosted(Local, python_runner(sys.executable), runtime=runtime)):
        samples = [s for s in device.measure(plan(weights)) if isinstance(s, Sample)]
        device.close()
        assert len(samples) == 4  # two probes, two passes
        checksums.append({s.probe: s.checksum for s in samples})
    assert checksums[0] == checksums[1]
    assert list(server.tmp.iterdir()) == []


@pytest.mark.parametrize(
    "chatter",
    ["", "printf '\\033]0;pi@board\\007'", "printf 'motd\\r\\n nas-begins, or not: '"],
)
def test_words_and_files_arrive_as_they_were_sent(server: Sshd, chatter: str) -> None:
    (server.home / ".bashrc").write_text(f"{chatter}\n")
    words = ["a b", "$(id)", "'", '"', "*", "ü", "!x", ""]
    with closing(Ssh(HOST, config=server.config)) as board:
        board.put({"small": b"\0\xff\n", "large": server.known_hosts})
        assert list(board.run(("printf", "%s\\n", *words), 10)) == words
        assert (Path(board.folder) / "small").read_bytes() == b"\0\xff\n"
        assert (Path(board.folder) / "large").read_text() == server.known_hosts.read_text()
        with pytest.raises(Fault, match="board: oops"):
            list(board.run(("sh", "-c", "echo oops >&2; exit 255"), 10))
        board.close()
    assert not Path(board.folder).exists()


def test_a_login_shell_that_never_stops_talking_is_told(server: Sshd) -> None:
    shell = server.folder / "shell"
    shell.write_text("#!/bin/sh\nexec yes chatter\n")
    shell.chmod(0o755)
    config = server.folder / "sshd_config"
    config.write_text(f"ForceCommand {shell}\n{config.read_text()}")
    server.stop()
    server.start()
    assert "its login shell prints 1,000 lines" in refusal(server)
    shell.write_text("#!/bin/sh\necho This account is not available.\n")
    assert "there is no POSIX shell to talk to, it answered 'This account is not available.'" in refusal(server)


def test_a_login_shell_that_asks_something_is_told(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_module, "CONNECT_S", 2.0)
    monkeypatch.setattr(stream_module, "SOON_S", 0.2)
    (server.home / ".bashrc").write_text("printf 'Keep this board tidy. Press a key: '; read key\n")
    told: list[str] = []
    with pytest.raises(Fault) as caught:
        Ssh(HOST, config=server.config, show=told.append)
    assert told == ["board: waiting until it lets us in, 2 s at most"]
    assert str(caught.value) == (
        "board: said nothing for 2 s, after 'Keep this board tidy. Press a key:'. "
        "Its login shell did not come to our command: does `ssh board true` end by itself?"
    )


def test_a_jump_host_is_gone_through(server: Sshd) -> None:
    server.config.write_text(f"Host inner\n  HostName 127.0.0.1\n  Port {server.port}\n" + server.config.read_text())
    server.config.write_text(f"Host inner\n  ProxyJump {HOST}\n" + server.config.read_text())
    with closing(Ssh("inner", config=server.config)) as board:
        assert list(board.run(("echo", "here"), 10)) == ["here"]
        assert len(server.sessions()) == 2


def test_an_address_with_user_and_port_is_taken(server: Sshd) -> None:
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    for place in (f"ssh://{user}@127.0.0.1:{server.port}", f"SSH://127.0.0.1:{server.port}/"):
        Ssh(place, config=server.config).close()
    (server.folder / "authorized_keys").write_text("")
    assert refusal(server, place) == (
        f"{place}: it takes none of your keys. Send yours: ssh-copy-id -p {server.port} 127.0.0.1"
    )


def test_an_unknown_host_key_is_not_accepted(server: Sshd) -> None:
    server.known_hosts.write_text("")
    assert "its host key is not known here. Connect once by hand, `ssh board`" in refusal(server)
    assert server.known_hosts.read_text() == ""


def test_a_changed_host_key_is_not_accepted(server: Sshd) -> None:
    server.trust(server.folder / "user.pub")
    before = server.known_hosts.read_text()
    assert "its host key is not the one that is known here" in refusal(server)
    assert server.known_hosts.read_text() == before


def test_a_key_that_is_not_taken_is_told(server: Sshd) -> None:
    (server.folder / "authorized_keys").write_text("")
    assert refusal(server) == "board: it takes none of your keys. Send yours: ssh-copy-id board"


def test_who_does_not_answer_is_told(server: Sshd) -> None:
    assert "no host of this name" in refusal(server, "no-such-board.invalid")
    server.stop()
    assert "nothing answers at its ssh port" in refusal(server)
    server.start()


def test_a_missing_ssh_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Fault, match="the program ssh is missing here: install it"):
        Ssh("board")


@pytest.mark.parametrize(
    "host",
    [
        *("", "-oProxyCommand=touch x", "-oBatchMode=no", "pi board", "pi@-board", "ssh://-l", "a\nb", "a\x1b[2J"),
        *("$(touch x)", "`id`", "a;id", "a|b", "a&b", "a'b", 'a"b', "a\\b", "a>b", "x" * 300),
    ],
)
def test_hosts_that_a_shell_or_ssh_could_misread_are_refused(host: str) -> None:
    with pytest.raises(Fault, match="an ssh host is") as caught:
        ssh_device(host).info  # noqa: B018
    assert str(caught.value).isprintable()


def test_a_board_that_hangs_is_left(server: Sshd) -> None:
    with closing(Ssh(HOST, config=server.config)) as board:
        with pytest.raises(Fault, match="board: said nothing for 1 s"):
            list(board.run(("sleep", "300"), 1))
        deadline = time.monotonic() + 20
        while inside(board.folder):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert list(board.run(("echo", "well"), 10)) == ["well"]


def test_a_lost_connection_costs_what_was_not_yet_measured(server: Sshd, weights: Path) -> None:
    device = ssh_device(HOST, config=server.config)
    samples: list[Sample] = []

    def measure() -> None:
        for sample in device.measure(plan(weights, passes=10_000, runs=100)):
            assert isinstance(sample, Sample)
            samples.append(sample)
            if len(samples) == 5:
                assert inside(device._transport.folder)  # type: ignore[union-attr]
                for pid in server.sessions():
                    os.kill(pid, signal.SIGKILL)

    with pytest.raises(Fault, match="board: the connection was lost"):
        measure()
    folder = device._transport.folder  # type: ignore[union-attr]
    assert len(samples) >= 5
    with pytest.raises(Fault, match="board: the connection was lost"):
        list(device.measure(plan(weights)))
    wait_until_gone(folder)
    device.close()
    assert len([s for s in device.measure(plan(weights)) if isinstance(s, Sample)]) == 4
    device.close()


def test_nothing_lingers_where_nas_is_killed(server: Sshd) -> None:
    code = (
        "import pathlib, sys; from nas.devices.ssh import Ssh; board = Ssh('board', config=pathlib.Path(sys.argv[1]))\n"
        "print(board._local, flush=True)\n"
        "for line in board.run(('sh', '-c', 'pwd; sleep 300; echo'), 300): print(line, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, server.config], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        local, folder = (process.stdout.readline().strip() for _ in range(2))
        assert len(inside(folder)) >= 2
        process.kill()
    shutil.rmtree(local)
    wait_until_gone(folder)
    deadline = time.monotonic() + 20
    while server.sessions():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nothing_is_left_behind_on_either_side(server: Sshd) -> None:
    board = Ssh(HOST, config=server.config)
    hanging = board.run(("sh", "-c", "echo on; sleep 300"), 300)
    assert next(hanging) == "on"
    board.close()
    board.close()
    wait_until_gone(board.folder)
    with pytest.raises(Fault):
        list(hanging)
    assert not board._local.exists()


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ("import struct; struct.calcsize = lambda f: 4; platform.machine = lambda: 'armv7l'", "32-bit one .armv7l."),
        ("import struct; struct.calcsize = lambda f: 4; platform.machine = lambda: 'aarch64'", "32-bit one .aarch64."),
        ("import sys; sys.version_info = (3, 7, 3)", "Python 3.8 or newer is needed, python3 there is 3.7"),
    ],
)
def test_systems_that_cannot_run_onnxruntime_are_refused(server: Sshd, patch: str, message: str) -> None:
    """No 32-bit board and no Python 3.7 were at hand: a real Python that says that it is one stands for them."""
    server.python(f'exec {sys.executable} -c "import platform; {patch}; import sys; exec(sys.argv[1])" "$2"')
    with closing(ssh_device(HOST, install=True, config=server.config)) as device, pytest.raises(Fault, match=message):
        _ = device.info


def test_a_missing_or_broken_python_is_told(server: Sshd) -> None:
    device = ssh_device(HOST, config=server.config)
    server.python("echo 'libpython3.so: cannot open shared object file' >&2; exit 127")
    with pytest.raises(Fault, match=r"python3 does not work there: libpython3\.so: cannot open"):
        _ = device.info
    for name in ("sh", "df", "awk", "mktemp", "cat", "rm", "tar", "mkdir"):  # all that is used there, and no python3
        (server.shims / name).symlink_to(str(shutil.which(name)))
    (server.shims / "python3").unlink()
    config = server.folder / "sshd_config"
    config.write_text(config.read_text().replace(":/usr/bin:/bin", ""))
    server.stop()
    server.start()
    with pytest.raises(Fault, match="python3 is missing there: sudo apt install python3"):
        _ = device.info


@pytest.mark.parametrize(("word", "folder"), [("", "python"), ("litert", "python-litert")])
def test_a_missing_runtime_is_told(server: Sshd, bare: str, word: str, folder: str) -> None:
    server.python(f'exec {bare} "$@"')
    package = RUNTIMES[word].package
    told = rf"numpy and {package} are needed.*No module named .numpy.*`--install` puts .*, ~/.cache/nas/{folder}\.$"
    with pytest.raises(Fault, match=told):
        _ = ssh_device(HOST, runtime=RUNTIMES[word], config=server.config).info
    assert not (server.home / ".cache").exists()


def test_the_interpreter_can_be_named(server: Sshd) -> None:
    """Where python3 is none that could do it; this one talks when it is asked."""
    server.python("exit 1")
    talk = f"[ $1 = -c ] && printf 'modules loaded, '; {sys.executable} \"$@\" || exit; [ $1 = -c ] && echo bye; exit 0"
    (server.home / "my python").write_text(f"#!/bin/sh\n{talk}\n")
    (server.home / "my python").chmod(0o755)
    with closing(ssh_device(HOST, config=server.config, python="~/my python")) as device:
        assert device.info.runtime == "ONNX Runtime"


def test_a_named_interpreter_is_the_only_one(server: Sshd, bare: str) -> None:
    with pytest.raises(Fault, match=r"board: /no/python is missing there: look at `--python` and devices\.yaml"):
        _ = ssh_device(HOST, config=server.config, python="/no/python").info
    with pytest.raises(Fault, match=rf"No module named .numpy.*Install them for {bare}\."):
        _ = ssh_device(HOST, config=server.config, python=bare).info


def test_a_python_without_venv_is_told(server: Sshd, bare: str) -> None:
    server.python(f'case "$*" in *ensurepip*) exit 1;; esac; exec {bare} "$@"')
    with pytest.raises(Fault, match="board: python3 there has no venv: sudo apt install python3-venv"):
        _ = ssh_device(HOST, install=True, config=server.config).info


@pytest.mark.slow
def test_install_puts_onnxruntime_into_a_private_folder(server: Sshd, bare: str, weights: Path) -> None:
    """By the real pip, from the index that this machine uses; found again later without being asked for."""
    server.python(f'exec {bare} "$@"')
    with closing(ssh_device(HOST, install=True, config=server.config)) as device:
        assert device.info.runtime == "ONNX Runtime"
        assert len([s for s in device.measure(plan(weights)) if isinstance(s, Sample)]) == 4
    assert (server.home / ".cache" / "nas" / "python" / "bin" / "python").exists()
    with closing(ssh_device(HOST, config=server.config)) as device:
        assert device.info.runtime == "ONNX Runtime"


@pytest.fixture
def tiny(server: Sshd) -> Iterator[Sshd]:
    """A board whose temporary folder is a disk of 66 MB."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=66m", "nas-test", server.tmp], capture_output=True)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    yield server
    server.stop()
    subprocess.run(["umount", "-l", server.tmp], check=True)
    server.start()


def test_a_disk_that_fills_is_told(tiny: Sshd) -> None:
    large = tiny.folder / "large"
    with large.open("wb") as file:
        file.truncate(80 << 20)
    with closing(Ssh(HOST, config=tiny.config)) as board:
        assert Path(board.folder).parent == tiny.tmp
        with pytest.raises(Fault, match=r"board: the disk is full, \d+ kB are free in "):
            board.put({"large": large})
    assert list(tiny.tmp.iterdir()) == []


def test_a_full_temporary_folder_gives_way_to_the_home_folder(tiny: Sshd) -> None:
    (tiny.tmp / "other").write_bytes(bytes(10 << 20))
    with closing(Ssh(HOST, config=tiny.config)) as board:
        assert Path(board.folder).parent == tiny.home / ".cache" / "nas"
        board.put({"small": b"1"})
    (tiny.home / ".cache" / "nas").rmdir()
    (tiny.home / ".cache" / "nas").symlink_to(tiny.tmp)
    assert "the disk is full: 64 MB are needed in" in refusal(tiny)

"""A real sshd on a loopback port, with keys, configuration and a home folder of its own, to stand for a board."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
HOST = "board"
"""Its alias in `Sshd.config`."""


class Sshd:
    """A running sshd and the client's configuration that leads to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.home = folder / "home"
        self.shims = folder / "bin"
        self.tmp = folder / "tmp"
        for path in (self.home, self.shims, self.tmp):
            path.mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin yes\nUsePAM no\n"
            f"SetEnv HOME={self.home} TMPDIR={self.tmp} PATH={self.shims}:/usr/bin:/bin\n"
        )
        self.known_hosts = folder / "known_hosts"
        self.trust(folder / "host.pub")
        self.config = folder / "ssh_config"
        self.config.write_text(
            f"Host {HOST}\n  HostName 127.0.0.1\n  Port {self.port}\n  ProxyJump none\n"
            f"Host *\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
            f"  IdentityAgent none\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile none\n"
        )
        self.python(f'exec {sys.executable} "$@"')

    def trust(self, public_key: Path) -> None:
        """Have known_hosts say that this is the key of our sshd."""
        kind, key, *_ = public_key.read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def python(self, script: str) -> None:
        """What `python3` is on the board: a line of shell."""
        path = self.shims / "python3"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def sessions(self) -> list[int]:
        """Ids of the processes that serve connections."""
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(word) for word in out.stdout.split()]

    def start(self) -> None:
        """Listen."""
        with (self.folder / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "sshd_config"], stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "sshd.log").read_text())

    def stop(self) -> None:
        """Listen no more, and drop who is connected."""
        sessions = self.sessions()
        self.process.kill()
        for pid in sessions:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()


@contextmanager
def running_sshd(folder: Path) -> Iterator[Sshd]:
    """An sshd in this empty folder; the test is skipped on machines that have none."""
    if SSHD is None:
        pytest.skip("sshd is not installed: apt install openssh-server")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd of Debian locks itself up; its service makes it
    server = Sshd(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

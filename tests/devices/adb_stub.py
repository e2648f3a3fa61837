"""A device for the real `adb` client: speaks adb's protocol on a loopback port and runs shell commands for real.

`/data/local/tmp` is a folder of this machine; `uname` and `getprop` answer for a phone. It can be told to fail.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

PHONE_FOLDER = b"/data/local/tmp"
VERSION, MAX_DATA = 0x01000000, 256 << 10
STDOUT, STDERR, EXIT = 1, 2, 3  # of the shell protocol; 0 is stdin, 4 closes it
PROGRAMS = {
    "uname": 'case "$1" in -m) echo "${STUB_MACHINE}";; *) echo Linux;; esac',
    "getprop": 'case "$1" in ro.product.model) echo "Stub Phone";; ro.soc.model) echo SM0000;; '
    "ro.build.version.release) echo 13;; esac",
}


class Stub:
    """One device on its own port; `serial` is what `adb connect` takes. Attributes may be changed at any time."""

    def __init__(self, folder: Path) -> None:
        self.tmp = folder / "tmp"
        self.tmp.mkdir(parents=True)
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name, text in PROGRAMS.items():
            self.program(name, text)
        self.machine = "aarch64"
        self.trusted = True
        """False: never accepts this computer's key."""
        self.full = False
        """True: no file can be written any more."""
        self.banner = b""
        """What its shell prints before any command, without being asked."""
        self.lines_left: int | None = None
        """After so many lines of shell output it vanishes, or is silent where `hangs`."""
        self.hangs = False
        self.written: list[str] = []
        """Names of the files that were sent."""
        self.listener = free_listener()
        self.serial = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.gone = threading.Event()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def program(self, name: str, text: str) -> None:
        """Have a program there, as a shell script."""
        (self.programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.programs / name).chmod(0o755)

    def vanish(self) -> None:
        """Unplug it."""
        self.gone.set()
        for place in (self.listener, *self._open):
            with suppress(OSError):
                place.shutdown(socket.SHUT_RDWR)
            place.close()

    def close(self) -> None:
        """Unplug it and wait for all that it does."""
        self.vanish()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self.gone.is_set():
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self._open.append(link)
            connection = _Connection(self, link)
            self._threads.append(threading.Thread(target=connection.serve))
            self._threads[-1].start()

    def may_say(self) -> bool:
        """Whether one more line of output leaves the device."""
        if self.lines_left is not None:
            if self.lines_left == 0:
                if not self.hangs:
                    self.vanish()
                return False
            self.lines_left -= 1
        return True


def free_listener() -> socket.socket:
    """A port outside 5555 to 5585, where adb looks for emulators by itself."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        if not 5555 <= listener.getsockname()[1] <= 5585:
            return listener
        listener.close()


class _Connection:
    """Packets of one connection: a header of six words, then data."""

    def __init__(self, stub: Stub, link: socket.socket) -> None:
        self.stub, self.link = stub, link
        self.lock = threading.Lock()
        self.streams: dict[int, _Stream] = {}

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        word = int.from_bytes(command, "little")
        header = struct.pack("<6I", word, first, second, len(data), sum(data), word ^ 0xFFFFFFFF)
        with self.lock, suppress(OSError):
            self.link.sendall(header + data)

    def serve(self) -> None:
        threads: list[threading.Thread] = []
        with suppress(OSError, EOFError):
            while True:
                command, first, second, size, _, _ = struct.unpack("<6I", _exactly(self.link, 24))
                self._take(command.to_bytes(4, "little"), first, second, _exactly(self.link, size), threads)
        for stream in self.streams.values():
            stream.inbox.put(None)
            stream.room.set()
        for thread in threads:
            thread.join(20)
        self.link.close()

    def _take(self, command: bytes, first: int, second: int, data: bytes, threads: list[threading.Thread]) -> None:
        if command == b"CNXN" and not self.stub.trusted:
            self.send(b"AUTH", 1, 0, os.urandom(20))
        elif command == b"CNXN":
            banner = (
                b"device::ro.product.name=stub;ro.product.model=Stub Phone;ro.product.device=stub;features=shell_v2,cmd"
            )
            self.send(b"CNXN", VERSION, MAX_DATA, banner)
        elif command == b"AUTH" and first == 2:  # a signature, by a key that is not known
            self.send(b"AUTH", 1, 0, os.urandom(20))
        elif command == b"OPEN":
            stream = self.streams[len(self.streams) + 1] = _Stream(self, len(self.streams) + 1, first)
            threads.append(threading.Thread(target=stream.serve, args=(data.rstrip(b"\0"),)))
            threads[-1].start()
        elif second in self.streams:
            stream = self.streams[second]
            if command == b"WRTE":
                stream.inbox.put(data)
                self.send(b"OKAY", second, first)
            elif command == b"OKAY":
                stream.room.set()
            elif command == b"CLSE":
                stream.closed = True
                stream.inbox.put(None)
                stream.room.set()


class _Stream:
    """One opened service: what it writes waits for the client's OKAY."""

    def __init__(self, connection: _Connection, own: int, other: int) -> None:
        self.connection, self.own, self.other = connection, own, other
        self.inbox: queue.Queue[bytes | None] = queue.Queue()
        self.room = threading.Event()
        self.closed = False
        self.pending = b""

    def serve(self, service: bytes) -> None:
        name, _, command = service.partition(b":")
        if name.startswith(b"shell"):
            self.connection.send(b"OKAY", self.own, self.other)
            self._shell(command)
        elif name == b"sync":
            self.connection.send(b"OKAY", self.own, self.other)
            with suppress(EOFError):
                self._sync()
        self.connection.send(b"CLSE", self.own if name.startswith((b"shell", b"sync")) else 0, self.other)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA):
            if self.closed:
                return
            self.room.clear()
            self.connection.send(b"WRTE", self.own, self.other, data[start : start + MAX_DATA])
            self.room.wait(20)

    def read(self, size: int) -> bytes:
        while len(self.pending) < size:
            data = self.inbox.get(timeout=60)
            if data is None:
                raise EOFError
            self.pending += data
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def _shell(self, command: bytes) -> None:
        """Run a command; lines go out as packets of the shell protocol, then its exit code."""
        stub = self.connection.stub
        process = subprocess.Popen(
            ["sh", "-c", command.replace(PHONE_FOLDER, os.fsencode(stub.tmp))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": f"{stub.programs}:/usr/bin:/bin", "STUB_MACHINE": stub.machine},
            start_new_session=True,
        )
        assert process.stdout
        assert process.stderr
        if stub.banner:
            self.write(_packet(STDOUT, stub.banner))
        ended = threading.Event()
        killer = threading.Thread(target=self._hang_up, args=(process, ended))
        killer.start()
        for line in process.stdout:
            if not stub.may_say():
                self.connection.stub.gone.wait(20)  # where it hangs
                break
            self.write(_packet(STDOUT, line.replace(os.fsencode(stub.tmp), PHONE_FOLDER)))
        else:
            for line in process.stderr:
                self.write(_packet(STDERR, line))
            self.write(_packet(EXIT, bytes([process.wait() & 0xFF])))
        ended.set()
        killer.join()
        process.stdout.close()
        process.stderr.close()
        process.wait()

    def _hang_up(self, process: subprocess.Popen[bytes], ended: threading.Event) -> None:
        """A command ends with its connection, as on a device."""
        while not ended.wait(0.05) and not self.closed and not self.connection.stub.gone.is_set():
            pass
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def _sync(self) -> None:
        """File transfer: STAT and SEND, as many as the client likes, then QUIT."""
        stub = self.connection.stub
        while True:
            word, size = struct.unpack("<4sI", self.read(8))
            if word == b"QUIT":
                return
            path = self.read(size).replace(PHONE_FOLDER, os.fsencode(stub.tmp))
            if word == b"STAT":
                try:
                    status = os.stat(path)
                    self.write(struct.pack("<4s3I", b"STAT", status.st_mode, status.st_size, int(status.st_mtime)))
                except OSError:
                    self.write(struct.pack("<4s3I", b"STAT", 0, 0, 0))
            elif word == b"SEND":
                self._receive(path)

    def _receive(self, path: bytes) -> None:
        name, _, mode = path.rpartition(b",")
        content = []
        while True:
            word, size = struct.unpack("<4sI", self.read(8))
            if word == b"DONE":
                break
            content.append(self.read(size))
        if self.connection.stub.full:
            message = b"couldn't write file: No space left on device"
            self.write(struct.pack("<4sI", b"FAIL", len(message)) + message)
            return
        target = Path(os.fsdecode(name))
        target.write_bytes(b"".join(content))
        target.chmod(int(mode) & 0o777)
        self.connection.stub.written.append(target.name)
        self.write(struct.pack("<4sI", b"OKAY", 0))


def _packet(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = link.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data

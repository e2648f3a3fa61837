"""What a faulty device does: runs the real worker or runner, passes its lines on, and at one of them does wrong.

    python3 faulty.py FOLDER COMMAND ...

FOLDER is the test's: `injection.json` says what shall go wrong; `made` logs the samples of the command, `passed` those
that were passed on as they were, `spoiled` those that were not, `fired` the moments, by the clock that all processes of
a machine share. A fault that is not to be repeated fires once, whatever job follows. Needs the standard library only,
since it is put on devices; the page of `test_faults` spoils its posts by the same rules.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

Document = dict[str, Any]


def _time(value: float) -> Callable[[Document, Random], None]:
    def change(sample: Document, rng: Random) -> None:
        sample["ns"][rng.randrange(len(sample["ns"]))] = value

    return change


def _checksum(sample: Document, rng: Random) -> None:
    sample["checksum"] *= rng.choice((0.5, 1.02, 100))


def _stranger(sample: Document, rng: Random) -> None:
    sample["probe"] = f"{rng.getrandbits(96):024x}"


WRONG: Mapping[str, Callable[[Document, Random], None]] = {
    "nan": _time(float("nan")),
    "negative time": _time(-1),
    "zero time": _time(0),
    "huge time": _time(10**400),  # JSON's numbers have no end, unlike those of a processor
    "unknown probe": _stranger,
    "wrong checksum": _checksum,
}
"""What a sample can say that is not so."""
KINDS = ("disconnect", "hang", "truncated", "garbage", "full disk", "error", "lost line", "drip", "clock back", *WRONG)
MOMENTS = ("first", "middle", "last")


@dataclass(frozen=True)
class Injection:
    """One fault."""

    kind: str
    line: int
    """The sample of a job that it happens at, from 0."""
    seed: int
    repeats: bool = False
    """It happens in every job."""
    probe: str = ""
    """It happens at each sample of this probe instead."""
    link: str = ""
    """What a connection is here: `ssh`, `adb`, or none, where the program itself ends or stands still."""
    disk: str = ""
    """The folder of a small disk to fill, or a file whose being there says that it is full."""
    samples: str = ""
    """Where what nas has received is counted: the file of its samples."""


class Injector:
    """Decides when an injection happens, and keeps the logs. One for each job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.injection = Injection(**json.loads((folder / "injection.json").read_text()))
        self.rng = Random(self.injection.seed)
        self.fired = False
        """In this job."""
        self._line = 0

    def due(self, sample: Document) -> bool:
        """Whether it happens at this sample of the device, the next one."""
        line, self._line = self._line, self._line + 1
        it = self.injection
        self.log("made", sample)
        if (self.fired and it.kind != "lost line") or (self.count("fired") and not it.repeats):
            due = False
        elif it.probe:
            due = sample["probe"] == it.probe
        else:
            due = line >= it.line
        if due and it.kind == "wrong checksum":  # known to be wrong where the right one is known
            due = f'"{sample["probe"]}"' in self.read("passed")
        if due:
            self.log("spoiled", sample)
            if not self.fired:
                self.log("fired", time.monotonic())
            self.fired = True
        return due

    def passed(self, sample: Document) -> None:
        """Note that a sample was sent as it is, unless nobody may listen any more."""
        if not self.fired or self.injection.kind == "lost line":
            self.log("passed", sample)

    def spoiled(self, sample: Document) -> bytes:
        """What is said instead of a sample, where something is."""
        it, rng = self.injection, self.rng
        line = json.dumps(sample).encode()
        if it.kind == "truncated":
            return line[: rng.randrange(1, len(line))]
        if it.kind == "garbage":
            return bytes(rng.choice([byte for byte in range(256) if byte != 10]) for _ in range(rng.randrange(20, 300)))
        if it.kind == "error":
            return json.dumps({"error": "out of memory \ud800\x1b[2J\nnext line"}).encode()
        if it.kind == "clock back":
            sample["at_s"] *= 0.5 if self._line > 1 else -1
        else:
            WRONG[it.kind](sample, rng)
        return json.dumps(sample).encode()

    def await_receipt(self) -> None:
        """Wait until nas has kept all that was passed on: a dead connection takes with it what is under way."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if Path(self.injection.samples).read_bytes().count(b"\n") >= self.count("passed"):
                return
            time.sleep(0.005)

    def log(self, name: str, what: object) -> None:
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(what) + "\n")

    def read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def count(self, name: str) -> int:
        return self.read(name).count("\n")


def write(injection: Injection, folder: Path) -> None:
    """Have this happen from now on, and forget what was."""
    for name in ("made", "passed", "spoiled", "fired", "stopped", "unplug", "freeze"):
        (folder / name).unlink(missing_ok=True)
    (folder / "injection.json").write_text(json.dumps(asdict(injection)))


def fill(disk: Path) -> None:
    """Leave no byte on a disk; where it is a flag, hoist it."""
    if not disk.is_dir():
        disk.touch()
        return
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


def main(folder: str, *command: str) -> int:
    """Run a command; see above."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    injector = Injector(Path(folder)) if command[-2] == "run" else None
    for line in process.stdout:
        sample = json.loads(line)
        if injector is None or "probe" not in sample:
            _say(line)
        elif not injector.due(sample):
            _say(line)
            injector.passed(sample)
        elif injector.injection.kind != "lost line":
            _do_wrong(injector, line, process)
    return process.wait()


def _do_wrong(injector: Injector, line: bytes, process: subprocess.Popen[bytes]) -> None:
    it, rng = injector.injection, injector.rng
    if it.kind == "disconnect":
        _lose(injector, line, process, signal.SIGKILL)
    elif it.kind == "hang":
        _lose(injector, line, process, signal.SIGSTOP)
    elif it.kind == "full disk":
        process.kill()
        fill(Path(it.disk))
        try:
            if not Path(it.disk).is_dir():
                raise OSError("No space left on device")
            Path("result").write_bytes(bytes(1 << 20))
        except OSError as problem:  # as the worker tells one
            _say(json.dumps({"error": f"OSError: {problem}"}).encode() + b"\n")
            sys.exit(1)
    elif it.kind == "drip":
        process.kill()
        while True:
            _say(b"x")
            time.sleep(0.2)
    elif it.kind == "truncated":
        process.kill()
        _say(injector.spoiled(json.loads(line)))
        sys.exit(rng.choice((0, 1)))
    else:
        _say(injector.spoiled(json.loads(line)) + b"\n")


def _lose(injector: Injector, line: bytes, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End or stop the connection, or what is at its end."""
    it = injector.injection
    at_the_end = not it.link or injector.rng.random() < 0.3
    if at_the_end:
        process.send_signal(how)
        if how == signal.SIGKILL:
            os.kill(os.getpid(), how)
    elif it.link == "ssh":
        injector.await_receipt()
        served_by = _ancestor("sshd")
        injector.log("stopped", served_by)
        os.kill(served_by, how)
    else:
        injector.await_receipt()
        (injector.folder / ("unplug" if how == signal.SIGKILL else "freeze")).touch()
        _say(line)  # at which the stub looks
    time.sleep(60)


def _ancestor(name: str) -> int:
    pid = os.getpid()
    while pid > 1:
        stat = Path(f"/proc/{pid}/stat").read_text()
        if stat[stat.index("(") + 1 : stat.rindex(")")].startswith(name):
            return pid
        pid = int(stat[stat.rindex(")") + 1 :].split()[1])
    raise SystemExit(f"{name} is not what serves this")


def _say(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

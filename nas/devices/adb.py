"""Phones and boards with Android, by the plain `adb` program."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.devices.device import Fault
from nas.devices.hosted import SILENCE_S, Hosted
from nas.devices.runner.build import android_runner, cached_runner
from nas.devices.stream import stream

ANSWER_S = 20.0
"""Longest that adb may take for a short command; it starts its own server first."""
SLOWEST = 1 << 20
"""Bytes in a second of the slowest cable that is waited for."""
_FOLDER = re.compile(r"/data/local/tmp/nas-[0-9A-Za-z]{8}")
_ENDED = "nas: ended"
_NEXT_STEP = {
    "unauthorized": "it does not trust this computer yet; unlock it and confirm the dialog on its screen",
    "authorizing": "it is still deciding whether to trust this computer; confirm the dialog on its screen",
    "offline": "it does not answer; unplug it, plug it in again, and unlock it",
    "no permissions": "this user may not open it; install its udev rules "
    "(`apt install android-sdk-platform-tools-common`) and plug it in again",
}


@dataclass(frozen=True)
class Attached:
    """A device that adb lists."""

    serial: str
    state: str
    """adb's word: `device` where it is usable, else `unauthorized`, `offline`, `no permissions`, …"""
    model: str = ""

    @property
    def why(self) -> str:
        """Why it is not usable and the next step; empty where it is usable."""
        if self.state == "device":
            return ""
        return _NEXT_STEP.get(self.state, f"it is in the state `{self.state}`; start Android on it")


def adb_devices() -> list[Attached]:
    """Devices that adb lists, usable or not. Raises `Fault`, where adb is not installed for one."""
    found = []
    for line in _adb("devices", "-l"):
        serial, _, rest = line.partition(" ")
        words = rest.split()
        if not words or line.startswith(("*", "List of")):
            continue
        state = "no permissions" if words[:2] == ["no", "permissions"] else words[0]
        model = next((word.removeprefix("model:") for word in words if word.startswith("model:")), "")
        found.append(Attached(serial, state, model.replace("_", " ")))
    return found


def adb_device(serial: str, *, threads: int = 1, silence_s: float = SILENCE_S) -> Hosted:
    """The device of this serial; the first call builds the runner for it. Raises `Fault`."""
    _check_usable(serial)
    return Hosted(lambda: Adb(serial), android_runner(cached_runner()), threads=threads, silence_s=silence_s)


class Adb:
    """A device with Android on 64-bit Arm, in a folder of its own under `/data/local/tmp`."""

    def __init__(self, serial: str) -> None:
        """Make the folder. Raises `Fault`."""
        _check_usable(serial)
        self.serial = serial
        self._folder: str | None = None
        machine, folder, *_ = [*self._shell("uname -m && mktemp -d /data/local/tmp/nas-XXXXXXXX"), "", ""]
        if _FOLDER.fullmatch(folder):
            self._folder = folder
        if machine not in ("aarch64", "arm64"):
            self.close()
            raise Fault(f"{serial}: a phone is measured where it has 64-bit Arm Linux (aarch64), this is {machine!r}.")
        if self._folder is None:
            raise Fault(f"{serial}: no folder could be made in /data/local/tmp, got {folder[:60]!r}.")

    def put(self, files: Mapping[str, bytes | Path]) -> None:
        with tempfile.TemporaryDirectory(prefix="nas-adb-") as place:
            staged = [Path(place) / name for name in files]
            try:
                for path, content in zip(staged, files.values(), strict=True):
                    if isinstance(content, Path):
                        path.symlink_to(content.absolute())
                    else:
                        path.write_bytes(content)
                patience = ANSWER_S + sum(path.stat().st_size for path in staged) / SLOWEST
            except OSError as problem:
                raise Fault(f"{problem.filename or place}: {problem.strerror}.") from None
            self._adb("push", *map(str, staged), f"{self._place()}/", silence_s=patience)

    def run(self, argv: Sequence[str], silence_s: float) -> Iterator[str]:
        ended = False
        words = ("shell", f"cd {self._place()} && {shlex.join(argv)} && echo {shlex.quote(_ENDED)}")
        try:
            for line in _adb("-s", self.serial, *words, silence_s=silence_s):
                ended = line.endswith(_ENDED)
                rest = line.removesuffix(_ENDED)
                if rest or not ended:
                    yield rest
            if not ended:  # adb ends with 0 when its device goes away
                raise Fault("the connection ended in the middle of a command.")
        except Fault as fault:
            raise self._told(fault) from None

    def close(self) -> None:
        if self._folder is not None:
            with suppress(Fault):
                self._shell(f"rm -rf {self._folder}")
        self._folder = None

    def _place(self) -> str:
        if self._folder is None:
            raise Fault(f"{self.serial}: its folder is closed.")
        return self._folder

    def _shell(self, command: str) -> list[str]:
        return self._adb("shell", command)

    def _adb(self, *words: str, silence_s: float = ANSWER_S) -> list[str]:
        lines: list[str] = []
        try:
            for line in _adb("-s", self.serial, *words, silence_s=silence_s):
                lines.append(line)
        except Fault as fault:
            errors = [line for line in lines if line.startswith("adb: error: ")]  # `push` says them on stdout
            raise self._told(Fault(errors[0][:300]) if errors else fault) from None
        return lines

    def _told(self, fault: Fault) -> Fault:
        """What went wrong with the next step: of a device that is no longer usable, that."""
        if "No space left" in str(fault):
            return Fault(f"{self.serial}: its storage is full; free some of /data. ({fault})")
        try:
            _check_usable(self.serial)
        except Fault as reason:
            return Fault(f"{fault} {reason}")
        return Fault(f"{self.serial}: {fault}")


def _check_usable(serial: str) -> None:
    """Raise `Fault` with the next step unless adb has this device ready."""
    if not re.fullmatch(r"[!-,.-~][!-~]{0,199}", serial):
        raise Fault(f"a serial is printable, without spaces and does not start with `-`, got {serial[:60]!r}.")
    devices = adb_devices()
    for device in devices:
        if device.serial == serial:
            if device.why:
                raise Fault(f"{serial}: {device.why}.")
            return
    others = ", ".join(device.serial for device in devices) or "none"
    raise Fault(
        f"adb has no device {serial} (it has: {others}); plug it in with USB debugging on, see docs/android.md."
    )


def _adb(*words: str, silence_s: float = ANSWER_S) -> Iterator[str]:
    if shutil.which("adb") is None:
        raise Fault("adb is not installed: `apt install adb`, or the Android SDK's platform-tools in PATH.")
    for line in stream(("adb", *words), silence_s):
        yield line.rstrip("\r")

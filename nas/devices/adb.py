"""Phones and boards with Android, by the plain `adb` program."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nas.devices.device import Fault
from nas.devices.hosted import Hosted
from nas.devices.runner.build import android_runner, cache_folder, cached_runner
from nas.devices.stream import stream

ANSWER_S = 20.0
"""Longest that adb may take for a short command; it starts its own server first."""
SLOWEST = 1 << 20
"""Bytes in a second of the slowest cable that is waited for."""
_FOLDER = re.compile(r"/data/local/tmp/nas-[0-9A-Za-z]{8}")
_BEGINS = "nas: begins"
"""Printed first, without a line's end: what comes before it, in the same line too, is chatter of adb or the shell."""
_ENDED = "nas: ended"
_NEXT_STEP = {
    "unauthorized": "it does not trust this computer yet; unlock it and confirm the dialog on its screen",
    "authorizing": "it is still deciding whether to trust this computer; confirm the dialog on its screen",
    "connecting": "adb is still connecting to it; wait some seconds and look again",
    "offline": "it does not answer; unplug it, plug it in again, and unlock it",
    "detached": "another program holds it; `adb attach` gives it back to adb",
    "no permissions": "this user may not open it; install its udev rules "
    "(`apt install android-sdk-platform-tools-common`) and plug it in again",
}
_STATES = (*_NEXT_STEP, "device", "recovery", "rescue", "sideload", "bootloader", "host", "unknown")
"""What adb's `ConnectionState` is printed as."""
_NAMELESS = "(no serial number)"
_LISTED = re.compile(
    rf"(?P<serial>\S(?:.*?\S)??)(?P<gap>\s+)(?P<state>{'|'.join(_STATES)})(?P<reason>(?<=no permissions)\b.*?)?"
    r"(?P<facts>(?:\s+\S+:.*)?)"
)
"""A line of `adb devices -l`: the serial in 22 columns, the state, and `usb:1-2 product:x model:x device:x
transport_id:1`, of which older versions and phones over Wi-Fi leave some out; short listings have a tab. The reason
behind `no permissions` ends with a web address in brackets."""
_SPACED = re.compile(r"\._adb[\w-]*\._tcp\.?$")
"""The end of a serial that may hold spaces: names of mDNS, which get a number like ` (2)` where there are several."""
_CONTROL = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)|\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])|[\x00-\x08\x0e-\x1f\x7f]")
"""Escape sequences, such as colours and a window's title."""


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
        if self.serial == _NAMELESS:
            return "it has no serial number to ask for it by"
        if self.state == "device":
            return ""
        return _NEXT_STEP.get(self.state, f"it is in the state `{self.state}`; start Android on it")

    @classmethod
    def read(cls, line: str) -> Attached | None:
        """A line of `adb devices -l`; None where it is none, such as a notice among them."""
        match = _LISTED.fullmatch(_CONTROL.sub("", line).strip())
        if match is None or match["serial"].startswith("*") or match["serial"].endswith(":"):
            return None
        serial = match["serial"]
        facts = dict(word.split(":", 1) for word in match["facts"].split() if ":" in word)
        sure = match["gap"] != " " or facts.keys() & {"usb", "product", "model", "device", "transport_id"}
        if len(serial.split()) > 1 and not (sure or serial == _NAMELESS or _SPACED.search(serial)):
            return None
        if serial == _NAMELESS and "usb" in facts:
            serial = f"usb:{facts['usb']}"  # which adb takes as well
        return cls(serial, match["state"], facts.get("model", "").replace("_", " "))


def adb_devices(show: Callable[[str], None] = lambda line: None) -> list[Attached]:
    """Devices that adb lists, usable or not. `show` gets a line where adb is waited for.

    Raises `Fault`, where adb is not installed for one.
    """
    waits = f"adb: waiting for its list of devices, {ANSWER_S:.0f} s at most"
    try:
        found = [Attached.read(line) for line in _adb("devices", "-l", waits=lambda: show(waits))]
    except Fault as fault:
        hangs = " Its server hangs: `adb kill-server`, then again." if "said nothing" in str(fault) else ""
        raise Fault(f"{fault}{hangs}") from None
    return [device for device in found if device is not None]


def adb_device(serial: str, *, threads: int = 1, show: Callable[[str], None] = lambda line: None) -> Hosted:
    """The device of this serial; the first call builds the runner for it. `show` is for `Adb`. Raises `Fault`."""
    _check_usable(serial, show)
    if not cache_folder().is_dir():
        show(f"{serial}: the runner for Android is built first, once; it downloads 30 MB and compiles for a minute")
    return Hosted(lambda: Adb(serial, show), android_runner(cached_runner()), threads=threads)


class Adb:
    """A device with Android on 64-bit Arm, in a folder of its own under `/data/local/tmp`."""

    def __init__(self, serial: str, show: Callable[[str], None] = lambda line: None) -> None:
        """Make the folder. `show` gets a line where something is waited for. Raises `Fault`."""
        _check_usable(serial, show)
        self.serial = serial
        self._show, self._shown = show, set[str]()
        self._folder: str | None = None
        begin = "uname -m && mktemp -d /data/local/tmp/nas-XXXXXXXX"
        machine, folder, *_ = [*self._shell(begin, ANSWER_S, "it answers"), "", ""]
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
            push = ("push", *map(str, staged), f"{self._place()}/")
            lines: list[str] = []
            try:
                lines.extend(self._adb(push, patience, "files are there"))
            except Fault as fault:
                errors = [line for line in lines if line.startswith("adb: error: ")]  # it says them on stdout
                raise self._told(Fault(errors[0][:300]) if errors else fault) from None

    def run(self, argv: Sequence[str], silence_s: float) -> Iterator[str]:
        return self._shell(f"cd {self._place()} && {shlex.join(argv)}", silence_s, "the program there says something")

    def close(self) -> None:
        if self._folder is not None:
            with suppress(Fault):
                list(self._shell(f"rm -rf {self._folder}", ANSWER_S, "its folder is removed"))
        self._folder = None

    def _place(self) -> str:
        if self._folder is None:
            raise Fault(f"{self.serial}: its folder is closed.")
        return self._folder

    def _shell(self, command: str, silence_s: float, until: str) -> Iterator[str]:
        """Lines that a command prints there. Raises `Fault` where it fails, or does not come to its end."""
        begun = ended = False
        words = ("shell", f"echo -n {shlex.quote(_BEGINS)}; {command} && echo {shlex.quote(_ENDED)}")
        try:
            for line in self._adb(words, silence_s, until):
                if not begun:
                    _, begins, line = line.partition(_BEGINS)
                    begun = bool(begins)
                if begun:
                    ended = line.endswith(_ENDED)
                    rest = line.removesuffix(_ENDED)
                    if rest or not ended:
                        yield rest
            if not ended:  # adb ends with 0 when its device goes away
                raise Fault("the connection ended in the middle of a command.")
        except Fault as fault:
            raise self._told(fault) from None

    def _adb(self, words: Sequence[str], silence_s: float, until: str) -> Iterator[str]:
        """Lines that adb prints. Where it is silent, the user is told once that we wait `until` something."""

        def waits() -> None:
            if until not in self._shown:
                self._shown.add(until)
                self._show(f"{self.serial}: waiting until {until}, {silence_s:.0f} s at most")

        return _adb("-s", self.serial, *words, silence_s=silence_s, waits=waits)

    def _told(self, fault: Fault) -> Fault:
        """What went wrong with the next step: of a device that is no longer usable, that."""
        if "No space left" in str(fault):
            return Fault(f"{self.serial}: its storage is full; free some of /data. ({fault})")
        try:
            _check_usable(self.serial, self._show)
        except Fault as reason:
            return Fault(f"{fault} {reason}")
        return Fault(f"{self.serial}: {fault}")


def _check_usable(serial: str, show: Callable[[str], None]) -> None:
    """Raise `Fault` with the next step unless adb has this device ready."""
    if not re.fullmatch(r"[!-,.-~](?:[ -~]{0,198}[!-~])?", serial):
        raise Fault(f"a serial is printable and does not start with `-`, got {serial[:60]!r}.")
    devices = adb_devices(show)
    for device in devices:
        if device.serial == serial:
            if device.why:
                raise Fault(f"{serial}: {device.why}.")
            return
    others = ", ".join(device.serial for device in devices) or "none"
    raise Fault(
        f"adb has no device {serial} (it has: {others}); plug it in with USB debugging on, see docs/android.md."
    )


def _adb(*words: str, silence_s: float = ANSWER_S, waits: Callable[[], None] = lambda: None) -> Iterator[str]:
    if shutil.which("adb") is None:
        raise Fault("adb is not installed: `apt install adb`, or the Android SDK's platform-tools in PATH.")
    yield from stream(("adb", *words), silence_s, waits=waits)

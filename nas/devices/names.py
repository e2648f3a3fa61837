"""Names of devices: what `--target` names besides tables.

cpu, cpu:4t            this machine, ONNX Runtime, 1 or 4 threads     ssh:HOST       a board (docs/ssh.md)
cuda, coreml, …        another execution provider here                adb:SERIAL     a phone (docs/android.md)
cpu:ncnn, cpu:ncnn:4t  another runtime here; ssh:HOST:ncnn there      browser        any browser (docs/browser.md)
fake                   computed times, for tutorials

A device may have a name in `devices.yaml` in the user's config folder: `pi: ssh:pi@board`, or with the interpreter of
a board `pi: {device: ssh:pi@board, python: ~/venv/bin/python}`. Tables and devices win over folders of the same name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from nas.devices.runtimes import RUNTIMES
from nas.devices.ssh_address import Address, meant
from nas.errors import NasError
from nas.system.places import table_names
from nas.system.text import short
from nas.system.user_folders import NoHome, config_folder

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
"""Devices of this machine, by the ONNX Runtime provider that runs them."""
DEVICES = {
    **dict.fromkeys(PROVIDERS, "nas.devices.find:local"),
    "ssh": "nas.devices.find:ssh",
    "adb": "nas.devices.find:adb",
    "browser": "nas.devices.find:browser",
    "fake": "nas.devices.find:fake",
}
"""The one place where kinds of devices are registered: what makes one, a function of a `DeviceName` and
`nas.devices.find.Ways`, read when it is used."""
DEVICE_KINDS = tuple(DEVICES)
EIGHT_BIT_KINDS = ("cpu", "ssh", "fake")
"""Kinds that take models in 8 bits."""
_WORD = re.compile(r"(?P<kind>[a-z]+)(?::(?P<rest>[!-~]{0,180}))?")
_ADB = re.compile(r"(?P<kind>adb):(?P<rest>[!-~](?:[ -~]{0,178}[!-~])?)")
"""adb's names of phones over Wi-Fi may hold spaces: `adb-XXXX (2)._adb-tls-connect._tcp`."""
_THREADS = re.compile(r"(?:(?P<place>.+):)?(?P<threads>[1-9][0-9]{0,3})t")


@dataclass(frozen=True)
class DeviceName:
    """A device as a target names it."""

    text: str
    """As it was written: `cpu:4t`, or a name in devices.yaml."""
    kind: str
    """One of `DEVICE_KINDS`."""
    place: str
    """Host, serial number, `webgpu`; empty where the kind says it all."""
    threads: int
    python: str = ""
    """ssh: the interpreter there; empty where it is to be found."""
    runtime: str = ""
    """cpu and ssh: a word of `nas.devices.runtimes.RUNTIMES`, empty for ONNX Runtime."""


def device_name(target: str) -> DeviceName | None:
    """The device that a target names, or None where it names a table. Raises `NasError` for a device that cannot be."""
    if target in table_names():
        return None
    named = {} if "/" in target else named_devices()
    return named[target] if target in named else _parse(target)


def check_python(word: Any) -> str:
    """An interpreter on a board, as it was written: a name, or a path from the root or (`~/`) the home folder there.

    Raises `NasError` where it is none.
    """
    if not (isinstance(word, str) and re.fullmatch(r"(?!-)[\w.+-]{1,100}|~?/[ -~]{1,200}", word, re.ASCII)):
        raise NasError(
            f"An interpreter is a name there, such as python3.11, or a path from / or ~/, got {short(word)}."
        )
    return word


def _parse(text: str) -> DeviceName | None:
    match = _WORD.fullmatch(text) or _ADB.fullmatch(text)
    if match is None or match["kind"] not in DEVICE_KINDS:
        return None
    kind, rest = match["kind"], match["rest"] or ""
    counted = _THREADS.fullmatch(rest)
    place, threads = (counted["place"] or "", int(counted["threads"])) if counted else (rest, 1)
    before, _, word = place.rpartition(":")
    runtime = word if word and word in RUNTIMES and kind == ("ssh" if ":" in place else "cpu") else ""
    if runtime:
        place = before
    if kind == "ssh" and Address.read(place) is None:
        ending = (f":{runtime}" if runtime else "") + (f":{threads}t" if counted else "")
        words = ", ".join(word for word in RUNTIMES if word)
        general = f"ssh:pi@board, with a port ssh:ssh://pi@board:2222, or ssh:pi@board:RUNTIME ({words})"
        form = f"ssh:{right}{ending}" if (right := meant(place)) else general
        raise NasError(f"A ssh device is written {form}; got {text!r}.")
    if kind == "adb" and (not place or place.startswith("-") or place.endswith(" ")):
        raise NasError(f"A adb device is written adb:SERIAL, with a serial of `adb devices`, got {text!r}.")
    plain = kind not in ("ssh", "adb") and (place or text.endswith(":"))
    if plain and not (kind == "browser" and place in ("wasm", "webgpu")):
        words = ", ".join(f"cpu:{word}" for word in RUNTIMES if word)
        other = f"; of other runtimes there are {words}, each with :4t too" if kind == "cpu" else ""
        raise NasError(f"A {kind} device is written {kind} or {kind}:4t for four threads{other}, got {text!r}.")
    return DeviceName(text, kind, place, threads, runtime=runtime)


def named_devices() -> dict[str, DeviceName]:
    """Devices of the user's `devices.yaml` by their names. Raises `NasError` where it breaks a rule."""
    try:
        file = config_folder() / "devices.yaml"
    except NoHome:
        return {}
    if not file.is_file():
        return {}
    from nas.system.files import read_yaml

    document = read_yaml(file, NasError)
    if not isinstance(document, dict):
        raise NasError(f"{file}: a line a device, such as `pi: ssh:pi@board`.")
    for name in document:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name) or name in DEVICE_KINDS:
            raise NasError(f"{file}: a device's name is a word of letters, digits, `_` and `-`, got {name!r}.")
    return {name: _named(f"{file}: {name}", name, entry) for name, entry in document.items()}


def _named(where: str, name: str, entry: Any) -> DeviceName:
    """One entry: a device's word, or a mapping with `device` and perhaps `python`."""
    fields = entry if isinstance(entry, dict) else {"device": entry}
    word = fields.get("device")
    if not fields.keys() <= {"device", "python"}:
        raise NasError(f"{where}: an entry has `device` and `python`, got {short(entry)}.")
    try:
        device = _parse(word) if isinstance(word, str) else None
        python = check_python(fields["python"]) if "python" in fields else ""
    except NasError as problem:
        raise NasError(f"{where}: {problem}") from None
    if device is None:
        kinds = ", ".join(DEVICE_KINDS)
        raise NasError(f"{where}: a device is one of {kinds}, such as ssh:pi@board, got {short(word)}.")
    if python and device.kind != "ssh":
        raise NasError(f"{where}: `python` names the interpreter of an ssh board, and this is a {device.kind} device.")
    return replace(device, text=name, python=python)

"""Names of devices: what `--target` names besides tables.

cpu, cpu:4t            this machine, ONNX Runtime, 1 or 4 threads     ssh:HOST       a board (docs/ssh.md)
cuda, coreml, …        another execution provider here                adb:SERIAL     a phone (docs/android.md)
fake                   computed times, for tutorials                  browser        any browser (docs/browser.md)

A device may have a name in `devices.yaml` in the user's config folder: `pi: ssh:pi@board`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nas.errors import NasError
from nas.system.places import is_path, table_names
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
_WORD = re.compile(r"(?P<kind>[a-z]+)(?::(?P<rest>[!-~]{0,180}))?")
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


def device_name(target: str) -> DeviceName | None:
    """The device that a target names, or None where it names a table. Raises `NasError` for a device that cannot be."""
    if target in table_names() or is_path(target):
        return None
    return _parse(target, named_devices().get(target, target))


def _parse(text: str, word: str) -> DeviceName | None:
    match = _WORD.fullmatch(word)
    if match is None or match["kind"] not in DEVICE_KINDS:
        return None
    kind, rest = match["kind"], match["rest"] or ""
    counted = _THREADS.fullmatch(rest)
    place, threads = (counted["place"] or "", int(counted["threads"])) if counted else (rest, 1)
    if kind in ("ssh", "adb"):
        if not place or place.startswith("-"):
            example = "ssh:pi@board" if kind == "ssh" else "adb:SERIAL, with a serial of `adb devices`"
            raise NasError(f"A {kind} device is written {example}, got {text!r}.")
    elif (place or word.endswith(":")) and not (kind == "browser" and place in ("wasm", "webgpu")):
        raise NasError(f"A {kind} device is written {kind} or {kind}:4t for four threads, got {text!r}.")
    return DeviceName(text, kind, place, threads)


def named_devices() -> dict[str, str]:
    """Devices of the user's `devices.yaml`: names and what they stand for. Raises `NasError` where it breaks a rule."""
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
    for name, word in document.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name) or name in DEVICE_KINDS:
            raise NasError(f"{file}: a device's name is a word of letters, digits, `_` and `-`, got {name!r}.")
        try:
            known = isinstance(word, str) and _parse(word, word) is not None
        except NasError as problem:
            raise NasError(f"{file}: {name}: {problem}") from None
        if not known:
            raise NasError(
                f"{file}: {name}: a device is one of {', '.join(DEVICE_KINDS)}, such as ssh:pi@board, got {word!r}."
            )
    return document

"""What can be measured from here, and for the rest why not and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from nas.devices.device import Fault
from nas.devices.find import Ways, on_stderr, open_device
from nas.devices.names import EIGHT_BIT_KINDS, PROVIDERS, DeviceName, device_name, named_devices
from nas.devices.runtimes import RUNTIMES
from nas.devices.saturation import saturates
from nas.devices.ssh_config import ssh_hosts
from nas.errors import NasError

NEXT_STEP = {
    "cuda": "pip install onnxruntime-gpu in place of onnxruntime, on a machine with an NVIDIA GPU",
    "coreml": "it comes with onnxruntime on macOS",
    "openvino": "pip install onnxruntime-openvino in place of onnxruntime",
    "xnnpack": "it needs an onnxruntime that was built with XNNPACK",
}


@dataclass(frozen=True)
class Listed:
    """A device, or a way to one."""

    target: str
    """What `--target` takes."""
    usable: bool
    note: str
    """What it is; or why it cannot be used, and the next step."""


def list_devices() -> list[Listed]:
    """Everything that could be a target, usable or not; named devices are asked, for some seconds each."""
    fake = Listed("fake", True, "computed times, for tutorials: nothing is measured")
    return [*_providers(), *_named(), *_ssh_hosts(), *_phones(), _browser(), fake]


def _providers() -> Iterator[Listed]:
    import onnxruntime as ort

    for kind, provider in PROVIDERS.items():
        if provider in ort.get_available_providers():
            found = _asked(DeviceName(kind, kind, "", 1), kind)
            bits = f"; int8 with weights of {7 if saturates() else 8} bits" if kind in EIGHT_BIT_KINDS else ""
            yield replace(found, note=found.note + bits) if found.usable else found
        else:
            yield Listed(kind, False, f"the onnxruntime installed here has no {provider}: {NEXT_STEP[kind]}")
    for word in filter(None, RUNTIMES):
        yield _asked(DeviceName(f"cpu:{word}", "cpu", "", 1, runtime=word), f"cpu:{word}")


def _named() -> list[Listed]:
    names = [name for text in named_devices() if (name := device_name(text)) is not None]  # a table's name wins
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda name: _asked(name, name.text), names))


def _asked(name: DeviceName, target: str) -> Listed:
    if name.kind == "browser":
        return Listed(target, True, "by invitation: it prints the address of a page to open")
    try:
        device = open_device(name, Ways())
        try:
            info = device.info
        finally:
            device.close()
    except (Fault, NasError) as problem:
        return Listed(target, False, str(problem))
    return Listed(target, True, f"{info.model}, {info.runtime} {info.runtime_version}, {info.cores} cores")


def _ssh_hosts() -> Iterator[Listed]:
    """Hosts of the user's ssh config by their aliases, without patterns; they are not asked."""
    hosts = list(ssh_hosts())
    for host in hosts:
        yield Listed(f"ssh:{host}", True, "in your ssh config; not asked")
    if not hosts:
        yield Listed("ssh:HOST", True, "any board that `ssh HOST` reaches without a password (docs/ssh.md)")


def _phones() -> Iterator[Listed]:
    from nas.devices.adb import adb_devices

    try:
        attached = adb_devices(on_stderr)
    except Fault as problem:
        yield Listed("adb:SERIAL", False, str(problem))
        return
    for phone in attached:
        yield Listed(f"adb:{phone.serial}", not phone.why, phone.why or phone.model or "Android")
    if not attached:
        yield Listed("adb:SERIAL", False, "no phone is attached: plug one in with USB debugging on (docs/android.md)")


def _browser() -> Listed:
    from nas.devices.browser.runtime import runtime_folder

    try:
        runtime_folder()
    except NasError as problem:
        return Listed("browser", False, str(problem))
    return Listed("browser", True, "by invitation: it prints the address of a page to open")

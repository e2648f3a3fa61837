"""From a target's word to the device, by the functions that `nas.devices.names.DEVICES` names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from nas.devices.device import Device
from nas.devices.fake import Fake
from nas.devices.hosted import Hosted, python_runner
from nas.devices.names import DEVICES, PROVIDERS, DeviceName
from nas.devices.transport import Local
from nas.system.lazy import load


@dataclass(frozen=True)
class Ways:
    """How a device may be reached, beyond what its target says."""

    install: bool = False
    """ssh: put what is missing on the board into a private folder there, by pip."""
    lan: bool = False
    """browser: serve to other machines, too."""
    https: bool = False
    """browser: with a certificate of our own."""
    show: Callable[[str], None] = print
    """browser: shows the invitation."""


def local(name: DeviceName, ways: Ways) -> Device:
    """This machine, by one of ONNX Runtime's providers."""
    return Hosted(Local, python_runner(sys.executable), threads=name.threads, provider=PROVIDERS[name.kind])


def ssh(name: DeviceName, ways: Ways) -> Device:
    """A board."""
    from nas.devices.ssh import ssh_device

    return ssh_device(name.place, threads=name.threads, install=ways.install)


def adb(name: DeviceName, ways: Ways) -> Device:
    """A phone."""
    from nas.devices.adb import adb_device

    return adb_device(name.place, threads=name.threads)


def browser(name: DeviceName, ways: Ways) -> Device:
    """Any browser that opens the page."""
    from nas.devices.browser.device import browser_device

    provider = name.place or "wasm"
    return browser_device(threads=name.threads, provider=provider, lan=ways.lan, https=ways.https, show=ways.show)


def fake(name: DeviceName, ways: Ways) -> Device:
    """Computed times."""
    return Fake()


def open_device(name: DeviceName, ways: Ways) -> Device:
    """The device; as a rule nothing is asked of it yet. Raises `Fault` for what can be told at once."""
    device: Device = load(DEVICES[name.kind])(name, ways)
    return device

"""From a target's word to the device: the one place where kinds of devices are registered."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from nas.devices.device import Device
from nas.devices.fake import Fake
from nas.devices.hosted import Hosted, python_runner
from nas.devices.names import PROVIDERS, DeviceName
from nas.devices.transport import Local


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


def _local(name: DeviceName, ways: Ways) -> Device:
    return Hosted(Local, python_runner(sys.executable), threads=name.threads, provider=PROVIDERS[name.kind])


def _ssh(name: DeviceName, ways: Ways) -> Device:
    from nas.devices.ssh import ssh_device

    return ssh_device(name.place, threads=name.threads, install=ways.install)


def _adb(name: DeviceName, ways: Ways) -> Device:
    from nas.devices.adb import adb_device

    return adb_device(name.place, threads=name.threads)


def _browser(name: DeviceName, ways: Ways) -> Device:
    from nas.devices.browser.device import browser_device

    provider = name.place or "wasm"
    return browser_device(threads=name.threads, provider=provider, lan=ways.lan, https=ways.https, show=ways.show)


DEVICES: dict[str, Callable[[DeviceName, Ways], Device]] = {
    **dict.fromkeys(PROVIDERS, _local),
    "ssh": _ssh,
    "adb": _adb,
    "browser": _browser,
    "fake": lambda name, ways: Fake(),
}


def open_device(name: DeviceName, ways: Ways) -> Device:
    """The device; as a rule nothing is asked of it yet. Raises `Fault` for what can be told at once."""
    return DEVICES[name.kind](name, ways)

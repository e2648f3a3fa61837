"""From a target's word to the device, by the functions that `nas.devices.names.DEVICES` names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from nas.devices.device import Device
from nas.devices.fake import Fake
from nas.devices.hosted import Hosted, python_runner
from nas.devices.names import DEVICES, PROVIDERS, DeviceName
from nas.devices.runtimes import RUNTIMES
from nas.devices.transport import Local
from nas.errors import NasError
from nas.system.lazy import load


def on_stderr(line: str) -> None:
    """What a person should see who waits; stdout may be JSON."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Ways:
    """How a device may be reached, beyond what its target says."""

    python: str | None = None
    """ssh: the interpreter there, in place of the one that `devices.yaml` names."""
    install: bool = False
    """ssh: put what is missing on the board into a private folder there, by pip."""
    lan: bool = False
    """browser: serve to other machines, too."""
    https: bool = False
    """browser: with a certificate of our own."""
    show: Callable[[str], None] = on_stderr
    """Shows a browser's invitation, and what a board is waited for."""


def local(name: DeviceName, ways: Ways) -> Device:
    """This machine, by one of ONNX Runtime's providers or another runtime."""
    runtime = RUNTIMES[name.runtime]
    runtime.check_here()
    provider = "" if name.runtime else PROVIDERS[name.kind]
    return Hosted(Local, python_runner(sys.executable), threads=name.threads, provider=provider, runtime=runtime)


def ssh(name: DeviceName, ways: Ways) -> Device:
    """A board."""
    from nas.devices.ssh import ssh_device

    python = ways.python or name.python
    return ssh_device(
        name.place,
        threads=name.threads,
        runtime=RUNTIMES[name.runtime],
        python=python,
        install=ways.install,
        show=ways.show,
    )


def adb(name: DeviceName, ways: Ways) -> Device:
    """A phone."""
    from nas.devices.adb import adb_device

    return adb_device(name.place, threads=name.threads, show=ways.show)


def browser(name: DeviceName, ways: Ways) -> Device:
    """Any browser that opens the page."""
    from nas.devices.browser.device import browser_device

    provider = name.place or "wasm"
    return browser_device(threads=name.threads, provider=provider, lan=ways.lan, https=ways.https, show=ways.show)


def fake(name: DeviceName, ways: Ways) -> Device:
    """Computed times."""
    return Fake()


def open_device(name: DeviceName, ways: Ways) -> Device:
    """The device; as a rule nothing is asked of it yet. Raises `NasError` for what can be told at once."""
    if ways.python is not None and name.kind != "ssh":
        raise NasError(f"`--python` names the interpreter of an ssh board, and {name.text!r} is a {name.kind} device.")
    device: Device = load(DEVICES[name.kind])(name, ways)
    return device

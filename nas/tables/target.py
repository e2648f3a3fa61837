"""Target: what `--target` names: a table by name or path, or a device, whose tables are found by its space."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from nas.blocks.precision import EIGHT_BIT
from nas.devices.names import DEVICE_KINDS, EIGHT_BIT_KINDS, DeviceName, device_name
from nas.devices.runtimes import RUNTIMES
from nas.errors import LatencyMissing, TableError
from nas.system.command import command
from nas.system.places import ELASTIC, is_path, own_tables_folder, space_names, table_names, table_path


def table_folder(device: DeviceName, space: str) -> Path:
    """Where the table of a space on a device lives among the user's own."""
    words = re.sub(r"[^A-Za-z0-9_]+", "-", f"{device.text}-{space}").strip("-")
    if len(words) > 64 or not words[:1].isalpha():
        words = f"device-{sha256(f'{device.text} {space}'.encode()).hexdigest()[:16]}"
    return own_tables_folder() / words


def check_target(target: str, precision: str | None = None) -> None:
    """Refuse a target that is neither a table nor a device, or a device that networks of this precision are not
    measured on. Raises `TableError`."""
    device = device_name(target)
    if device is None:
        _table_path(target)
    elif precision == EIGHT_BIT and (device.kind not in EIGHT_BIT_KINDS or device.runtime):
        able = ", ".join(EIGHT_BIT_KINDS)
        of = f"{RUNTIMES[device.runtime].title} on {device.kind}" if device.runtime else device.kind
        raise TableError(
            f"Networks of int8 are measured on {able} by ONNX Runtime, not on {of}. Leave --precision out."
        )


def is_table_path(target: str) -> bool:
    """Whether a target is the path of a table: devices and names of tables win over folders of the same name."""
    named = device_name(target) is not None or target in table_names() or _in_capitals(target)
    return not named and is_path(target)


def named_table(name: str) -> Path:
    """The folder of a table, where no device can be meant. Raises `TableError`; for a device it names its tables."""
    try:
        return table_path(name)
    except TableError:
        if (device := device_name(name)) is None:
            raise
        example = table_folder(device, "mobile").name
        rule = f"{name} is a device, with a table for each space, such as {example} (see `nas table list`)."
        raise TableError(rule) from None


def target_path(target: str, space: str | None) -> Path:
    """The folder of a target's table: of a device, the table of this space that was profiled on it.

    Raises `TableError` where there is none, and `LatencyMissing` where a device has none of this space, with the
    command that makes it.
    """
    device = device_name(target)
    if device is None:
        return _table_path(target)
    if space is None:
        raise LatencyMissing(f"{target} has a table for each space, and this network names none.")
    folder = table_folder(device, space)
    if not (folder / "table.yaml").is_file():
        from nas.space.adapt import options_of

        name, *options = options_of(space).split(" --")
        if name.endswith("-elastic"):
            file = ELASTIC + name.removesuffix("-elastic")
        else:
            file = name if name in space_names() else f"{name}.yaml"  # of the user's own: who knows where
        line = " --".join([command("profile", space=file, target=target), *options])
        raise LatencyMissing(f"{target} has no table of {space} yet. Make it: {line}")
    return folder


def _table_path(target: str) -> Path:
    """The folder of a table; where there is none, what a device would be called is told too."""
    try:
        return table_path(target)
    except TableError as problem:
        if small := _in_capitals(target):
            raise TableError(f"No target named {target!r}. A device is written small: {small}") from None
        if is_path(target):
            raise
        raise TableError(f"{problem} Or a device: {', '.join(DEVICE_KINDS)} (see `nas devices`).") from None


def _in_capitals(target: str) -> str:
    """What a target with the kind of a device in capitals should be; empty where it is none."""
    kind, colon, rest = target.partition(":")
    return f"{kind.lower()}{colon}{rest}" if kind != kind.lower() and kind.lower() in DEVICE_KINDS else ""

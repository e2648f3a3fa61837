"""Target: what `--target` names: a table by name or path, or a device, whose tables are found by its space."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from nas.devices.names import DEVICE_KINDS, DeviceName, device_name
from nas.errors import TableError
from nas.system.command import command
from nas.system.places import is_path, own_tables_folder, space_names, table_path


def table_folder(device: DeviceName, space: str) -> Path:
    """Where the table of a space on a device lives among the user's own."""
    words = re.sub(r"[^A-Za-z0-9_]+", "-", f"{device.text}-{space}").strip("-")
    if len(words) > 64 or not words[:1].isalpha():
        words = f"device-{sha256(f'{device.text} {space}'.encode()).hexdigest()[:16]}"
    return own_tables_folder() / words


def check_target(target: str) -> None:
    """Refuse a target that is neither a table nor a device. Raises `TableError`."""
    if device_name(target) is None:
        try:
            table_path(target)
        except TableError as problem:
            if is_path(target):
                raise
            raise TableError(f"{problem} Or a device: {', '.join(DEVICE_KINDS)} (see `nas devices`).") from None


def target_path(target: str, space: str | None) -> Path:
    """The folder of a target's table: of a device, the table of this space that was profiled on it.

    Raises `TableError` where there is none, with the command that makes it.
    """
    device = device_name(target)
    if device is None:
        return table_path(target)
    if space is None:
        raise TableError(f"{target} has a table for each space, and this network names none. Give a table's name.")
    folder = table_folder(device, space)
    if not (folder / "table.yaml").is_file():
        from nas.space.adapt import options_of

        name, *options = options_of(space).split(" --")
        file = name if name in space_names() else f"{name}.yaml"  # of the user's own: who knows where
        line = " --".join([command("profile", space=file, target=target), *options])
        raise TableError(f"{target} has no table of {space} yet. Make it: {line}")
    return folder

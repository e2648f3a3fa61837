"""User folders: where the files of a user lie that belong to no run, as the platform has it.

On Linux these are `$XDG_DATA_HOME/nas`, `$XDG_CONFIG_HOME/nas` and `$XDG_CACHE_HOME/nas`, by default in
`~/.local/share`, `~/.config` and `~/.cache`. Each function raises `NoHome` where the variable is unset and nobody
knows the user's home folder; who only reads there, or keeps what can be made anew, does without.
"""

from __future__ import annotations

import os
from pathlib import Path

from nas.errors import NasError


class NoHome(NasError):
    """Nobody knows the user's home folder."""


def data_folder() -> Path:
    """What a user keeps: own latency tables, the browser's runtime."""
    return _folder("data")


def config_folder() -> Path:
    """What a user writes: `devices.yaml`."""
    return _folder("config")


def cache_folder() -> Path:
    """What can be made anew: decoded pictures, proxies of a sample, the runner for Android."""
    return _folder("cache")


def _folder(kind: str) -> Path:
    from platformdirs import PlatformDirs  # 10 ms

    try:
        folder: Path = getattr(PlatformDirs("nas", appauthor=False), f"user_{kind}_path")
        return folder.expanduser()  # older versions leave a `~` that nobody knows
    except RuntimeError:
        raise NoHome(
            f"HOME is not set, and the system knows no home folder of user {os.getuid()}.\n"
            f"Set HOME, or XDG_{kind.upper()}_HOME, to a folder for nas's own files."
        ) from None

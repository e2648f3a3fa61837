"""Hosts of the user's ssh config, as `ssh` reads it: keywords in any case, words in quotes, files that it includes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path

from nas.devices.names import device_name
from nas.errors import NasError

DEPTH = 16
"""Of files that include files, in OpenSSH too."""
_LINE = re.compile(r"\s*(?P<keyword>[A-Za-z]+)(?:\s*=\s*|\s+)(?P<rest>.*)", re.ASCII)
Patterns = Sequence[str]


def ssh_hosts() -> Iterator[str]:
    """Aliases that `--target ssh:ALIAS` takes, each once, in the order of the files. Patterns are no hosts."""
    try:
        home = Path("~/.ssh").expanduser()
    except RuntimeError:  # no home folder
        return
    for host in dict.fromkeys(_hosts(home / "config", home, (), set(), 0)):
        try:
            if device_name(f"ssh:{host}") is not None:
                yield host
        except NasError:  # a name that no target can have
            continue


def _hosts(file: Path, home: Path, within: Sequence[Patterns], read: set[Path], depth: int) -> Iterator[str]:
    """Hosts of one file that match all the blocks that it is included from. A file counts once."""
    try:
        if depth > DEPTH or file.resolve() in read or not file.is_file():
            return
        read.add(file.resolve())
        lines = file.read_text("utf-8", "replace").splitlines()
    except (OSError, RuntimeError):  # not ours to read, or links in a circle
        return
    block: Patterns = ("*",)
    for line in lines:
        if not (match := _LINE.match(line)):
            continue
        keyword, words = match["keyword"].lower(), _words(match["rest"])
        if keyword == "host":
            block = words
            yield from (word for word in words if _is_name(word) and all(_matches(word, p) for p in (*within, words)))
        elif keyword == "match":
            block = ("*",) if [word.lower() for word in words] == ["all"] else ()
        elif keyword == "include":
            for place in words:
                for found in sorted(glob(str(home / Path(place).expanduser()))):
                    yield from _hosts(Path(found), home, (*within, block), read, depth + 1)


def _words(rest: str) -> list[str]:
    """Words of a line up to a comment; none where its quotes do not close."""
    try:
        return shlex.split(rest, comments=True)
    except ValueError:
        return []


def _is_name(word: str) -> bool:
    return bool(word) and not set(word) & set("*?!")


def _matches(host: str, patterns: Patterns) -> bool:
    """Whether a block is about this host: one of its patterns matches, and none of those that begin with `!`."""
    named = [fnmatchcase(host, pattern) for pattern in patterns if not pattern.startswith("!")]
    barred = [fnmatchcase(host, pattern[1:]) for pattern in patterns if pattern.startswith("!")]
    return any(named) and not any(barred)

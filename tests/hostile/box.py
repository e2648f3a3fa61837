"""Box: a folder that a hostile input is made in, and the command line run on it as a process of its own.

here/     where the command runs; inputs are made here, and `here/out` is what it may write
home/     its HOME, with all XDG folders          tmp/      its TMPDIR, which it may write
outside/  what must not change                    canary    appears if anything of a stranger's is executed
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("child.py")
SECONDS = 60
"""Of processor and of wall time that a command may take before it is killed."""
ADDRESSES = 6 << 30
"""Bytes of address space: what goes past it gets a MemoryError, which is a failure too."""
OWN = ("data/nas/latency_tables", "cache/nas/data", "config/nas")
FREE = ("here/out", "here/theirs", "tmp", "home/cache/nas/data")
"""Where a command may write: what it was told to, what it was told to go on in, and its own."""


@dataclass(frozen=True)
class Outcome:
    """What became of a command."""

    code: int
    printed: str
    said: str
    """On stderr."""
    peak_mb: float
    cpu_s: float
    wall_s: float
    changed: tuple[str, ...]
    """Files outside of `FREE` that are there, gone or different since."""


class Box:
    """See the head of this file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.here, self.outside, self.canary = folder / "here", folder / "outside", folder / "canary"
        for each in (self.here, self.outside, folder / "tmp", *(folder / "home" / own for own in OWN)):
            each.mkdir(parents=True)

    def write(self, name: str, content: str | bytes) -> str:
        """Write a file below `here`; returns its name."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def sparse(self, name: str, size: int, head: bytes = b"") -> str:
        """A file that claims so many bytes, zeros behind its head, and takes none on the disk."""
        self.write(name, head)
        os.truncate(self.here / name, size)
        return name

    def pipe(self, name: str) -> str:
        """A named pipe that nobody writes into: who opens it to read waits for ever."""
        (self.here / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self.here / name)
        return name

    def link(self, name: str, to: str | Path) -> str:
        """A symbolic link."""
        (self.here / name).parent.mkdir(parents=True, exist_ok=True)
        (self.here / name).symlink_to(to)
        return name

    def run(self, argv: Sequence[str], forks: Forks | None = None) -> Outcome:
        """`python -m nas` with these words, or the same in a fork."""
        before = self._state()
        run = self._started if forks is None else forks.run
        told, printed, said = run(list(argv), self)
        after = self._state()
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return Outcome(printed=printed, said=said, changed=tuple(changed), **told)

    @property
    def environment(self) -> dict[str, str]:
        """What a command sees: nothing of the user's."""
        home = self.folder / "home"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH")}
        return kept | {
            "HOME": str(home),
            "TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            **{f"XDG_{what}_HOME": str(home / what.lower()) for what in ("DATA", "CONFIG", "CACHE")},
        }

    def _started(self, argv: list[str], box: Box) -> tuple[dict[str, Any], str, str]:
        words = [str(SECONDS), str(ADDRESSES), sys.executable, "-m", "nas", *argv]
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(CHILD), *words],
            cwd=self.here,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        said, _, told = done.stderr.decode("utf-8", "replace").rpartition("\n")
        return json.loads(told), done.stdout.decode("utf-8", "replace"), said

    def _state(self) -> dict[str, tuple[object, ...]]:
        """Every file by what would change with it."""
        found: dict[str, tuple[object, ...]] = {}
        for folder, folders, files in os.walk(self.folder):
            inside = Path(folder).relative_to(self.folder)
            for name in (*folders, *files):
                about = os.lstat(Path(folder) / name)
                kept = about.st_mtime_ns if name in files else 0
                found[str(inside / name)] = (about.st_mode, about.st_size if name in files else 0, kept, about.st_ino)
            folders[:] = [name for name in folders if str(inside / name) not in FREE]
        return {name: value for name, value in found.items() if name not in FREE}


class Forks:
    """`forks.py`, running."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD.with_name("forks.py"))],
            env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, argv: list[str], box: Box) -> tuple[dict[str, Any], str, str]:
        """What a command took, printed and said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        files = {name: str(box.folder / name) for name in ("stdout", "stderr")}
        limits = {"seconds": SECONDS, "bytes": ADDRESSES}
        request = {"argv": argv, "cwd": str(box.here), "environment": box.environment, **files, **limits}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        texts = [Path(name).read_text(errors="replace") for name in files.values()]
        for name in files.values():
            os.unlink(name)
        return told, *texts

    def close(self) -> None:
        """End it."""
        self.process.communicate(timeout=60)

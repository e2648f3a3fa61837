"""Transport: how files and commands reach a device. Local, ssh and adb are all there is to a hosted device's place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from nas.devices.device import Fault
from nas.devices.stream import stream


class Transport(Protocol):
    """A work folder on a device, and commands run in it."""

    def put(self, files: Mapping[str, bytes | Path]) -> None:
        """Have these files in the work folder, by their plain names; a Path stands for its content. Raises `Fault`."""

    def run(self, argv: Sequence[str], silence_s: float) -> Iterator[str]:
        """Lines that a command prints in the work folder; raises `Fault` as `nas.devices.stream.stream` does."""

    def close(self) -> None:
        """Remove the work folder; it can be called twice."""


class Local:
    """This machine, in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nas-device-"))

    def put(self, files: Mapping[str, bytes | Path]) -> None:
        try:
            for name, content in files.items():
                if isinstance(content, Path):
                    shutil.copyfile(content, self.folder / name)
                else:
                    (self.folder / name).write_bytes(content)
        except OSError as problem:
            raise Fault(f"{problem.filename or self.folder}: {problem.strerror}.") from None

    def run(self, argv: Sequence[str], silence_s: float) -> Iterator[str]:
        return stream(argv, silence_s, cwd=self.folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

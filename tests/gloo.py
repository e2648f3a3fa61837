"""Python programs that several processes run together, as torchrun would start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Ended(NamedTuple):
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str


def together(program: str, *arguments: str, count: int, beside: Path = HERE) -> list[Ended]:
    """Run a program in so many processes, which find each other and modules of the folder `beside`; by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join(filter(None, (str(beside), os.environ.get("PYTHONPATH"))))
    common = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env={**common, "RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Ended(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def figures(program: str, *arguments: str, count: int, beside: Path = HERE) -> str:
    """What the first process prints, where all end well and the others print nothing."""
    ended = together(program, *arguments, count=count, beside=beside)
    assert all(process.code == 0 for process in ended), ended
    assert all(process.stdout == "" for process in ended[1:])
    return ended[0].stdout

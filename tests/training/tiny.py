"""A network of three layers, and running `nas` on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from nas.blocks import Architecture, Layer
from nas.cli import main
from nas.formats.config import to_config

TINY = Architecture(
    3,
    16,
    16,
    (
        Layer(kind="conv", in_channels=3, out_channels=16, kernel=3, stride=2, height=16, width=16),
        Layer(
            kind="mbconv", in_channels=16, out_channels=16, mid_channels=32, kernel=3, residual=True, height=8, width=8
        ),
        Layer(kind="head", in_channels=16, out_channels=10, mid_channels=64, height=8, width=8),
    ),
)


class Done(NamedTuple):
    """A command that has ended."""

    stdout: str
    stderr: str


def write_config(folder: Path, architecture: Architecture = TINY) -> Path:
    """A config.json with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(to_config(architecture)))
    return path


def nas(*arguments: str, cwd: Path, code: int = 0) -> Done:
    """Run a command as its own process would, in this one, which has imported torch; expect this exit code."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nas", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == code, err.getvalue()
    return Done(out.getvalue(), err.getvalue())


def patched(changes: str, *arguments: str, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start a command in a process where these statements were executed before."""
    program = f"import sys\n{changes}\nfrom nas.cli import main\nsys.argv = ['nas', *{list(arguments)!r}]\nmain()\n"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )

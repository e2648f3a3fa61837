"""A search that takes a fraction of a second: a small space, its table on the fake device, and all its accuracies."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from nas.cli import main
from nas.devices.fake import Fake
from nas.profiler.profile import profile
from nas.profiler.rounds import Effort
from nas.space.codes import format_code
from nas.space.load import load_space
from nas.system.teller import Silent

SPACE = """
format: nas-space/1
name: small
source: test
num_classes: 10
input: {resolution: 16}
activation: relu
stages:
  - {name: stem, block: conv, width: {choice: [4, 8]}, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 8, depth: {choice: [1, 2]}, kernel: {choice: [3, 5], per: layer},
     expansion: {choice: [1, 2], per: layer}}
  - {name: top, block: mbconv, width: {choice: [8, 12]}, stride: 2, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 2, 3]}}
head: {width: 16}
"""


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


def nas(*arguments: str, cwd: Path, code: int | None = 0) -> Done:
    """Run a command as its own process would, in this one, which has imported everything; expect this exit code."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nas", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    done = Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
    assert code is None or done.code == code, done
    return done


def process(*arguments: str, cwd: Path, first: str = "", **options: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own, where these statements are executed first."""
    program = f"import sys\n{first}\nfrom nas.cli import main\nsys.argv = ['nas', *{list(arguments)!r}]\nmain()\n"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "-c", program], cwd=cwd, text=True, **streams)  # type: ignore[call-overload]


def write_small(folder: Path) -> list[str]:
    """Write space, table and accuracies; returns the words of a search in them, but for `--out`."""
    file = folder / "small.yaml"
    file.write_text(SPACE)
    space = load_space(file)
    profile(space, "fake", Fake(), folder / "board", Effort(precision_pct=50.0, seconds=1.0), Silent())
    genotypes = np.stack(np.unravel_index(np.arange(space.size), space.cardinalities), axis=1).astype(np.uint8)
    canonical = np.unique(space.canonical(genotypes), axis=0)
    weights = np.random.default_rng(0).uniform(0, 3, canonical.shape[1])
    accuracies = 50 + np.sin(canonical * weights).sum(axis=1) + canonical @ weights
    rows = [f"{format_code(g, space)},{a:.3f}" for g, a in zip(canonical, accuracies, strict=True)]
    (folder / "accuracies.csv").write_text("\n".join(["arch,accuracy", *rows]) + "\n")
    return [
        "search",
        *("--space", str(file), "--target", str(folder / "board"), "--latency", "1s"),
        *("--accuracy", f"table:{folder / 'accuracies.csv'}"),
    ]


VARYING = {"seconds", "archs_per_second", "created", "run", "proof"}
"""What result.json and request.json have of the clock and the place."""


def content(folder: Path) -> dict[str, object]:
    """Every file of a run by name, without what differs from one run to the next; the report is of all of it."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name == "report.html":
            continue
        found[name] = path.read_bytes()
        if name in ("result.json", "request.json"):
            document = json.loads(path.read_text())
            found[name] = {key: value for key, value in document.items() if key not in VARYING}
    return found


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file of a folder by name: its number, when it was changed, and its bytes."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): (os.stat(path).st_ino, os.stat(path).st_mtime_ns, path.read_bytes())
        for path in files
    }


def found(place: str) -> Any:
    """A module, or a class in one, by its full name."""
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        return getattr(importlib.import_module(module), name)


def before(name: str, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `act` called, once, when a function is."""
    place, _, function = name.rpartition(".")
    holder: Any = found(place)
    real = getattr(holder, function)

    def first(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(holder, function, real)
        act()
        return real(*arguments, **named)

    monkeypatch.setattr(holder, function, first)

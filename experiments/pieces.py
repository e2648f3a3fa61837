"""Pieces of an experiment: each is made once and kept as a small JSON file with what it cost, so that a script that was
killed goes on where it was. Used by the experiments that take hours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from nas.system.atomic import write_atomic


@dataclass(frozen=True)
class Pieces:
    """A folder of them. Raises `SystemExit` where it was begun with another setting."""

    folder: Path
    setting: dict[str, Any]

    def __post_init__(self) -> None:
        file = self.folder / "setting.json"
        if file.exists():
            if (begun := json.loads(file.read_text())) != self.setting:
                raise SystemExit(f"{self.folder} was begun with {begun}, not {self.setting}. Choose another --out.")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(file, json.dumps(self.setting, indent=1) + "\n")

    def known(self, name: str) -> dict[str, Any] | None:
        """A piece with what it cost: `seconds`, `cpu_seconds` of all processes, and whether that is the `whole` of it:
        what was spent before a SIGKILL is not counted. None where it is not made yet."""
        file = self.folder / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What a piece says; it is made now unless it has been."""
        found = self.known(name)
        if found is None:
            file, begun = self.folder / f"{name}.json", self.folder / f"{name}.begun"
            file.parent.mkdir(parents=True, exist_ok=True)
            cost = (
                json.loads(begun.read_text()) if begun.exists() else {"seconds": 0.0, "cpu_seconds": 0.0, "whole": True}
            )
            write_atomic(begun, json.dumps(cost | {"whole": False}))  # as it stays where this process is killed
            start, used = perf_counter(), cpu_seconds()
            try:
                piece = make()
            finally:
                cost |= {
                    "seconds": cost["seconds"] + perf_counter() - start,
                    "cpu_seconds": cost["cpu_seconds"] + cpu_seconds() - used,
                }
                write_atomic(begun, json.dumps(cost))
            found = {"piece": piece} | cost
            write_atomic(file, json.dumps(found, indent=1) + "\n")
            begun.unlink()
        return found["piece"]


def cpu_seconds() -> float:
    """Of this process and of those that it has started and that have ended."""
    return sum(os.times()[:4])


def typed(*words: object, again: Sequence[object] = ()) -> dict[str, Any]:
    """What a command `nas WORD … --json` answers, in a process of its own; `again` is what is typed instead where the
    folder after its --out is there, as of a command that was stopped. Raises `RuntimeError` where it fails.
    """
    line = [str(word) for word in words]
    if again and Path(line[line.index("--out") + 1]).exists():
        line = [str(word) for word in again]
    print("nas", *line, file=sys.stderr, flush=True)
    found = subprocess.run([sys.executable, "-m", "nas", *line, "--json"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise RuntimeError(f"nas {' '.join(line)} ended with {found.returncode}.")
    return dict(json.loads(found.stdout))


def by_task(out: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Results of controllers, a JSON object a line, by controller, task and seed."""
    lines = out.read_text().splitlines() if out.exists() else []
    results = [json.loads(line) for line in lines]
    return {(result["controller"], result["task"], result["seed"]): result for result in results}

"""Run: the folder of one search, and what it found.

request.json  what was asked for, written first          front.csv    accuracy against latency
setup.json    fingerprints, versions and the plan        winner/      the best architecture, exported
ledger.bin    every evaluation (see `nas.runs.ledger`)        result.json  all of it, written last
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import NasError, RunError
from nas.runs.request import Request
from nas.runs.request_folder import (
    ask_for_code,
    begin,
    code_option,
    discard,
    numbered,
    read_mapping,
    recall,
    resumed,
    write_json,
)
from nas.system import ranks
from nas.system.folder_lock import FolderLock, is_held

if TYPE_CHECKING:
    from pandas import DataFrame

    from nas.blocks.architecture import Architecture
    from nas.runs.result import Found, Result

FORMAT = "nas-run/1"


class Run:
    """A run folder. `Run.create` and `Run.resume` make one to search in, for this process alone until it is released;
    `Run.load` reads a finished one."""

    def __init__(self, path: Path, request: Request, lock: FolderLock | None = None) -> None:
        self.path = path
        self.request = request
        self._lock = lock

    @classmethod
    def create(cls, path: Path | None, request: Request) -> Run:
        """A new folder, by default `runs/SPACE-TARGET-N`, with its request in it."""
        ranks.check_named(path)
        folder = path or numbered(_stem(request.space, request.target))
        return cls(folder, request, begin(folder, "run", FORMAT, request.to_json()))

    @classmethod
    def resume(cls, path: Path | None, asked: Mapping[str, Any]) -> Run:
        """The run in a folder, by default the newest one of the space and target; `asked` must not contradict it.

        What it would go on with as code of one's own (`python:` data) must be asked for again: see `ask_for_code`.
        """
        folder = path or _newest(asked)
        request = recall(folder, "run", FORMAT, Request.from_json, asked)
        if not cls(folder, request).finished:
            ask_for_code(folder, request.code, asked)
        return cls(folder, request, resumed(folder, "run"))

    @classmethod
    def load(cls, path: Path) -> Run:
        """A finished run. Raises `RunError` where there is none, or it is not finished."""
        run = cls(path, recall(path, "run", FORMAT, Request.from_json, {}))
        if not run.finished:
            if is_held(path):
                raise RunError(f"{path}: this run is not finished: a process is working on it. Wait for it.")
            raise RunError(f"{path}: this run is not finished. Go on with it: {run.go_on}")
        return run

    def release(self) -> None:
        """Let other processes work in the folder."""
        if self._lock is not None:
            self._lock.release()

    @property
    def go_on(self) -> str:
        """What to type to go on with it."""
        return f"nas search --resume --out {shlex.quote(str(self.path))}{code_option(self.request.code)}"

    @property
    def finished(self) -> bool:
        """Whether the result was written."""
        return (self.path / "result.json").is_file()

    @property
    def result(self) -> Result:
        """What was found. Raises `RunError` where result.json is none of ours."""
        from nas.runs.result import Result  # brings pydantic

        file = self.path / "result.json"
        return Result.read(read_mapping(file), file)

    def to_json(self) -> dict[str, Any]:
        """Everything that `nas search --json` prints."""
        return {**self.result.to_json(), "run": str(self.path)}

    @property
    def winner(self) -> Found:
        """The best architecture within the bounds."""
        return self.result.winner

    @property
    def front(self) -> list[Found]:
        """All architectures of the run that none other beats in both latency and accuracy, fastest first."""
        return self.result.front

    def frame(self) -> DataFrame:
        """The same front as front.csv has it: a row for each architecture, its figures and then its decisions."""
        import pandas as pd  # half a second

        return pd.DataFrame([point.row for point in self.front])

    @property
    def architecture(self) -> Architecture:
        """The winner's network."""
        from nas.formats.config import read_config

        return read_config(self.path / "winner" / "config.json").architecture

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file of the run, atomically."""
        write_json(self.path / name, document)

    def amend(self, name: str, **changes: Any) -> None:
        """Change entries of a JSON file of the run."""
        self.write(name, (self.read(name) or {}) | changes)

    def discard_unless_begun(self) -> None:
        """Leave nothing behind of a run whose request turned out wrong before anything was set up."""
        if not (self.path / "setup.json").exists():
            discard(self.path)

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the run; None if it is not there."""
        file = self.path / name
        return read_mapping(file) if file.is_file() else None


def _stem(space: str, target: str) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-") or "own" for name in (space, target))


def _newest(asked: Mapping[str, Any]) -> Path:
    if "space" not in asked or "target" not in asked:
        raise NasError("--resume needs --out, or --space and --target to find the newest run of.")
    stem = _stem(asked["space"], asked["target"])
    runs = [p for p in Path("runs").glob(f"{stem}-*") if re.fullmatch(r"[0-9]{1,9}", p.name[len(stem) + 1 :])]
    if not runs:
        raise RunError(f"runs/{stem}-N: there is no run to resume. Leave out --resume to start one.")
    return max(runs, key=lambda p: int(p.name[len(stem) + 1 :]))

"""Run: the folder of one search, and what it found.

request.json  what was asked for, written first          front.csv    accuracy against latency
setup.json    fingerprints, versions and the plan        winner/      the best architecture, exported
ledger.bin    every evaluation (see `nas.runs.ledger`)        result.json  all of it, written last
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.devices.names import device_name
from nas.errors import NasError, RunError
from nas.runs.aim import aims
from nas.runs.request import Request
from nas.runs.request_folder import RequestFolder, read_mapping
from nas.system.places import ELASTIC, elastic_name

if TYPE_CHECKING:
    from pandas import DataFrame

    from nas.blocks.architecture import Architecture
    from nas.runs.result import Found, Result


NAMED = 3
"""Targets of a fleet that its run folder is named after."""


class Run(RequestFolder[Request]):
    """A run folder. `Run.create` and `Run.resume` make one to search in, for this process alone until it is released;
    `Run.load` reads a finished one."""

    what = "run"
    command = "nas search"
    file_format = "nas-run/1"
    request_class = Request

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

    def amend(self, name: str, **changes: Any) -> None:
        """Change entries of a JSON file of the run."""
        self.write(name, (self.read(name) or {}) | changes)

    def discard_unless_begun(self) -> None:
        """Leave nothing behind of a run whose request turned out wrong before anything was set up."""
        if not (self.path / "setup.json").exists():
            self.discard()

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the run; None if it is not there."""
        file = self.path / name
        return read_mapping(file) if file.is_file() else None

    @classmethod
    def _stem(cls, request: Request) -> str:
        return _stem(request.space, [aim.target for aim in request.aims])

    @classmethod
    def _newest(cls, asked: Mapping[str, Any]) -> Path:
        if "space" not in asked or "target" not in asked:
            raise NasError("--resume needs --out, or --space and --target to find the newest run of.")
        stem = _stem(asked["space"], [aim.target for aim in aims(asked["target"], None, None)])
        runs = [p for p in Path("runs").glob(f"{stem}-*") if re.fullmatch(r"[0-9]{1,9}", p.name[len(stem) + 1 :])]
        if not runs:
            raise RunError(f"runs/{stem}-N: there is no run to resume. Leave out --resume to start one.")
        return max(runs, key=lambda p: int(p.name[len(stem) + 1 :]))


def _stem(space: str, targets: Sequence[str]) -> str:
    if space.startswith(ELASTIC):
        space = elastic_name(space.removeprefix(ELASTIC))
    shown = targets if len(targets) <= NAMED else [*targets[: NAMED - 1], f"{len(targets) - NAMED + 1}-more"]
    named = [Path(target).stem if device_name(target) is None else target for target in shown]  # an address is no path
    words = (Path(space).stem, *named)
    return "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", word).strip("-") or "own" for word in words)

"""Run: the folder of one search, and what it found.

request.json  what was asked for, written first          front.csv    accuracy against latency
setup.json    fingerprints, versions and the plan        winner/      the best architecture, exported
ledger.bin    every evaluation (see `nas.ledger`)        result.json  all of it, written last
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nas
from nas.atomic import PART, write_atomic
from nas.errors import NasError, RunError
from nas.request import Request

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture

FORMAT = "nas-run/1"


@dataclass(frozen=True)
class Found:
    """One architecture that a search found."""

    decisions: Mapping[str, Any]
    latency_ms: float
    accuracy: float
    macs: int
    params: int


class Run:
    """A run folder. `Run.create` and `Run.resume` make one to search in; `Run.load` reads a finished one."""

    def __init__(self, path: Path, request: Request) -> None:
        self.path = path
        self.request = request

    @classmethod
    def create(cls, path: Path | None, request: Request) -> Run:
        """A new folder, by default `runs/SPACE-TARGET-N`, with its request in it."""
        folder = path or _numbered(request)
        if (folder / "request.json").exists():
            raise RunError(f"{folder}: there is a run here. Add --resume to go on with it, or choose another --out.")
        try:
            _clear_parts(folder)
            if folder.exists() and any(folder.iterdir()):
                raise RunError(f"{folder}: a run is written into a new or empty folder. Choose another --out.")
            folder.mkdir(parents=True, exist_ok=True)
            run = cls(folder, request)
            run.write(
                "request.json",
                {
                    "format": FORMAT,
                    "request": request.to_json(),
                    "nas": nas.__version__,
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                },
            )
        except OSError as problem:
            raise RunError(f"{folder}: cannot be written ({problem.strerror}). Choose another --out.") from None
        return run

    @classmethod
    def resume(cls, path: Path | None, asked: Mapping[str, Any]) -> Run:
        """The run in a folder, by default the newest one of the space and target; `asked` must not contradict it."""
        folder = path or _newest(asked)
        file = folder / "request.json"
        if not file.is_file():
            raise RunError(f"{folder}: there is no run to resume. Leave out --resume to start one.")
        document = _read(file)
        if document.get("format") != FORMAT:
            raise RunError(f"{file}: a run's request has format {FORMAT!r}, got {document.get('format')!r}.")
        try:
            request = Request.from_json(document.get("request"))
        except RunError as problem:
            raise RunError(f"{file}: {problem}") from None
        _clear_parts(folder)
        for name, value in asked.items():
            if getattr(request, name) != value:
                raise RunError(
                    f"{folder}: this run has {name} {getattr(request, name)!r}, the request says {value!r}. "
                    "Leave the option out, or choose another --out."
                )
        return cls(folder, request)

    @classmethod
    def load(cls, path: Path) -> Run:
        """A finished run. Raises `RunError` where there is none, or it is not finished."""
        run = cls.resume(path, {})
        if not run.finished:
            raise RunError(f"{path}: this run is not finished. Go on with it: nas search --resume --out {path}")
        return run

    @property
    def finished(self) -> bool:
        """Whether the result was written."""
        return (self.path / "result.json").is_file()

    @property
    def result(self) -> dict[str, Any]:
        """Everything that `nas search --json` prints."""
        document = _read(self.path / "result.json")
        return {**document, "run": str(self.path)}

    @property
    def winner(self) -> Found:
        """The best architecture within the bounds."""
        return _found(self.result["winner"])

    @property
    def front(self) -> list[Found]:
        """All architectures of the run that none other beats in both latency and accuracy, fastest first."""
        return [_found(point) for point in self.result["front"]]

    @property
    def architecture(self) -> Architecture:
        """The winner's network."""
        from nas.export.config import read_config

        return read_config(self.path / "winner" / "config.json").architecture

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON file of the run, atomically."""
        write_atomic(self.path / name, json.dumps(document, indent=1) + "\n")

    def amend(self, name: str, **changes: Any) -> None:
        """Change entries of a JSON file of the run."""
        self.write(name, (self.read(name) or {}) | changes)

    def discard_unless_begun(self) -> None:
        """Leave nothing behind of a run whose request turned out wrong before anything was set up."""
        if not (self.path / "setup.json").exists():
            (self.path / "request.json").unlink(missing_ok=True)
            with suppress(OSError):  # not empty: not ours
                self.path.rmdir()
                if self.path.parent == Path("runs"):
                    self.path.parent.rmdir()

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the run; None if it is not there."""
        file = self.path / name
        return _read(file) if file.is_file() else None


def config_file(place: Path) -> Path:
    """A config's own path, or that of the winner in a run folder. Raises `RunError` where that is not finished."""
    return Run.load(place).path / "winner" / "config.json" if place.is_dir() else place


def _clear_parts(folder: Path) -> None:
    """Remove what a killed process left half-written."""
    for part in (*folder.glob(f".*{PART}"), *folder.glob(f"winner/.*{PART}")):
        part.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any]:
    from nas.files import read_json

    document = read_json(file, RunError)
    if not isinstance(document, dict):
        raise RunError(f"{file}: a JSON mapping is expected here.")
    return document


def _found(document: Mapping[str, Any]) -> Found:
    try:
        return Found(**{name: document[name] for name in Found.__dataclass_fields__})
    except (KeyError, TypeError):
        raise RunError("result.json: this is not the result of a search.") from None


def _stem(space: str, target: str) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-") or "own" for name in (space, target))


def _numbered(request: Request) -> Path:
    stem = _stem(request.space, request.target)
    return next(p for n in range(1, 10**9) if not (p := Path("runs") / f"{stem}-{n}").exists())


def _newest(asked: Mapping[str, Any]) -> Path:
    if "space" not in asked or "target" not in asked:
        raise NasError("--resume needs --out, or --space and --target to find the newest run of.")
    stem = _stem(asked["space"], asked["target"])
    runs = [p for p in Path("runs").glob(f"{stem}-*") if p.name[len(stem) + 1 :].isdigit()]
    if not runs:
        raise RunError(f"runs/{stem}-N: there is no run to resume. Leave out --resume to start one.")
    return max(runs, key=lambda p: int(p.name[len(stem) + 1 :]))

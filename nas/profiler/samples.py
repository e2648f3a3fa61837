"""Samples: every timing that a device gave, as JSON lines; the only state of a profile.

A line is a sample and the number of its round. A last line that was cut off by a crash is left out and written over.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Container, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.devices.device import CHECKSUM_TOLERANCE, MAX_LINE, Fault, Probe, Sample
from nas.errors import TableError
from nas.system.files import open_plain

MAX_SAMPLES_BYTES = 128 << 20
"""Each sample takes some ten times its length in memory."""


@dataclass(frozen=True)
class Slices:
    """N slices as arrays: which probe (index into `names`), session and pass, and the best run's ms of each."""

    names: tuple[str, ...]
    probe: NDArray[np.int64]
    session: NDArray[np.int64]
    """Numbers from 0 in order of time; a session is of one probe."""
    passed: NDArray[np.int64]
    """Numbers from 0, of passes: slices of one pass were taken within seconds of each other."""
    ms: NDArray[np.float64]
    board: NDArray[np.int64] | None = None
    """Index into `boards`; None where all are of one."""
    boards: tuple[str, ...] = ()


def read_samples(path: Path) -> tuple[list[tuple[int, Sample]], int]:
    """Round and sample of every whole line of a file, and the bytes of those lines; the file is left as it is.

    Raises `TableError` with the first line that is no sample.
    """
    with open_plain(path, links=False) as file:
        if os.fstat(file.fileno()).st_size > MAX_SAMPLES_BYTES:
            raise TableError(
                f"{path}: at most {MAX_SAMPLES_BYTES:,} bytes of samples are read. Profile into a new --out."
            )
        taken, whole = list[tuple[int, Sample]](), 0
        for number, line in enumerate(iter(partial(file.readline, MAX_LINE + 1), b""), 1):
            if not line.endswith(b"\n"):
                if len(line) > MAX_LINE:
                    raise TableError(f"{path}: line {number}: a sample has at most {MAX_LINE:,} bytes, this has more.")
                break  # cut off by a crash
            taken.append(_read(path, number, line))
            whole += len(line)
    return taken, whole


class Samples:
    """The samples in a file, and those that are added to it. Raises `TableError` where another process has it open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken: list[tuple[int, Sample]] = []
        self._checksums: dict[str, float] = {}
        self._sessions: dict[str, set[tuple[str, str]]] = {}
        with open_plain(path, links=False) if os.path.lexists(path) else nullcontext():
            self._file = path.open("r+b" if path.exists() else "x+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken, whole = read_samples(path)
        except BlockingIOError:
            self._file.close()
            raise TableError(f"{path.parent}: another process measures into this. Wait for it, or stop it.") from None
        except TableError:
            self._file.close()
            raise
        for number, sample in taken:
            self._take(number, sample)
        self._file.truncate(whole)
        self._file.seek(whole)

    def __len__(self) -> int:
        return len(self._taken)

    @property
    def next_round(self) -> int:
        """A number that no sample's round has yet."""
        return max((number for number, _ in self._taken), default=-1) + 1

    def add(self, number: int, sample: Sample) -> None:
        """Keep a sample of round `number`. Raises `Fault` where a model gave another output than before."""
        known = self._checksums.get(sample.probe)
        if known is not None and abs(sample.checksum - known) > CHECKSUM_TOLERANCE * max(known, 1e-12):
            raise Fault(
                f"a model computed {sample.checksum:.6g} instead of {known:.6g}: that device cannot be trusted."
            )
        line = json.dumps({"round": number, **sample.to_json()}) + "\n"
        self._file.write(line.encode())
        self._file.flush()
        self._take(number, sample)

    def adopt(self, others: Iterable[tuple[int, Sample]]) -> None:
        """Keep samples of another file, of the same device, in rounds of their own that took no time here."""
        base = self.next_round
        for number, sample in others:
            self.add(base + number, replace(sample, at_s=0.0))

    def of(self, names: Container[str]) -> list[tuple[int, Sample]]:
        """Round and sample of these probes."""
        return [(number, sample) for number, sample in self._taken if sample.probe in names]

    def sessions(self, name: str) -> int:
        """How many sessions there are of a probe."""
        return len(self._sessions.get(name, ()))

    def slices(self, names: Iterable[str]) -> Slices:
        """All slices of these probes, as arrays."""
        wanted = {name: index for index, name in enumerate(names)}
        taken = [(number, sample) for number, sample in self._taken if sample.probe in wanted]
        sessions = {
            key: index for index, key in enumerate(dict.fromkeys((s.probe, s.board, s.session) for _, s in taken))
        }
        passes = {key: index for index, key in enumerate(dict.fromkeys((n, s.slice) for n, s in taken))}
        boards = {board: index for index, board in enumerate(dict.fromkeys(s.board for _, s in taken))}
        return Slices(
            tuple(wanted),
            np.array([wanted[s.probe] for _, s in taken], np.int64),
            np.array([sessions[s.probe, s.board, s.session] for _, s in taken], np.int64),
            np.array([passes[n, s.slice] for n, s in taken], np.int64),
            np.array([min(s.ns) / 1e6 for _, s in taken], np.float64),
            np.array([boards[s.board] for _, s in taken], np.int64) if len(boards) > 1 else None,
            tuple(boards),
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _take(self, number: int, sample: Sample) -> None:
        self._taken.append((number, sample))
        self._checksums.setdefault(sample.probe, sample.checksum)
        self._sessions.setdefault(sample.probe, set()).add((sample.board, sample.session))


def _read(path: Path, number: int, line: bytes) -> tuple[int, Sample]:
    try:
        document: Any = json.loads(line)
        taken = document.pop("round")
        if type(taken) is not int or not 0 <= taken < 2**31:
            raise Fault(f"`round` is a whole number, got {taken!r}")
        name, board = document.get("probe"), document.pop("board", "")
        if not (isinstance(board, str) and len(board) <= 200 and board.isprintable()):
            raise Fault(f"`board` is up to 200 printable characters, got {board!r}")
        sample = Sample.read(document, {name: Probe(name, b"", ())} if isinstance(name, str) else {})
        return taken, replace(sample, board=board)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, Fault) as problem:
        raise TableError(f"{path}: line {number}: not a sample: {str(problem)[:120]}") from None

"""Pieces: figures that take a while each, kept in a file of a run as soon as they are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from nas.errors import NasError
from nas.system.json_lines import JsonLines

FORMAT = "nas-pieces/1"

Of = TypeVar("Of")


class Pieces:
    """Figures by what they are of, which is anything that JSON can say."""

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        """`fingerprint` is of everything that they depend on; without `path` nothing is kept.

        Raises `RunError` where the file is of other ones.
        """
        self._known: dict[str, float] = {}
        self._lines = JsonLines(path, {"format": FORMAT, "fingerprint": fingerprint}, "measurement", self._read)

    def __len__(self) -> int:
        return len(self._known)

    def complete(
        self,
        of: Sequence[Of],
        values: Callable[[Sequence[Of]], Iterator[float]],
        watch: Callable[[int, int], object] = lambda done, total: None,
    ) -> list[float]:
        """The figures of all of these. Those that are not known are asked of `values`, and each is kept before the next
        one; `watch` is then called with how many are done, and how many there are. Raises `NasError` for one that is
        no finite number."""
        unknown = [each for each in of if json.dumps(each) not in self._known]
        for done, (each, value) in enumerate(zip(unknown, values(unknown), strict=False), 1 + len(of) - len(unknown)):
            if not isfinite(value):
                raise NasError(f"A network's outputs came to {value}. Start a new run with another --seed.")
            self._lines.add({"of": each, "value": value})
            self._known[json.dumps(each)] = value
            watch(done, len(of))
        return [self._known[json.dumps(each)] for each in of]

    def _read(self, document: Any) -> None:
        value = document["value"]
        if type(value) is not float or not isfinite(value):
            raise ValueError("`value` is a finite number.")
        self._known[json.dumps(document["of"])] = value

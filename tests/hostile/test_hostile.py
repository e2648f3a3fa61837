"""Hostile inputs on the real command line: refused in a line or two, nothing executed, nothing written elsewhere, and
hardly more memory than a harmless input takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from box import Box, Forks, Outcome
from hostile import Hostile, Reader
from hostile_readers import READERS

CASES = [(reader, hostile) for reader in READERS for hostile in reader.inputs]
CHARACTERS = 1_100


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    running = Forks()
    yield running
    running.close()


@pytest.fixture(scope="module")
def harmless(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Reader], float]:
    """MB that a reader's command takes for a harmless input."""

    @cache
    def peak(reader: Reader) -> float:
        box = Box(tmp_path_factory.mktemp("harmless") / "box")
        return box.run(reader.harmless(box), forks).peak_mb

    return peak


@pytest.mark.parametrize(
    ("reader", "hostile"),
    [pytest.param(r, h, id=f"{r.name}: {h.name}", marks=[pytest.mark.slow] if r.slow else []) for r, h in CASES],
)
def test_refused(
    reader: Reader, hostile: Hostile, tmp_path: Path, forks: Forks, harmless: Callable[[Reader], float]
) -> None:
    refused(box := Box(tmp_path / "box"), hostile, outcome := box.run(hostile.make(box), forks))
    assert outcome.peak_mb <= harmless(reader) + hostile.more_mb, outcome


@pytest.mark.parametrize("reader", [r for r in READERS if not r.slow], ids=lambda reader: reader.name)
def test_refused_by_a_process_of_its_own(reader: Reader, tmp_path: Path) -> None:
    """As it is typed: `python -m nas`."""
    hostile = reader.inputs[0]
    refused(box := Box(tmp_path / "box"), hostile, box.run(hostile.make(box)))


def refused(box: Box, hostile: Hostile, outcome: Outcome) -> None:
    """What every hostile input has in common."""
    assert outcome.code == 2, outcome
    assert 1 <= len(outcome.said.splitlines()) <= hostile.lines, outcome.said
    assert len(outcome.said) <= CHARACTERS
    assert hostile.says in outcome.said
    assert all(letter.isprintable() or letter == "\n" for letter in outcome.said + outcome.printed)
    assert not box.canary.exists()
    assert outcome.changed == ()


def test_there_are_many() -> None:
    assert len({f"{reader.name}: {hostile.name}" for reader, hostile in CASES}) == len(CASES) >= 100

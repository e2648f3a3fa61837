"""Splits: which pictures train, validate and test."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.source import Source
from nas.errors import DataError

TEST_SHARE = 0.2
"""Of every class, where a source has no test pictures of its own."""
SPELLINGS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""Names of folders and of other people's splits → ours."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """Numbers of a source's pictures, by split; `train` in random order."""

    train: Rows
    validation: Rows
    test: Rows
    notes: tuple[str, ...]


def named_parts(names: Collection[str], place: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which part each of a source's own splits is, and what the user should know of it."""
    parts = {name: SPELLINGS[name] for name in names if name in SPELLINGS}
    twice = [name for name in parts if list(parts.values()).count(parts[name]) > 1]
    if twice:
        raise DataError(f"{place}: `{twice[0]}` and `{twice[1]}` mean the same split. Keep one of them.")
    if "train" not in parts:
        raise DataError(f"{place}: pictures to train with are needed in `train`, got only {', '.join(sorted(names))}.")
    (validation,) = [name for name in parts if parts[name] == "validation"] or [""]
    if validation and "test" not in parts:
        parts[validation] = "test"
        return parts, (f"`{validation}` is the test split, since there is no `test`.",)
    return parts, ()


def stratified(labels: NDArray[np.int64], rows: Rows, share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """`rows` as those that stay and those set aside, both ascending: a share of each class, rounded.

    At least one picture of a class is set aside, and at least one stays; of a class with a single picture it stays.
    """
    order = rng.permutation(rows)
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels[order])
    aside = np.clip(np.rint(counts * share).astype(np.int64), min(1, share > 0), np.maximum(counts - 1, 0))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)  # within its class
    taken = rank < np.repeat(aside, counts)
    return np.sort(order[~taken]), np.sort(order[taken])


def split(source: Source, seed: int, held_out: float, place: str) -> Splits:
    """The source's pictures in three splits; what it lacks is set aside of its training pictures."""
    parts: Mapping[str, Rows] = source.parts
    train, notes = parts["train"], list(source.notes)
    counts = np.bincount(source.labels[train], minlength=len(source.classes))
    _check_classes(place, source.classes, counts)
    single = [source.classes[index] for index in np.flatnonzero(counts == 1)]
    divided = False
    if "test" in parts:
        test = parts["test"]
    else:
        train, test = stratified(source.labels, train, TEST_SHARE, np.random.default_rng([seed, 0]))
        notes.append(f"No test split: {TEST_SHARE:.0%} of each class were set aside as one, by seed {seed}.")
        divided = True
    if "validation" in parts:
        validation = parts["validation"]
    else:
        train, validation = stratified(source.labels, train, held_out, np.random.default_rng([seed, 1]))
        if held_out:
            notes.append(f"Validation: {held_out:.0%} of each class's training pictures, by seed {seed}.")
        divided = True
    if divided and single:
        more = f" and {len(single) - 5} more" if len(single) > 5 else ""
        notes.append(f"Classes with a single picture have it in train: {', '.join(single[:5])}{more}.")
    wanted = {"test": len(test), "validation": len(validation) or not held_out}
    for part in (name for name, enough in wanted.items() if not enough):
        raise DataError(f"{place}: too few pictures for three splits, none is left for {part}. Add some.")
    first, second = (np.random.default_rng([seed, 2 + part]) for part in range(2))
    return Splits(first.permutation(train), second.permutation(validation), test, tuple(notes))


def _check_classes(place: str, classes: tuple[str, ...], counts: NDArray[np.int64]) -> None:
    if len(classes) < 2:
        raise DataError(f"{place}: a classifier needs two classes or more, got only {classes[0]!r}.")
    empty = [repr(name) for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        raise DataError(
            f"{place}: every class has pictures to train with; there are none of {', '.join(empty[:5])}{more}. "
            f"Add some, or remove the class."
        )

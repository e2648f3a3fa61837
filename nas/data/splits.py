"""Splits: which pictures train, validate and test."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.source import Source
from nas.errors import DataError
from nas.system.text import printable

TEST_SHARE = 0.2
"""Of every class, where a source has no test pictures of its own."""
SPELLINGS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""Names of folders and of other people's splits → ours."""
WORDS = SPELLINGS | {
    "training": "train",
    "trn": "train",
    "dev": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
}
"""What else they are called, in any case and beside words that say nothing: `Training`, `TEST1`, `val_images`."""

_WORD = "|".join(sorted(WORDS, key=len, reverse=True))
_FILLING = r"(?:[\W_\d]|set|split|data|images?|imgs?|pictures?|pics?|photos?|folders?|files?)*"
_SPLIT = re.compile(rf"{_FILLING}({_WORD}){_FILLING}")
_PART = re.compile(rf"(.*?)(?<![a-z])({_WORD})(?![a-z])(.*)", re.DOTALL)

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """Numbers of a source's pictures, by split; `train` in random order."""

    train: Rows
    validation: Rows
    test: Rows
    notes: tuple[str, ...]


def part_of(name: str) -> str | None:
    """Which part the name of a split means; None where it is no name of a split."""
    match = _SPLIT.fullmatch(_plain(name))
    return WORDS[match[1]] if match else None


def parts_of(names: Collection[str]) -> dict[str, str]:
    """Those names that are names of splits → the part; also such as `seg_train` beside `seg_test`."""
    parts = {name: part for name in names if (part := part_of(name))}
    alike: dict[tuple[str, str], dict[str, str]] = {}
    for name in names:
        if name not in parts and (match := _PART.fullmatch(_plain(name))):
            alike.setdefault((match[1], match[3]), {})[name] = WORDS[match[2]]
    for some in alike.values():
        if len(set(some.values())) > 1:
            parts |= some
    return parts


def _plain(name: str) -> str:
    """A name in small letters, `TrainSet` as `train_set` and `hold-out` as `holdout`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unicodedata.normalize("NFKC", name))
    return re.sub(r"hold[\W_]out", "holdout", name.casefold())


def named_parts(names: Collection[str], place: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which part each of a source's own splits is, and what the user should know of it.

    The plain names go before others of the same part, which are no splits then. Raises `DataError` where two of a
    kind mean the same part, and where there is nothing to train with.
    """
    parts = {name: SPELLINGS[name] for name in names if name in SPELLINGS}
    others = {name: part for name, part in parts_of(names).items() if part not in parts.values()}
    for some in (parts, others):
        if twice := [name for name in some if list(some.values()).count(some[name]) > 1]:
            raise DataError(f"{place}: {quoted(twice[:2], ' and ')} mean the same split. Keep one of them.")
    parts |= others
    if "train" not in parts.values():
        raise DataError(
            f"{place}: pictures to train with are needed in `train`, got only {printable(', '.join(sorted(names)))}."
        )
    (validation,) = [name for name in parts if parts[name] == "validation"] or [""]
    notes: tuple[str, ...] = ()
    if read := [f"{quoted([name])} as {parts[name]}" for name in parts if name not in SPELLINGS]:
        notes += (f"Read as splits: {', '.join(read)}.",)
    if validation and "test" not in parts.values():
        parts[validation] = "test"
        notes += (f"{quoted([validation])} is the test split, since there is no `test`.",)
    return parts, notes


def quoted(names: Sequence[str], between: str = ", ") -> str:
    """The first few of these names, as messages show them."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return between.join(f"`{printable(name)}`" for name in names[:5]) + more


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
    check_classes(place, source.classes, counts)
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


def check_classes(place: str, classes: tuple[str, ...], counts: NDArray[np.int64], lost: str = "") -> None:
    """Raise `DataError` unless there are two classes, each with pictures to train with; `lost` may say why not."""
    if len(classes) < 2:
        raise DataError(f"{place}: a classifier needs two classes or more, got only {classes[0]!r}.{lost}")
    empty = [repr(name) for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        raise DataError(
            f"{place}: every class has pictures to train with; there are none of {', '.join(empty[:5])}{more}. "
            f"Add some, or remove the class.{lost}"
        )

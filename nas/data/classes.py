"""Classes: which of the names beside pictures mean the same, and the numbers they get."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from nas.data.splits import quoted
from nas.errors import DataError
from nas.system.text import printable


class Classes:
    """The classes of a source's training pictures, numbered in the order of their names.

    Names are compared in NFC: é is the same as one letter or as an e and its accent. `Cat` and `cat` are two classes.
    """

    def __init__(self, place: str, names: Iterable[str]) -> None:
        """`names` are those of train, as they are written."""
        written: dict[str, set[str]] = {}
        for name in set(names):
            written.setdefault(nfc(name), set()).add(name)
        shown = {key: key if len(some) > 1 else min(some) for key, some in written.items()}
        self.place = place
        self.names = tuple(sorted(shown.values()))
        self.merged = sorted(key for key, some in written.items() if len(some) > 1)
        self.number = {nfc(name): number for number, name in enumerate(self.names)}
        self.notes: tuple[str, ...] = ()
        if self.merged:
            self.notes += (f"Written in two ways that look alike, and one class each: {quoted(self.merged)}.",)
        alike: dict[str, list[str]] = {}
        for name in self.names:
            alike.setdefault(nfc(name).casefold(), []).append(name)
        if twins := [name for some in alike.values() if len(some) > 1 for name in some]:
            self.notes += (f"Different classes, though their names differ only in case: {quoted(twins)}.",)

    def find(self, name: str) -> int | None:
        """The number of a class; None where train has none of this name."""
        if name not in self.number and (key := nfc(name)) in self.number:
            self.number[name] = self.number[key]
        return self.number.get(name)

    def unknown(self, name: str, part: str, title: str) -> DataError:
        """What to say of a class that train does not have; `title` is the picture's."""
        like = [known for known in self.names if _letters(known) == _letters(name)]
        hint = f"Train has {printable(like[0])!r}: write both alike" if like else "add some, or remove it"
        return DataError(
            f"{self.place}: {title}: the class {printable(name)!r} of {part} has no pictures in train. "
            f"Classes are the same in every split: {hint}."
        )


def nfc(name: str) -> str:
    """A name with every letter and its accents as one, where there is such a letter."""
    return unicodedata.normalize("NFC", name)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name).casefold())

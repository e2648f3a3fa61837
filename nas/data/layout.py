"""Layout: which folders are splits, which are classes.

Folders whose names are those of splits, and that hold folders, are splits. Where names say nothing, folders that hold
the same folders may be splits too: that is asked, never guessed, since it would train on test pictures.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from nas.data.listing import Listing, Name
from nas.data.splits import SPELLINGS, named_parts, part_of, parts_of, quoted
from nas.errors import DataError

SHOWN = "train/cat/1.jpg"
OWN_LIST = "or list pictures and labels with --data csv:FILE"


@dataclass(frozen=True)
class Layout:
    """Where in a name its split and its class stand."""

    top: int
    """Single folders above the splits or classes."""
    parts: dict[str, str]
    """Folders of splits → ours; none where there are only classes."""
    depths: dict[str, int]
    """Of each split: how many folders lie above its classes, its own included."""
    notes: tuple[str, ...]

    def part_and_class(self, name: Name) -> tuple[str, str] | None:
        """Of a picture, or of a folder of a class with something behind it; None for what lies in no class."""
        inner = name[self.top :]
        if not self.parts:
            return ("train", inner[0]) if len(inner) > 1 else None
        depth = self.depths.get(inner[0], 0) if inner else 0
        return (self.parts[inner[0]], inner[depth]) if depth and len(inner) > depth + 1 else None

    @property
    def unusual(self) -> list[tuple[str, str, int]]:
        """What older versions read otherwise, as fingerprints have it."""
        return sorted(
            (head, part, self.depths[head])
            for head, part in self.parts.items()
            if head not in SPELLINGS or self.depths[head] > 1
        )


class _Tree:
    """Folders by what they hold: folders, pictures (`direct`), and pictures there or deeper (`filled`)."""

    def __init__(self, listing: Listing) -> None:
        self.inside: dict[Name, set[str]] = {}
        for name in listing.folders:
            self.inside.setdefault(name[:-1], set()).add(name[-1])
        self.direct = Counter(name[:-1] for name in listing.pictures)
        self.filled: Counter[Name] = Counter()
        for folder, count in self.direct.items():
            self.filled.update({folder[:depth]: count for depth in range(len(folder) + 1)})
        self.deepest = max(map(len, listing.pictures))

    def filled_inside(self, folder: Name) -> set[str]:
        """Folders right below, with pictures in them or deeper."""
        return {name for name in self.inside.get(folder, ()) if (*folder, name) in self.filled}


def find_layout(place: str, listing: Listing) -> Layout:
    """How pictures are sorted into folders. Raises `DataError` where that is unclear, saying how to name them."""
    tree = _Tree(listing)
    top = _top(tree)
    heads = sorted(tree.inside.get(top, ()))
    loose = f"{place}: pictures lie in a folder for each class, such as {SHOWN}"
    if not heads:
        raise DataError(f"{loose}; there are none.")
    parts = parts_of(heads)
    inside = {head: tree.filled_inside((*top, head)) for head in heads}
    training = [head for head in parts if parts[head] == "train"]
    if set(heads) <= set(SPELLINGS) or any(inside[head] for head in training):
        if len(parts) == 1 and (beside := _beside(tree, top, training[0], heads, inside)):
            raise DataError(
                f"{place}: is {quoted(training)} a split, or a class beside {quoted(beside)}? Call all splits train, "
                f"val and test; a class has no folders in it. Sort them so, {OWN_LIST}."
            )
        return _splits(place, tree, top, heads)
    if training and len(set(parts.values())) > 1:
        raise DataError(f"{loose}; in {quoted(sorted(parts))}, which are called as splits are, pictures lie in none.")
    if len(parts) == len(heads) and any(inside.values()) and (len(heads) == 1 or len(set(parts.values())) > 1):
        named_parts(heads, place)  # which says that there is no train
    for head in heads:
        within = parts_of(sorted(inside[head]))
        if "train" in within.values() and len(set(within.values())) > 1:
            raise DataError(
                f"{place}: splits lie above classes, as in {SHOWN}; here {quoted([head])} holds "
                f"{quoted(sorted(within))}. Name the folder right above them as PATH, sort them so, {OWN_LIST}."
            )
    nested = [head for head in heads if inside[head] and 2 * tree.direct[(*top, head)] < tree.filled[(*top, head)]]
    most = max(inside.values(), key=len)
    if len(nested) > max(1, len(heads) / 2) and all(len(inside[head]) > 1 and inside[head] <= most for head in nested):
        raise DataError(
            f"{place}: {quoted(nested)} hold the same folders ({quoted(sorted(most))}). Are they splits? Then call "
            f"them train, val and test. Are they classes? Then put pictures right into them, {OWN_LIST}."
        )
    return Layout(len(top), {}, {}, ())


def _top(tree: _Tree) -> Name:
    """The single folders above the splits or classes."""
    top: Name = ()
    while True:
        heads = tree.inside.get(top, set())
        if len(heads) != 1 or tree.deepest - len(top) < 3:
            return top
        (head,) = heads
        if head in SPELLINGS or (head.isalpha() and part_of(head) in ("validation", "test")):
            return top
        top = (*top, head)


def _beside(tree: _Tree, top: Name, train: str, heads: list[str], inside: dict[str, set[str]]) -> list[str]:
    """What makes one wonder whether the only folder with the name of a split is one; none where nothing does.

    Others that hold the same folders, or that hold pictures; beside the plain `train` one of these is passed over.
    """
    others = [head for head in heads if head != train and (*top, head) in tree.filled]
    twins = [head for head in others if len(inside[head] & inside[train]) > 1]
    flat = [head for head in others if not inside[head]]
    if train not in SPELLINGS:
        return others
    return twins or (flat if len(flat) > 1 else [])


def _splits(place: str, tree: _Tree, top: Name, heads: list[str]) -> Layout:
    parts, notes = named_parts(heads, place)
    (train,) = [head for head in parts if parts[head] == "train"]
    trained = _classes(tree, (*top, train), {train})
    classes = {head: _classes(tree, (*top, head), {head, parts[head]} - trained[1]) for head in parts}
    unlabelled = [head for head in parts if head != train and not classes[head][1] and (*top, head) in tree.filled]
    if unlabelled:  # as competitions publish their tests
        parts, notes = named_parts([head for head in heads if head not in unlabelled], place)
        notes += (f"Without folders of classes, so without labels, and passed over: {quoted(unlabelled)}.",)
    if extra := [head for head in heads if head not in parts and head not in unlabelled]:
        notes += (f"Folders beside the splits were passed over: {quoted(extra)}.",)
    return Layout(len(top), parts, {head: classes[head][0] for head in parts}, notes)


def _classes(tree: _Tree, split: Name, wrappers: set[str]) -> tuple[int, set[str]]:
    """How many folders lie above a split's classes, and the classes.

    One more than its own where all of them lie in a folder of such a name: `seg_train/seg_train/cat`.
    """
    inside = tree.filled_inside(split)
    if len(inside) == 1 and inside <= wrappers and not tree.direct[split]:
        (only,) = inside
        return 2, tree.filled_inside((*split, only))
    return 1, inside

"""GenotypeIndex: an exact set of genotypes that knows the row of each, some 20 bytes an entry.

A hash table of row numbers in buckets of eight, probed for a whole population at a time. A slot has one byte of its
genotype's hash beside the row, so that others are passed over unread. Hashes only say where to look; packed genotypes
are compared whole, so two different ones are never taken for the same.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas.space.packing import Packing, Words

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]

SLOTS = 8
"""Of a bucket; what does not fit goes into another one."""
FULLEST = 0.6
"""Share of all slots that are taken at most."""
MOST_ROWS = 2**32
CHUNK = 65_536
"""Rows moved at once into a larger table."""


class GenotypeIndex:
    """Rows are numbered in the order in which genotypes first came.

    Populations are `uint8[N, D]`, every index below the number of options that `cardinalities` has for its decision.
    """

    def __init__(self, cardinalities: ArrayLike) -> None:
        self.packing = Packing(cardinalities)
        draw = np.random.default_rng(0x6E6173)
        self._multipliers = draw.integers(1, 2**63, size=self.packing.words, dtype=np.uint64) | np.uint64(1)
        self._words = np.empty((1_024, self.packing.words), dtype=np.uint64)
        self._tags = np.zeros(0, dtype=np.uint8)
        self._rows = np.zeros(0, dtype=np.uint32)
        self._size = 0
        self._build(256)

    def __len__(self) -> int:
        return self._size

    def genotypes(self, rows: slice | Rows = slice(None)) -> NDArray[np.uint8]:
        """Every genotype, by row, or those of some rows: `uint8[len(rows), D]`."""
        return self.packing.unpack(self._words[: self._size][rows])

    def find(self, population: NDArray[np.uint8]) -> Rows:
        """The row of each genotype, -1 where it is not here."""
        words = self.packing.pack(population)
        return self._find(words, self._hash(words))

    def first_new(self, population: NDArray[np.uint8], known_new: int = 0) -> NDArray[np.bool_]:
        """Marks the genotypes that are neither here nor earlier in the population.

        The first `known_new` are not looked up again: they are not here and differ from each other.
        """
        words = self.packing.pack(population)
        hashes = self._hash(words)
        fresh = np.ones(len(words), dtype=bool)
        fresh[known_new:] = self._find(words[known_new:], hashes[known_new:]) < 0
        new = np.flatnonzero(fresh)
        owners = _first_equal(words[new], hashes[new])
        fresh[new[owners != np.arange(len(new))]] = False
        return fresh

    def add(self, population: NDArray[np.uint8]) -> Rows:
        """Add those that are new, in order; returns the row of every genotype given."""
        words = self.packing.pack(population)
        hashes = self._hash(words)
        rows = self._find(words, hashes)
        new = np.flatnonzero(rows < 0)
        owners = _first_equal(words[new], hashes[new])
        first = owners == np.arange(len(new))
        rows[new] = len(self) + (np.cumsum(first) - 1)[owners]
        self._append(words[new[first]], hashes[new[first]])
        return rows

    def add_new(self, population: NDArray[np.uint8]) -> bool:
        """Add a population if all of it is new and each different; says whether it was, and adds nothing otherwise."""
        words = self.packing.pack(population)
        hashes = self._hash(words)
        if (self._find(words, hashes) >= 0).any() or (_first_equal(words, hashes) != np.arange(len(words))).any():
            return False
        self._append(words, hashes)
        return True

    def reserve(self, size: int) -> None:
        """Make room for so many genotypes at once, where that is known."""
        if size > MOST_ROWS:
            raise MemoryError(f"an index holds at most {MOST_ROWS:,} genotypes")
        if size > len(self._words):
            grown = np.empty((max(size, 2 * len(self._words)), self._words.shape[1]), dtype=np.uint64)
            grown[: self._size] = self._words[: self._size]
            self._words = grown
        if size > FULLEST * SLOTS * len(self._taken):
            self._build(1 << (int(size / (FULLEST * SLOTS)) + 1).bit_length())

    def _append(self, words: Words, hashes: Hashes) -> None:
        """Further rows, different from each other and from all that is here."""
        start, end = len(self), len(self) + len(words)
        self.reserve(end)
        self._words[start:end] = words
        self._insert(hashes, np.arange(start, end, dtype=np.uint32))
        self._size = end

    def _build(self, buckets: int) -> None:
        """A new table of so many buckets, a power of two, with all that is here."""
        del self._tags, self._rows  # before the larger ones are made
        self._taken = np.zeros(buckets, dtype=np.uint8)
        self._tags = np.zeros(buckets * SLOTS, dtype=np.uint8)
        self._rows = np.zeros(buckets * SLOTS, dtype=np.uint32)
        for start in range(0, self._size, CHUNK):
            end = min(start + CHUNK, self._size)
            self._insert(self._hash(self._words[start:end]), np.arange(start, end, dtype=np.uint32))

    def _hash(self, words: Words) -> Hashes:
        mixed = cast(Hashes, np.einsum("nw,w->n", words, self._multipliers))
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
        return mixed

    def _find(self, words: Words, hashes: Hashes) -> Rows:
        found = np.full(len(words), -1, dtype=np.int64)
        pending = np.arange(len(words) if self._size else 0)  # of an empty one there is no row to compare with
        places, tags = self._places(hashes)
        while len(pending):
            alike = self._tags.reshape(-1, SLOTS).take(places, axis=0) == tags[:, None]
            hits = np.flatnonzero(alike.view(np.uint64))  # eight at once
            query, slot = np.nonzero(alike[hits])
            query = hits[query]
            rows = self._rows.take(places[query] * SLOTS + slot)
            same = _equal(self._words.take(rows, axis=0), words.take(pending[query], axis=0))
            found[pending[query[same]]] = rows[same]
            on = np.flatnonzero(self._taken.take(places) == SLOTS)
            on = on[found.take(pending[on]) < 0]
            pending, tags = pending[on], tags[on]
            places = self._after(places[on], tags)
        return found

    def _insert(self, hashes: Hashes, rows: NDArray[np.uint32]) -> None:
        """Enter rows of genotypes that differ and are not here."""
        places, tags = self._places(hashes)
        while len(rows):
            taken = self._taken.take(places)
            free = np.flatnonzero(taken < SLOTS)
            slots, wanting = places[free] * SLOTS + taken[free], rows[free]
            self._rows[slots] = wanting  # of several that want one slot the last stays
            won = np.flatnonzero(self._rows.take(slots) == wanting)
            self._tags[slots[won]] = tags[free[won]]
            self._taken[places[free[won]]] += 1
            full = np.flatnonzero(taken == SLOTS)
            places[full] = self._after(places[full], tags[full])
            left = np.ones(len(rows), dtype=bool)
            left[free[won]] = False
            places, tags, rows = places[left], tags[left], rows[left]

    def _places(self, hashes: Hashes) -> tuple[Rows, NDArray[np.uint8]]:
        """The bucket where each search begins, and the tag, from other bits of the hash."""
        mask = np.uint64(len(self._taken) - 1)
        return (hashes & mask).astype(np.int64), (hashes >> np.uint64(56)).astype(np.uint8)

    def _after(self, places: Rows, tags: NDArray[np.uint8]) -> Rows:
        """The bucket to go on with after a full one: steps differ, so that full ones do not cluster."""
        return (places + 2 * tags.astype(np.int64) + 1) & (len(self._taken) - 1)


def _equal(left: Words, right: Words) -> NDArray[np.bool_]:
    """Which rows are the same."""
    alike = left == right
    return cast(NDArray[np.bool_], alike[:, 0] if alike.shape[1] == 1 else alike.all(axis=1))


def _first_equal(words: Words, hashes: Hashes) -> Rows:
    """For each row of `words`, the index of the first row that equals it.

    Rows are entered into a table by their hash, the first ones last, so that these stay; who finds itself or an equal
    there is done, and the others try again among themselves.
    """
    owners, pending = np.arange(len(words)), np.arange(len(words))
    mask = np.uint64((1 << (16 * len(words)).bit_length()) - 1)
    table = np.empty(int(mask) + 1, dtype=np.int64)
    places = (hashes & mask).astype(np.int64)
    while len(pending):
        table[places[::-1]] = pending[::-1]
        first = table.take(places)
        same = _equal(words.take(first, axis=0), words.take(pending, axis=0))
        owners[pending[same]] = first[same]
        pending, places = pending[~same], places[~same]
    return owners

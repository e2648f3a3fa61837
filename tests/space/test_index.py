"""The exact set of genotypes against a dictionary of bytes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.space.index import GenotypeIndex
from nas.space.packing import Packing


@settings(max_examples=50, deadline=None)
@given(width=st.integers(0, 120), options=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_rows_are_those_of_a_dictionary(width: int, options: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, rows = GenotypeIndex([options] * width), {}
    for _ in range(8):
        population = rng.integers(0, options, size=(rng.integers(0, 40), width)).astype(np.uint8)
        before = dict(rows)
        first_new = found.first_new(population)
        surely = found.first_new(np.concatenate([population[first_new], population]), first_new.sum())
        assert surely.tolist() == [True] * first_new.sum() + [False] * len(population)
        expected = [rows.setdefault(genotype.tobytes(), len(rows)) for genotype in population]
        assert found.add(population).tolist() == expected
        assert first_new.sum() == len(rows) - len(before)
        assert len(found) == len(rows)
    assert [genotype.tobytes() for genotype in found.genotypes()] == list(rows)


def test_equal_hashes_are_told_apart(monkeypatch: object) -> None:
    monkeypatch.setattr(GenotypeIndex, "_hash", lambda self, words: np.zeros(len(words), dtype=np.uint64))
    found = GenotypeIndex([10, 10])
    population = np.array([[0, 1], [1, 0], [0, 1], [2, 2]], dtype=np.uint8)
    assert found.first_new(population).tolist() == [True, True, False, True]
    assert found.add(population).tolist() == [0, 1, 0, 2]
    assert found.find(np.array([[1, 0], [9, 9]], dtype=np.uint8)).tolist() == [1, -1]


def test_it_grows() -> None:
    found = GenotypeIndex([256, 256, 256])
    population = np.random.default_rng(0).integers(0, 256, size=(50_000, 3)).astype(np.uint8)
    rows = found.add(population)
    assert (found.genotypes(rows) == population).all()
    assert (found.find(population) == rows).all()


def test_a_thousand_equal_hashes_fill_many_buckets(monkeypatch: object) -> None:
    monkeypatch.setattr(GenotypeIndex, "_hash", lambda self, words: np.full(len(words), 5, dtype=np.uint64))
    found = GenotypeIndex([256, 256])
    population = np.random.default_rng(0).permutation(65_536)[:1_000].astype(np.uint16).view(np.uint8).reshape(-1, 2)
    for part in np.array_split(population, 7):
        assert found.add_new(part)
    assert found.find(population).tolist() == list(range(1_000))
    assert not found.add_new(population[500:501])
    assert not found.add_new(np.repeat(np.array([[7, 7]], dtype=np.uint8), 2, axis=0))
    assert len(found) == 1_000


@settings(max_examples=100, deadline=None)
@given(options=st.lists(st.integers(1, 256), max_size=40), seed=st.integers(0, 2**32 - 1))
def test_packing_is_undone_by_unpacking(options: list[int], seed: int) -> None:
    packing = Packing(options)
    population = (np.random.default_rng(seed).random((50, len(options))) * options).astype(np.uint8)
    population[-1] = np.array(options, dtype=np.int64) - 1
    packed = packing.pack(population)
    assert packing.fits(population)
    assert packed.shape == (50, packing.words)
    assert (packing.unpack(packed) == population).all()
    assert len(np.unique(packed, axis=0)) == len(np.unique(population, axis=0)) if options else True


def test_how_many_words_a_space_takes() -> None:
    assert Packing([3, 2, 3, 2] * 7).words == 1
    assert Packing([9] * 22).words == 2
    assert Packing([4] * 1_000).words == 39  # 26 decisions of two bits in 53
    assert not Packing([4, 4]).fits(np.array([[3, 3], [0, 4]], dtype=np.uint8))

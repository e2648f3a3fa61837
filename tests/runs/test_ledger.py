"""The ledger file: what was appended is read back, whatever was cut off its end."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from nas.errors import RunError
from nas.runs import ledger_file
from nas.runs.ledger import Ledger
from nas.runs.ledger_file import LedgerFile

COLUMNS = ("accuracy", "latency_ms")
OPTIONS = (3, 3, 3, 10)


def _fill(path: Path, batches: int = 5) -> Ledger:
    ledger = Ledger.open(path, OPTIONS, COLUMNS)
    rng = np.random.default_rng(0)
    for _ in range(batches):
        population = rng.integers(0, 3, size=(20, 4)).astype(np.uint8)  # 81 genotypes: repeats within and across
        ledger.append(population, lambda new: {name: rng.random(len(new)) for name in COLUMNS})
    return ledger


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    first = _fill(tmp_path / "ledger.bin")
    first.close()
    second = Ledger.open(tmp_path / "ledger.bin", OPTIONS, COLUMNS)
    assert second.blocks == first.blocks
    assert (second.genotypes() == first.genotypes()).all()
    assert (second.index.genotypes() == second.genotypes()).all()
    for name in COLUMNS:
        assert (second.measures()[name] == first.measures()[name]).all()
    second.close()


def test_any_rows_are_read_back_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = _fill(tmp_path / "ledger.bin")
    ledger.close()
    genotypes, accuracy = ledger.genotypes(), ledger.measures()["accuracy"]
    monkeypatch.setattr(ledger_file, "STRETCH", 7)
    rows = np.random.default_rng(1).integers(len(ledger), size=100)
    assert (ledger.genotypes(rows) == genotypes[rows]).all()
    assert (ledger.measures(rows)["accuracy"] == accuracy[rows]).all()
    assert (ledger.genotypes(slice(3, 50)) == genotypes[3:50]).all()
    assert ledger.genotypes(rows[:0]).shape == (0, 4)
    stretches = list(ledger.stretches())
    assert [first for first, _ in stretches] == list(range(0, len(ledger), 7))
    assert (np.concatenate([measures["accuracy"] for _, measures in stretches]) == accuracy).all()


def test_a_replay_gives_what_was_asked_and_its_measures(tmp_path: Path) -> None:
    path, rng, asked = tmp_path / "ledger.bin", np.random.default_rng(0), []
    ledger = Ledger.open(path, OPTIONS, COLUMNS)
    for _ in range(6):
        population = rng.integers(0, 3, size=(20, 4)).astype(np.uint8)
        told = ledger.append(population, lambda new: {name: rng.random(len(new)) for name in COLUMNS})
        asked.append((population, told))
    ledger.close()
    replayed = list(LedgerFile.read(path, 4, COLUMNS).replay())
    assert sum(block.asked for block in ledger.blocks) > 0  # some were known before
    assert len(replayed) == len(asked)
    for (population, told), (again, measures) in zip(asked, replayed, strict=True):
        assert (again == population).all()
        assert all((measures[name] == told[name]).all() for name in COLUMNS)
        rows = ledger.index.find(population)
        assert (told["accuracy"] == ledger.measures(rows)["accuracy"]).all()


def test_cut_anywhere_whole_batches_survive(tmp_path: Path) -> None:
    path = tmp_path / "ledger.bin"
    full = _fill(path)
    full.close()
    content, genotypes = path.read_bytes(), full.genotypes()
    kept = set()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        ledger = Ledger.open(path, OPTIONS, COLUMNS)
        whole = len(ledger.blocks)
        kept.add(whole)
        assert ledger.blocks == full.blocks[:whole]
        assert (ledger.genotypes() == genotypes[: len(ledger)]).all()
        ledger.append(
            np.array([[0, 0, 0, 9]], np.uint8), lambda new: {name: np.zeros(len(new)) for name in COLUMNS}
        )  # and it goes on
        ledger.close()
        again = Ledger.open(path, OPTIONS, COLUMNS)
        assert len(again.blocks) == whole + 1
        again.close()
    assert kept == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_ends_what_is_trusted(tmp_path: Path, place: float) -> None:
    path = tmp_path / "ledger.bin"
    full = _fill(path)
    full.close()
    content, genotypes = bytearray(path.read_bytes()), full.genotypes()
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    ledger = Ledger.open(path, OPTIONS, COLUMNS)
    assert len(ledger.blocks) < 5
    assert (ledger.genotypes() == genotypes[: len(ledger)]).all()
    ledger.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    ledger = _fill(tmp_path / "ledger.bin")
    with pytest.raises(RunError, match="another process"):
        Ledger.open(tmp_path / "ledger.bin", OPTIONS, COLUMNS)
    ledger.close()


def test_a_ledger_of_something_else_is_refused(tmp_path: Path) -> None:
    _fill(tmp_path / "ledger.bin").close()
    with pytest.raises(RunError, match="another space or objective"):
        Ledger.open(tmp_path / "ledger.bin", (*OPTIONS, 3), COLUMNS)
    (tmp_path / "text.bin").write_text("hello, world")
    with pytest.raises(RunError, match="another space or objective"):
        Ledger.open(tmp_path / "text.bin", OPTIONS, COLUMNS)


def _block(number: int, genotypes: np.ndarray, asked: tuple[int, ...] = ()) -> bytes:
    """A block with a right checksum, whatever is in it."""
    payload = genotypes.astype(np.uint8).tobytes() + np.ones((len(genotypes), 2)).tobytes() + np.int64(asked).tobytes()
    counts = (b"NASB", number, len(genotypes), len(asked))
    head = struct.Struct("<4sIIII")
    return head.pack(*counts, zlib.crc32(payload, zlib.crc32(head.pack(*counts, 0)))) + payload


@pytest.mark.parametrize(
    "block",
    [
        _block(5, np.array([[0, 0, 0, 4], [0, 0, 0, 4]])),  # the same twice
        _block(5, np.array([[0, 0, 0, 4], [3, 0, 0, 0]])),  # an option that is not there
        _block(5, np.array([[0, 0, 0, 4]]), (10_000,)),  # a row that is not there
        _block(5, np.array([[0, 0, 0, 4]]), (-1,)),
        _block(6, np.array([[0, 0, 0, 4]])),  # out of order
        struct.pack("<4sIIII", b"NASB", 5, 2**32 - 1, 2**32 - 1, 0),  # 160 GB, by its own account
    ],
)
def test_what_is_not_of_our_writing_ends_what_is_trusted(tmp_path: Path, block: bytes) -> None:
    path = tmp_path / "ledger.bin"
    full = _fill(path)
    full.close()
    rows, whole = len(full), path.read_bytes()
    path.write_bytes(whole + block)
    ledger = Ledger.open(path, OPTIONS, COLUMNS)
    assert (len(ledger), len(ledger.index), len(ledger.blocks)) == (rows, rows, 5)
    ledger.close()
    assert path.read_bytes() == whole


def test_memory_grows_by_few_bytes_an_evaluation(tmp_path: Path) -> None:
    """28 decisions of up to 3 options are one word: 8 bytes, and a slot of 5 in a table that is 30 to 60 % full."""
    options, rng = np.array([3, 2, 3, 2] * 7), np.random.default_rng(0)
    table = np.zeros((1_000, 2))
    tracemalloc.start()
    try:
        ledger = Ledger.open(tmp_path / "ledger.bin", options, COLUMNS)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(250):
            population = (rng.random((1_000, 28)) * options).astype(np.uint8)
            ledger.append(population, lambda new: {name: table[: len(new), 0] for name in COLUMNS})
        grown = tracemalloc.get_traced_memory()[0] - before
        ledger.close()
        before = tracemalloc.get_traced_memory()[0]
        again = Ledger.open(tmp_path / "ledger.bin", options, COLUMNS)
        read = tracemalloc.get_traced_memory()[0] - before
        again.close()
    finally:
        tracemalloc.stop()
    assert len(again) == len(ledger) > 249_000
    assert grown / len(ledger) < 40  # with room for as much again; what is not yet touched is not yet memory
    assert read / len(ledger) < 30

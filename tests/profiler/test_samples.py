"""Samples: what was measured is kept, whatever becomes of the process; what is no sample is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.devices.device import Fault, Sample
from nas.errors import TableError
from nas.profiler.samples import Samples, read_samples


def sample(
    probe: str = "a", session: str = "s0", slice_: int = 0, ns: tuple[float, ...] = (2e6, 1e6), **more: Any
) -> Sample:
    return Sample(probe, session, slice_, **{"at_s": 0.5, "batch": 1, "ns": ns, "checksum": 1.0} | more)


ALNUM = st.text("abcXYZ019", min_size=1, max_size=12)
TIMES = st.floats(1e-3, 9.9e11)
SAMPLES = st.builds(
    Sample,
    probe=ALNUM,
    session=ALNUM,
    slice=st.integers(0, 10_000),
    at_s=st.floats(0, 1e9),
    batch=st.integers(1, 10**6),
    ns=st.lists(TIMES, min_size=1, max_size=5).map(tuple),
    checksum=st.just(0.25),
)


def read(path: Path) -> list[tuple[int, Sample]]:
    return read_samples(path)[0]


@settings(max_examples=60, deadline=None)
@given(taken=st.lists(st.tuples(st.integers(0, 2**31 - 1), SAMPLES), max_size=12), split=st.integers(0, 12))
def test_what_was_added_is_read_back(
    taken: list[tuple[int, Sample]], split: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("samples") / "samples.jsonl"
    for part in (taken[:split], taken[split:]):  # closed and opened again in between
        samples = Samples(path)
        for number, item in part:
            samples.add(number, item)
        samples.close()
    again = Samples(path)
    names = {item.probe for _, item in taken}
    assert again.of(names) == taken == read(path)
    assert len(again) == len(taken)
    assert again.next_round == max((number for number, _ in taken), default=-1) + 1
    for name in names:
        assert again.sessions(name) == len({item.session for _, item in taken if item.probe == name})
    assert again.sessions("never measured") == 0
    again.close()


@settings(max_examples=40, deadline=None)
@given(lost=st.integers(1, 400))
def test_a_last_line_that_was_cut_off_is_written_over(lost: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Wherever a crash cuts the file: all whole lines are there, and it can be written on."""
    path = tmp_path_factory.mktemp("samples") / "samples.jsonl"
    taken = [(0, sample(slice_=n)) for n in range(4)]
    samples = Samples(path)
    for number, item in taken:
        samples.add(number, item)
    samples.close()
    content = path.read_bytes()
    left = content[: max(0, len(content) - lost)]
    path.write_bytes(left)
    whole = left.count(b"\n")
    cut = Samples(path)
    assert cut.of({"a"}) == taken[:whole]
    cut.add(9, sample(slice_=77))
    cut.close()
    assert read(path) == [*taken[:whole], (9, sample(slice_=77))]


def test_nothing_is_left_of_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """However long it is: a line of many runs, for example."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(json.dumps(LINE).encode() + b"\n" + b'{"round": 0, "ns": [' + b"1000000.0, " * 500)
    samples = Samples(path)
    samples.add(1, sample(slice_=5))
    samples.close()
    assert read(path) == [(0, sample()), (1, sample(slice_=5))]
    assert path.read_bytes().endswith(b"}\n")


def test_a_sample_is_on_disk_at_once(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")
    samples.add(3, sample())
    assert read(tmp_path / "samples.jsonl") == [(3, sample())]  # before it is closed
    samples.close()


LINE = {"round": 0, **sample().to_json()}


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"",
        b"[]",
        b"7",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({name: value for name, value in LINE.items() if name != "round"}).encode(),
        json.dumps({name: value for name, value in LINE.items() if name != "ns"}).encode(),
        *(
            json.dumps(LINE | change).encode()
            for change in (
                {"round": -1},
                {"round": True},
                {"round": 2**31},
                {"round": 1.0},
                {"ns": [float("nan")]},
                {"ns": [-1.0]},
                {"ns": [0]},
                {"ns": []},
                {"ns": [1e6, float("inf")]},
                {"ns": ["1e6"]},
                {"ns": 1e6},
                {"checksum": float("nan")},
                {"checksum": -1.0},
                {"at_s": -0.5},
                {"slice": -1},
                {"slice": 0.5},
                {"batch": 0},
                {"probe": None},
                {"probe": ["a"]},
                {"session": ""},
                {"session": "../etc"},
                {"extra": 1},
            )
        ),
    ],
    ids=lambda line: line[-60:].decode("latin-1"),
)
def test_a_line_that_is_no_sample_is_an_error_that_names_it(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    good = json.dumps(LINE).encode()
    content = b"\n".join([good, good, line, good, b""])
    path.write_bytes(content)
    with pytest.raises(TableError) as caught:
        Samples(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: line 3: not a sample: ")
    assert message.replace("\n", "").isprintable()
    assert len(message) < 300 + len(str(path))
    assert path.read_bytes() == content


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.profiler.samples.MAX_SAMPLES_BYTES", 100)
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b"x" * 101)
    with pytest.raises(TableError, match="at most 100 bytes"):
        Samples(path)
    path.write_bytes(b"x" * 100)  # one line, cut off
    samples = Samples(path)
    assert len(samples) == 0
    samples.close()


def test_another_output_than_before_is_a_fault_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    samples = Samples(path)
    samples.add(0, sample(checksum=2.0))
    samples.add(0, sample(slice_=1, checksum=2.0199))  # within one percent
    samples.add(0, sample(probe="b", checksum=77.0))
    for checksum in (2.0201, 1.9799, 0.0):
        with pytest.raises(Fault, match="instead of 2:") as caught:
            samples.add(0, sample(slice_=2, checksum=checksum))
        assert "\n" not in str(caught.value)
    assert len(samples) == 3
    samples.close()
    again = Samples(path)  # the reader holds it against the same
    assert len(again) == 3
    with pytest.raises(Fault, match="cannot be trusted"):
        again.add(1, sample(checksum=0.1))
    again.close()


def test_a_model_may_compute_zeros(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")
    samples.add(0, sample(checksum=0.0))
    samples.add(0, sample(checksum=0.0, slice_=1))
    with pytest.raises(Fault, match="instead of 0"):
        samples.add(0, sample(checksum=1e-6, slice_=2))
    samples.close()


def test_slices_are_numbered(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.jsonl")
    for number, item in (
        (0, sample("a", "s1", 0, (3e6, 2e6, 4e6))),
        (0, sample("b", "s2", 0, (5e6,))),
        (0, sample("other", "s3", 0, (1e6,))),
        (0, sample("b", "s2", 1, (6e6, 7e6))),
        (0, sample("a", "s1", 1, (8e6,))),
        (4, sample("a", "s4", 0, (9e6,))),  # the same number of a pass, of another round
    ):
        samples.add(number, item)
    found = samples.slices(["b", "a"])
    samples.close()
    assert found.names == ("b", "a")
    assert found.probe.tolist() == [1, 0, 0, 1, 1]
    assert found.session.tolist() == [0, 1, 1, 0, 2]
    assert found.passed.tolist() == [0, 0, 1, 1, 2]
    np.testing.assert_allclose(found.ms, [2.0, 5.0, 6.0, 8.0, 9.0])  # the best run of each


def test_adopted_samples_have_rounds_of_their_own(tmp_path: Path) -> None:
    theirs = [(0, sample("b", "t0")), (0, sample("c", "t1")), (2, sample("b", "t2", at_s=60.0))]
    samples = Samples(tmp_path / "samples.jsonl")
    for number in (0, 1):
        samples.add(number, sample("a", f"s{number}"))
    samples.adopt(theirs)
    assert [(number, item.probe, item.session) for number, item in samples.of({"b", "c"})] == [
        (2, "b", "t0"),
        (2, "c", "t1"),
        (4, "b", "t2"),
    ]
    assert [item.ns for _, item in samples.of({"b"})] == [theirs[0][1].ns, theirs[2][1].ns]
    assert samples.next_round == 5
    assert samples.sessions("b") == 2
    samples.close()
    assert len(read(tmp_path / "samples.jsonl")) == 5


def test_adopted_samples_took_no_time_here(tmp_path: Path) -> None:
    """Or what another table's measuring took would be taken from this one's budget."""
    samples = Samples(tmp_path / "samples.jsonl")
    samples.adopt([(0, sample("b", at_s=70.0))])
    assert [item.at_s for _, item in samples.of({"b"})] == [0.0]
    samples.close()


def test_two_processes_do_not_write_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    first = Samples(path)
    first.add(0, sample())
    with pytest.raises(TableError, match="another process"):
        Samples(path)
    first.close()
    second = Samples(path)
    assert len(second) == 1
    second.close()


def test_reading_leaves_the_file_alone(tmp_path: Path) -> None:
    """Another process may be in the middle of a line."""
    path = tmp_path / "samples.jsonl"
    content = json.dumps(LINE).encode() + b'\n{"round": 0, "pro'
    path.write_bytes(content)
    assert read_samples(path) == ([(0, sample())], content.index(b"\n") + 1)
    assert path.read_bytes() == content


def test_sessions_are_told_apart_by_their_probe_too(tmp_path: Path) -> None:
    """A device that counts its sessions anew for each probe."""
    samples = Samples(tmp_path / "samples.jsonl")
    samples.add(0, sample("a", "1"))
    samples.add(0, sample("b", "1"))
    assert samples.slices(["a", "b"]).session.tolist() == [0, 1]
    samples.close()


def test_boards_of_a_pool_are_kept_and_told_apart(tmp_path: Path) -> None:
    """Also where their sessions have the same name; samples of one board do not say which."""
    path = tmp_path / "samples.jsonl"
    samples = Samples(path)
    taken = [(0, sample(board=board, slice_=number)) for number, board in enumerate(("ssh:a", "ssh:b", "ssh:a"))]
    for number, item in taken:
        samples.add(number, item)
    assert samples.sessions("a") == 2
    slices = samples.slices(["a"])
    assert slices.boards == ("ssh:a", "ssh:b")
    assert slices.board is not None
    assert slices.board.tolist() == slices.session.tolist() == [0, 1, 0]
    samples.close()
    assert read(path) == taken
    assert "board" not in sample().to_json()
    for wrong in ("x" * 201, "a\n", 3, None):
        line = {"round": 0, **sample().to_json(), "board": wrong}
        path.write_text(json.dumps(line) + "\n")
        with pytest.raises(TableError, match="`board` is up to 200 printable"):
            read(path)

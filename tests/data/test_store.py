"""Decoded pictures on the disk: kept whole or not at all, checked when read, done without where there is no room."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.data import Data, DataError, Split, decoding, load_data, store

Make = Callable[..., Path]


@pytest.fixture
def pictures(folder: Make) -> Path:
    return folder({"train/a": 12, "train/b": 12, "test/a": 3, "test/b": 3})


def load(path: Path, **options: object) -> Data:
    return load_data(f"imagefolder:{path}", 16, **options)


def equal(one: Data, other: Data) -> bool:
    return one.fingerprint == other.fingerprint and all(
        np.array_equal(getattr(one, name).pictures, getattr(other, name).pictures)
        and np.array_equal(getattr(one, name).labels, getattr(other, name).labels)
        for name in store.NAMES
    )


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("decoded again")


def test_decoded_once(pictures: Path, cache: Path, told: object, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(pictures, teller=told)
    assert told.shares[-1] == (30, 30, "pictures")
    monkeypatch.setattr(store, "decode_all", refuse)
    second = load(pictures)
    assert equal(first, second)
    assert (second.mean, second.std, second.notes) == (first.mean, first.std, first.notes)
    assert isinstance(second.train.pictures, np.memmap)
    assert not second.train.pictures.flags.writeable
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [first.fingerprint[:32]]


@pytest.mark.parametrize("change", ["size", "time", "resolution", "seed", "held_out", "new"])
def test_whatever_changes_the_pictures_changes_the_fingerprint(pictures: Path, change: str, png: Make) -> None:
    first = load(pictures)
    options: dict[str, object] = {}
    if change == "size":
        (pictures / "train/a/0.png").write_bytes(png(1, (9, 9)))
    elif change == "time":
        os.utime(pictures / "train/a/0.png", (1, 1))
    elif change == "new":
        (pictures / "train/a/new.png").write_bytes(png(1))
    elif change != "resolution":
        options = {"seed": 1} if change == "seed" else {"held_out": 0.3}
    second = load_data(f"imagefolder:{pictures}", 8 if change == "resolution" else 16, **options)
    assert second.fingerprint != first.fingerprint


def test_a_moved_folder_is_the_same(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(pictures)
    shutil.move(pictures, tmp_path / "elsewhere")
    monkeypatch.setattr(store, "decode_all", refuse)
    assert equal(first, load(tmp_path / "elsewhere"))


@pytest.mark.parametrize("damage", ["missing", "cut", "shape", "dtype", "labels", "about", "pickle"])
def test_what_is_damaged_is_decoded_again(pictures: Path, cache: Path, told: object, damage: str) -> None:
    first = load(pictures)
    train = Split(np.array(first.train.pictures), first.train.labels)  # a map of a file that is cut ends the process
    first = replace(first, train=train)
    kept = cache / first.fingerprint[:32]
    path = kept / "train.npy"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "shape":
        np.save(path, np.zeros((3, 16, 16, 3), np.uint8))
    elif damage == "dtype":
        np.save(path, np.zeros((20, 16, 16, 3), np.int8))
    elif damage == "labels":
        np.save(kept / "test-labels.npy", np.full(6, 2))
    elif damage == "about":
        (kept / "about.json").write_text('{"mean": [0, 0, 0]')
    else:
        np.save(kept / "test-labels.npy", np.array([{}] * 6), allow_pickle=True)
    assert equal(load(pictures, teller=told), first)
    assert told.lines == [f"{kept}: the pictures kept there are damaged; they are decoded again."]
    assert equal(load(pictures), first)


def test_what_a_killed_process_began_is_not_taken_for_whole(pictures: Path, cache: Path) -> None:
    program = """if True:
        import os, signal, sys
        from nas.data import load_data, store
        def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
        store._statistics = kill
        load_data(sys.argv[1], 16)
    """
    result = subprocess.run([sys.executable, "-c", program, f"imagefolder:{pictures}"], check=False)
    assert result.returncode == -9
    (part,) = cache.glob("*.part")
    assert (part / "train.npy").stat().st_size > 0
    data = load(pictures)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [data.fingerprint[:32]]
    assert data.train.pictures.any(axis=(1, 2, 3)).all()


def test_failing_leaves_nothing(pictures: Path, cache: Path) -> None:
    (pictures / "train/a/x.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"x\.png"):
        load(pictures)
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_cache_that_cannot_be_written(
    pictures: Path, cache: Path, told: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(pictures)
    blocked = cache.parent.parent.parent / "blocked"
    blocked.write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    second = load(pictures, teller=told)
    assert equal(first, second)
    assert "they stay in memory for this run" in told.lines[0]


def test_a_full_disk(pictures: Path, told: object, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert len(load(pictures, teller=told).train) == 20
    assert "they are 23,040 bytes, 1,000 are free" in told.lines[0]  # 30 pictures of 16 x 16 x 3
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_disk_that_fills_up(pictures: Path, told: object, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, row: int, picture: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._File, "put", fail)
    assert len(load(pictures, teller=told).train) == 20
    assert "(No space left on device)" in told.lines[0]
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_two_processes_build_once(pictures: Path, cache: Path) -> None:
    program = "import sys; from nas.data import load_data; print(load_data(sys.argv[1], 16).fingerprint)"
    command = [sys.executable, "-c", program, f"imagefolder:{pictures}"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    prints = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert len(prints) == 1


def test_workers_give_the_same_pictures(
    folder: Make, cache: Path, told: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder({"a": 40, "b": 40}, {"b/x.png": b"text"})
    alone = load(root, skip_broken=True)
    shutil.rmtree(cache)
    monkeypatch.setattr(decoding, "FEW", 10)
    monkeypatch.setattr(decoding, "CHUNK", 7)
    monkeypatch.setattr(decoding, "_processors", lambda: 2)
    started = len(multiprocessing.active_children())
    together = load(root, skip_broken=True, teller=told)
    assert equal(alone, together)
    assert together.notes == alone.notes
    assert told.shares[-1] == (81, 81, "pictures")
    assert len(multiprocessing.active_children()) == started


def test_a_script_without_a_guard_is_told_so(folder: Make, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom nas.data import decoding, load_data\n"
        "decoding.FEW, decoding._processors = 5, lambda: 2\n"
        "load_data(sys.argv[1], 16)\n"
    )
    command = [sys.executable, str(script), f"imagefolder:{folder({'a': 9, 'b': 9})}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert 'A script that loads data does so below `if __name__ == "__main__":`' in result.stderr
    assert "lacks `if __name__" in result.stderr.splitlines()[-1]


def test_importing_is_quick() -> None:
    program = "import sys, nas.data; print([name for name in ('torch', 'pandas', 'sklearn') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


def test_statistics_by_hand() -> None:
    pictures = np.zeros((2, 1, 1, 3), np.uint8)
    pictures[1] = [255, 51, 0]
    mean, std = store._statistics(pictures)
    assert mean == pytest.approx((0.5, 0.1, 0))  # 51 / 255 = 0.2
    assert std == pytest.approx((0.5, 0.1, 1e-3))  # guarded


def test_room_nowhere(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    with pytest.raises(DataError, match="23,040 bytes of pictures fit neither the disk nor the memory"):
        load(pictures)


def test_decoding_processes_end_with_the_one_they_decode_for() -> None:
    program = (
        "import multiprocessing, os, time; from concurrent.futures import ProcessPoolExecutor\n"
        "from nas.data.decoding import _serve\n"
        "pool = ProcessPoolExecutor(1, multiprocessing.get_context('spawn'), initializer=_serve)\n"
        "print(pool.submit(os.getpid).result(), flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        worker = int(first.stdout.readline())
        os.kill(worker, signal.SIGHUP)  # a terminal sends it to all; the first one answers it
        first.kill()
    for _ in range(200):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("a process that decodes outlived the one that it decodes for")

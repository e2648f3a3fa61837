"""A full disk, a read-only medium, a folder that is gone: one or two lines, and the last state stays valid."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_run import Done, before, content, nas, snapshot

from nas.system.atomic import write_all_atomic

BUDGET = ["--budget", "100"]


class Disk:
    """A small disk: a tmpfs, whose size and mode are changed as it is used."""

    def __init__(self, place: Path, kib: int) -> None:
        self.folder = place
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)], check=True)

    def change(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def free(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Disk]]:
    if os.geteuid() != 0:
        pytest.skip("mounting a disk of a few kilobytes needs root")
    disks: list[Disk] = []

    def make(kib: int) -> Disk:
        place = tmp_path / f"disk{len(disks)}"
        place.mkdir()
        disks.append(Disk(place, kib))
        return disks[-1]

    yield make
    for each in disks:
        each.free()


@pytest.fixture(scope="module")
def undisturbed(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    nas(*small, *BUDGET, "--out", "run", cwd=folder)
    return folder / "run"


def told(done: Done, *words: str) -> None:
    """Exit code 2 and one or two lines, with these words in them."""
    assert done.code == 2, done
    assert done.stdout == ""
    assert 1 <= len(done.stderr.splitlines()) <= 2, done.stderr
    assert "mistake in nas" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_a_search_on_a_full_disk_goes_on_when_there_is_room(
    small: list[str], undisturbed: Path, disk: Callable[[int], Disk], tmp_path: Path
) -> None:
    stops = set()
    for kib in (4, 8, 20, 32, 44, 68, 200):
        place = disk(kib)
        run = place.folder / "run"
        done = nas(*small, *BUDGET, "--out", str(run), cwd=tmp_path, code=None)
        if done.code == 0:  # at most the report found no room
            stops.add("report" if "no report was written" in done.stderr else "end")
            assert (run / "report.html").exists() == ("end" in stops)
        else:
            told(done, "No space left on device. Make room", f"go on: nas search --resume --out {run}")
            stops.add(next((name for name in ("setup", "front", "winner", "result") if name in done.stderr), "ledger"))
        assert not list(run.rglob("*.part"))
        place.change("size=8m")
        nas("search", "--resume", "--out", str(run), cwd=tmp_path)
        assert content(run) == content(undisturbed)
        assert (run / "report.html").exists()
    assert stops >= {"setup", "ledger", "winner", "report", "end"}


def test_no_room_for_the_request_leaves_nothing(small: list[str], disk: Callable[[int], Disk], tmp_path: Path) -> None:
    place = disk(4)
    (place.folder / "full").write_bytes(bytes(4 << 10))
    told(nas(*small, "--out", str(place.folder / "run"), cwd=tmp_path, code=None), "cannot be written (No space left")
    assert [path.name for path in place.folder.iterdir()] == ["full"]


def test_a_medium_that_becomes_read_only(
    small: list[str], undisturbed: Path, disk: Callable[[int], Disk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = disk(4_000)
    run = place.folder / "run"
    before(
        "nas.runs.search.Problem.load", lambda: place.change("ro"), monkeypatch
    )  # later on a file is open, and it is busy
    told(nas(*small, *BUDGET, "--out", str(run), cwd=tmp_path, code=None), "Read-only file system. Make it writable")
    told(nas("search", "--resume", "--out", str(run), cwd=tmp_path, code=None), "Read-only", "go on: nas search")
    told(nas(*small, "--out", str(place.folder / "new"), cwd=tmp_path, code=None), "Choose another --out")
    place.change("rw")
    nas("search", "--resume", "--out", str(run), cwd=tmp_path)
    assert content(run) == content(undisturbed)


def test_a_finished_run_on_a_read_only_medium(undisturbed: Path, disk: Callable[[int], Disk], tmp_path: Path) -> None:
    place = disk(4_000)
    run = Path(shutil.copytree(undisturbed, place.folder / "run"))
    place.change("ro")
    assert nas("search", "--resume", "--out", str(run), cwd=tmp_path).stderr == ""
    told(nas("report", str(run), cwd=tmp_path, code=None), "Read-only file system", "Choose another --out")
    nas("report", str(run), "--out", "report.html", cwd=tmp_path)
    nas("export", str(run), "--out", "exported", cwd=tmp_path)
    told(nas("export", str(run), "--out", str(run / "new"), cwd=tmp_path, code=None), "Read-only file system")


def test_a_folder_that_is_removed_during_the_search(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("nas.runs.standing.Standing.update", "nas.runs.search.conclude"):
        before(stage, lambda: shutil.rmtree(tmp_path / "run"), monkeypatch)
        done = nas(*small, *BUDGET, "--out", "run", cwd=tmp_path, code=None)
        told(done, "run: this folder was removed, and what was done so far with it. Start again.")
        assert not (tmp_path / "run").exists()


def test_a_disk_that_fails(
    small: list[str], undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise OSError(errno.EIO, "Input/output error")

    for stage in ("nas.runs.ledger.Ledger.sync", "nas.system.atomic.os.replace"):
        run = tmp_path / stage
        before(
            "nas.runs.controller_search.ControllerSearch.search",
            lambda stage=stage: before(stage, fails, monkeypatch),
            monkeypatch,
        )
        done = nas(*small, *BUDGET, "--out", str(run), cwd=tmp_path, code=None)
        told(done, "Input/output error. See to the disk or its connection, then go on")
        nas("search", "--resume", "--out", str(run), cwd=tmp_path)
        assert content(run) == content(undisturbed)


def test_a_training_on_a_full_disk(
    undisturbed: Path, disk: Callable[[int], Disk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.training.stepper.CHECKPOINT_SECONDS", 0.0)
    train = ["train", str(undisturbed), "--data", "digits", "--epochs", "1", "--out"]
    nas(*train, "whole", cwd=tmp_path)
    stops = set()
    for kib in (8, 88):
        place = disk(kib)
        done = nas(*train, str(place.folder / "run"), cwd=tmp_path, code=None)
        told(done, "No space left on device. Make room", f"go on: nas train --resume --out {place.folder / 'run'}")
        stops.add((place.folder / "run/checkpoint.safetensors").exists())
        place.change("size=8m")
        nas("train", "--resume", "--out", str(place.folder / "run"), cwd=tmp_path)
        for name in ("model.safetensors", "config.json"):
            assert (place.folder / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert stops == {False, True}


def test_an_export_is_written_whole_or_not_at_all(
    undisturbed: Path, disk: Callable[[int], Disk], tmp_path: Path
) -> None:
    place = disk(44)
    old = place.folder / "out"
    export = ["export", str(undisturbed), "--out", str(old)]
    nas(*export, "--seed", "1", cwd=tmp_path)
    then = snapshot(old)
    told(nas(*export, "--seed", "2", cwd=tmp_path, code=None), "No space left on device", "run the command again")
    assert snapshot(old) == then
    told(nas("report", str(undisturbed), "--out", str(old / "a.html"), cwd=tmp_path, code=None), "No space left")
    assert snapshot(old) == then


def test_a_profile_on_a_full_disk(small: list[str], disk: Callable[[int], Disk], tmp_path: Path) -> None:
    for kib in (4, 100):
        place = disk(kib)
        profile = ["profile", "--space", small[2], "--target", "fake", "--precision", "50", "--out"]
        done = nas(*profile, str(place.folder / "table"), cwd=tmp_path, code=None)
        told(done, "No space left on device")
        place.change("size=64m")
        nas(*profile, str(place.folder / "table"), cwd=tmp_path)
        assert not list(place.folder.rglob("*.part"))
        assert (place.folder / "table/table.yaml").is_file()


def test_no_room_for_temporary_files_and_no_home(
    small: list[str], disk: Callable[[int], Disk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = disk(100)
    monkeypatch.setattr(tempfile, "tempdir", str(place.folder))
    profile = ["profile", "--space", small[2], "--target", "fake", "--out", "table"]
    told(nas(*profile, cwd=tmp_path, code=None), "weights.bin: No space left on device", "TMPDIR")
    place.change("ro")
    monkeypatch.setenv("XDG_DATA_HOME", str(place.folder))
    told(nas("table", "add", small[4], "--name", "mine", cwd=tmp_path, code=None), "Read-only file system")


def test_files_are_written_all_or_none_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: replaced.append(Path(new).name) or real(old, new))
    write_all_atomic({tmp_path / "b": "1", tmp_path / "a": b"2"})
    assert replaced == ["b", "a"]
    then = snapshot(tmp_path)
    with pytest.raises(FileNotFoundError) as problem:
        write_all_atomic({tmp_path / "b": "3", tmp_path / "no/where": "4", tmp_path / "a": b"5"})
    assert problem.value.filename == str(tmp_path / "no/where")
    assert snapshot(tmp_path) == then

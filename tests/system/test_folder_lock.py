"""A second process on one folder: refused at every stage, without touching anything of the first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from small_run import before, content, nas, process, snapshot

from nas import search
from nas.errors import RunError, TableError
from nas.runs.request_folder import numbered
from nas.system.atomic import PART
from nas.system.folder_lock import FolderLock, is_held
from nas.tables.merge import merge_tables
from nas.tables.table import load_table
from nas.tables.write import write_table

STAGES = [
    "nas.runs.search.Subject.load",
    "nas.runs.search.Problem.load",
    "nas.runs.search.Plan.settled",
    "nas.runs.controller_search.ControllerSearch.search",
    "nas.runs.search.conclude",
]
BUSY = "another process is working on this"


def refused(*arguments: str, cwd: Path, why: str = BUSY) -> None:
    done = nas(*arguments, cwd=cwd, code=2)
    assert why in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert done.stdout == ""


@pytest.mark.parametrize("stage", [*STAGES, "nas.report.report.attempt_report"])
def test_a_second_search_is_refused_at_every_stage(
    stage: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def second() -> None:
        part = tmp_path / "run" / f".front.csv.a1b2c3d4{PART}"  # what the first one is writing
        part.write_text("half")
        then = snapshot(tmp_path)
        refused("search", "--resume", "--out", "run", cwd=tmp_path)
        refused(*small, "--budget", "20", "--out", "run", cwd=tmp_path)
        if stage != "nas.report.report.attempt_report":
            for other in (
                ["report", "run"],
                ["export", "run", "--out", "exported"],
                ["train", "run", "--data", "digits"],
            ):
                refused(*other, cwd=tmp_path, why="a process is working on it")
        assert snapshot(tmp_path) == then
        part.unlink()
        tried.append(stage)

    before(stage, second, monkeypatch)
    nas(*small, "--budget", "20", "--out", "run", cwd=tmp_path)
    assert tried == [stage]
    nas("search", "--resume", "--out", "run", cwd=tmp_path)  # the lock is gone with the work


def test_a_second_profile_is_refused(tmp_path: Path, small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    profile = ["profile", "--space", small[2], "--target", "fake", "--precision", "50", "--out", "table"]
    tried = []

    def second() -> None:
        then = snapshot(tmp_path)
        refused(*profile, cwd=tmp_path, why="another process measures into this")
        assert snapshot(tmp_path) == then
        tried.append(True)

    before("nas.profiler.rounds.Rounds.measure", second, monkeypatch)
    before("nas.profiler.profile._write", second, monkeypatch)  # the samples are closed by then
    nas(*profile, cwd=tmp_path)
    assert len(tried) == 2


def test_a_second_merge_is_refused(tmp_path: Path, small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_table(small[4])
    fewer = write_table(tmp_path / "fewer", whole.header, list(whole.rows())[1:])
    tried = []

    def second() -> None:
        with pytest.raises(TableError, match="another process writes a table into this"):
            merge_tables(whole, fewer, tmp_path / "both")
        tried.append(True)

    before("nas.tables.merge.write_table", second, monkeypatch)
    merge_tables(whole, fewer, tmp_path / "both")
    assert tried == [True]
    assert load_table(tmp_path / "both").keys.keys() == whole.keys.keys()


def test_a_killed_process_leaves_no_lock(small: list[str], tmp_path: Path) -> None:
    first = process(*small, "--out", "run", cwd=tmp_path, first=HANG)
    assert first.stdout is not None
    assert first.stdout.readline() == "hanging\n"
    assert is_held(tmp_path / "run")
    refused("search", "--resume", "--out", "run", cwd=tmp_path)
    first.kill()
    nas("search", "--resume", "--out", "run", cwd=tmp_path)  # at once: the process may not even be gone yet
    first.communicate()
    nas(*small, "--out", "undisturbed", cwd=tmp_path)
    assert content(tmp_path / "run") == content(tmp_path / "undisturbed")


HANG = """
import time
import nas.runs.search
def hang(*arguments):
    print("hanging", flush=True)
    time.sleep(600)
nas.runs.search.Plan.settled = hang
"""


def test_a_lock_is_one_process_s_until_it_lets_go(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert not is_held(folder)
    lock = FolderLock(folder, "bakes here")
    assert is_held(folder)
    with pytest.raises(RunError, match=r"new/folder: another process bakes here\. Wait for it, or stop it\.$"):
        FolderLock(folder, "bakes here")
    lock.release()
    lock.release()
    assert not is_held(folder)
    FolderLock(folder, "bakes here")  # and nobody keeps it
    assert not is_held(folder)
    with pytest.raises(FileNotFoundError):
        FolderLock(tmp_path / "nothing", "bakes here", make=False)


def test_a_wrong_request_keeps_no_lock(small: list[str], tmp_path: Path) -> None:
    run = search(space=small[2], target=small[4], latency_ms=1e3, accuracy=small[8], budget=20, out=tmp_path / "run")
    with pytest.raises(
        RunError, match="this run has seed 0"
    ) as contradicted:  # kept, with all that its frames refer to
        search(out=run.path, resume=True, seed=1)
    with pytest.raises(RunError, match="there is a run here") as present:
        search(space=small[2], target=small[4], out=run.path)
    assert not is_held(run.path)
    assert contradicted.tb is not present.tb


def test_a_folder_that_its_holder_removes_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    first = FolderLock(folder, "works")

    def leave() -> None:
        folder.rmdir()
        first.release()

    timer = threading.Timer(0.15, leave)
    timer.start()
    with FolderLock(folder, "works"):
        assert folder.is_dir()
        assert is_held(folder)
    timer.join()


def test_two_processes_never_get_the_same_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(numbered("a-b"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in found) == sorted(f"a-b-{n}" for n in range(1, 17))


def test_foreign_files_are_left_alone(small: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine" / "films").mkdir(parents=True)
    (tmp_path / "mine" / f".film{PART}").write_text("half a film")
    (tmp_path / "mine" / "films" / f".film.1{PART}").write_text("half a film")
    then = snapshot(tmp_path)
    refused(*small, "--out", "mine", cwd=tmp_path, why="a new or empty folder")
    assert snapshot(tmp_path) == then

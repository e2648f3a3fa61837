"""Taking in tables from elsewhere: good ones whole, bad and hostile ones not at all."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.errors import NasError
from nas.system.places import shipped_folder
from nas.tables import store
from nas.tables.store import MAX_NETWORKS, add_table
from nas.tables.table import MAX_TABLE_BYTES, LatencyTable, load_table

PIXEL = shipped_folder("latency_tables") / "pixel-cpu"
NETWORK = "mnasnet-a1-1.0.json"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A colleague's table, with whole networks."""
    folder = tmp_path / "theirs"
    shutil.copytree(PIXEL, folder)
    header = folder / "table.yaml"
    header.write_text(header.read_text().replace("name: pixel-cpu\n", "name: their-pixel\n", 1))
    return folder


def own(tmp_path: Path) -> list[str]:
    """What lies among the user's own tables."""
    folder = tmp_path / "data" / "nas" / "latency_tables"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_colleagues_table_is_found_by_its_name(nas: Callable[..., Any], theirs: Path, tmp_path: Path) -> None:
    (theirs / "notes.txt").write_text("not taken")
    (theirs / "networks" / "notes.txt").write_text("not taken")
    answer = nas("table", "add", "theirs")
    assert "14 whole networks" in answer.out
    shutil.move(theirs, tmp_path / "gone")
    assert own(tmp_path) == ["their-pixel"]
    copy = tmp_path / "data/nas/latency_tables/their-pixel"
    assert sorted(path.name for path in copy.iterdir()) == ["networks", "table.csv", "table.yaml"]
    assert not (copy / "networks" / "notes.txt").exists()
    assert load_table("their-pixel").fingerprint == load_table(tmp_path / "gone").fingerprint
    assert load_table("their-pixel").fingerprint in nas("table", "show", "their-pixel").out
    assert "their-pixel" in nas("table", "list").out
    assert nas("table", "check", "their-pixel").code == 0
    archdef = copy / "networks" / NETWORK
    assert nas("estimate", "--arch-def", archdef, "--target", "their-pixel").code == 0


def test_adding_it_again_is_no_error_and_changes_nothing(nas: Callable[..., Any], theirs: Path, tmp_path: Path) -> None:
    first = json.loads(nas("table", "add", "theirs", "--json").out)
    again = json.loads(nas("table", "add", "theirs", "--json").out)
    assert (first["added"], again["added"]) == (True, False)
    assert first | {"added": False} == again
    assert own(tmp_path) == ["their-pixel"]


def test_another_table_of_that_name_stays(
    nas: Callable[..., Any], board: Callable[..., LatencyTable], tmp_path: Path
) -> None:
    board("mine", {0: (1.0, 0.1, 2)})
    board("other", {0: (2.0, 0.1, 2)})
    nas("table", "add", "mine")
    answer = nas("table", "add", "other")
    assert answer.code == 2
    assert "--name" in answer.err
    assert load_table("board").latency_ms.tolist() == [1.0]
    document = json.loads(nas("table", "add", "other", "--name", "board-2", "--json").out)
    assert document["added"]
    renamed = load_table("board-2")
    assert (renamed.name, renamed.latency_ms.tolist()) == ("board-2", [2.0])
    assert renamed.fingerprint == document["fingerprint"]
    assert renamed.header == load_table(tmp_path / "other").header.model_copy(update={"name": "board-2"})
    assert not json.loads(nas("table", "add", "other", "--name", "board-2", "--json").out)["added"]
    assert own(tmp_path) == ["board", "board-2"]


def test_a_broken_table_of_that_name_stays_and_hides_no_other(
    nas: Callable[..., Any], theirs: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "data/nas/latency_tables/their-pixel"
    broken.mkdir(parents=True)
    (broken / "table.yaml").write_text("half")
    assert "another table named" in nas("table", "add", "theirs").err
    assert (broken / "table.yaml").read_text() == "half"
    listed = nas("table", "list")
    assert "pixel-cpu" in listed.out
    assert str(broken) in listed.err


def test_names_of_shipped_tables_are_theirs(nas: Callable[..., Any], theirs: Path, tmp_path: Path) -> None:
    assert "comes with nas" in nas("table", "add", "theirs", "--name", "pixel-cpu").err
    assert "comes with nas" in nas("table", "add", PIXEL).err
    assert own(tmp_path) == []


@pytest.mark.parametrize("name", ["cpu", "cpu-mobile", "cpu-4t-mobile", "ssh-pi-board-mobile", "device-0123", "den-x"])
def test_a_foreign_table_is_never_found_as_that_of_a_device_here(
    nas: Callable[..., Any], theirs: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "config" / "nas").mkdir(parents=True)
    (tmp_path / "config" / "nas" / "devices.yaml").write_text("den: ssh:pi@den\n")
    header = theirs / "table.yaml"
    header.write_text(header.read_text().replace("name: their-pixel\n", f"name: {name}\n", 1))
    answer = nas("table", "add", "theirs")
    assert answer.code == 2
    assert "--name" in answer.err
    assert own(tmp_path) == []
    assert nas("table", "add", "theirs", "--name", "their-cpu").code == 0


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", "a/b", "1x", "a b", ".x", "x" * 65, "x\n", "\x1b[2J"])
def test_names_that_are_none(nas: Callable[..., Any], theirs: Path, tmp_path: Path, name: str) -> None:
    answer = nas("table", "add", "theirs", "--name", name)
    assert answer.code == 2
    assert "name is a letter" in answer.err
    assert own(tmp_path) == []


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_TABLE_BYTES + 1)


def linked(path: Path) -> None:
    real = path.rename(path.parent / "elsewhere")
    path.symlink_to(real)


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


def crowded(path: Path) -> None:
    for number in range(MAX_NETWORKS):
        (path / f"n{number}.json").write_text("{}")


HOSTILE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "link for rows": ("table.csv", linked, "links are not followed"),
    "link for a header": ("table.yaml", linked, "links are not followed"),
    "link for a network": (f"networks/{NETWORK}", linked, "links are not followed"),
    "link for networks": ("networks", linked, "not a link"),
    "pipe for rows": ("table.csv", fifo, "plain file"),
    "pipe for a header": ("table.yaml", fifo, "plain file"),
    "pipe for a network": (f"networks/{NETWORK}", fifo, "plain file"),
    "folder for rows": ("table.csv", folder, "plain file"),
    "file for networks": ("networks", lambda path: (shutil.rmtree(path), path.write_text("")), "not a link or a file"),
    "no rows": ("table.csv", Path.unlink, "no such file"),
    "no header": ("table.yaml", Path.unlink, "no such file"),
    "a network that is named is not there": (f"networks/{NETWORK}", Path.unlink, "no such file"),
    "too large rows": ("table.csv", sparse, "at most 33,554,432 bytes"),
    "too large header": ("table.yaml", sparse, "at most 1,048,576 bytes"),
    "too large network": (f"networks/{NETWORK}", sparse, "at most 1,048,576 bytes"),
    "too many networks": ("networks", crowded, "at most 256 networks"),
    "a network's name": ("networks", lambda path: (path / "a\x1b[2J.json").write_text("{}"), "is named by letters"),
    "a hidden network": ("networks", lambda path: (path / ".json").write_text("{}"), "is named by letters"),
    "a network that is no JSON": (f"networks/{NETWORK}", lambda path: path.write_text("["), "not valid JSON"),
    "a network that is none": (f"networks/{NETWORK}", lambda path: path.write_text("{}"), "resolution"),
    "a name that is a path": ("table.yaml", replaced("name: their-pixel", "name: ../../x"), "name"),
    "a text that clears the screen": ("table.yaml", replaced("model: Google", 'model: "\\e[2J", soc: Google'), ""),
    "a key that clears the screen": ("table.yaml", replaced("threads: 1", 'threads: 1\n"a\\e[2J": 1'), "no such key"),
    "a row that is no layer": ("table.csv", replaced("conv,3,32,0,3,2,", "conv,3,32,0,4,2,"), "`kernel` of a conv"),
    "a residual across widths": ("table.csv", replaced("relu,0,224,224", "relu,1,224,224"), "residual"),
    "a field that a kind lacks": ("table.csv", replaced("conv,3,32,0,", "conv,3,32,9,"), "has no `mid_channels`"),
    "millions of columns": ("table.csv", lambda path: path.write_text("," * 5_000_000), "at most 65,536 letters"),
    "a column without end": ("table.csv", lambda path: path.write_text("x" * 50_000 + "\n"), "is missing"),
    "millions of empty rows": ("table.csv", lambda path: path.write_text("\n" * 2_000_000), "at most 250,000 rows"),
    "a deep header": ("table.yaml", lambda path: path.write_text("[" * 20_000), "not valid YAML"),
    "a hash of other rows": ("table.yaml", replaced("batch: 1", f"batch: 1\nrows_sha256: {'f' * 64}"), "not the one"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tables_are_refused_and_leave_nothing(
    nas: Callable[..., Any], theirs: Path, tmp_path: Path, case: str
) -> None:
    file, change, part = HOSTILE[case]
    change(theirs / file)
    answer = nas("table", "add", "theirs")  # which sees to it that the error is short and printable
    assert answer.code == 2
    assert part in answer.err
    assert "theirs" in answer.err
    assert ".adding-" not in answer.err
    assert own(tmp_path) == []


def test_what_is_not_a_folder(nas: Callable[..., Any], theirs: Path, tmp_path: Path) -> None:
    for place in ("nothing", theirs / "table.csv", "pixel-cpu"):
        assert "a latency table is a folder" in nas("table", "add", place).err
    assert own(tmp_path) == []


def test_a_full_disk_leaves_nothing(
    nas: Callable[..., Any], theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store.write_atomic

    def full(path: Path, data: str | bytes) -> None:
        if path.suffix == ".yaml":
            raise OSError(28, "No space left on device", str(path))
        write(path, data)

    monkeypatch.setattr(store, "write_atomic", full)
    assert "No space left" in nas("table", "add", "theirs").err
    assert own(tmp_path) == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_fuzzed_tables_are_added_whole_or_not_at_all(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    """Bytes cut, replaced or inserted in any of its files, and files swapped: a table that loads or a short error."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    fuzzed = tmp_path / "fuzzed"
    shutil.rmtree(fuzzed, ignore_errors=True)
    shutil.copytree(theirs, fuzzed)
    files = [fuzzed / "table.csv", fuzzed / "table.yaml", fuzzed / "networks" / NETWORK]
    for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=3)):
        content = file.read_bytes()
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 40)))
        inserted = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"\x1b[2J", b"\r\n", b'"\\e"', b"9" * 400, b"-"])
        )
        file.write_bytes(content[:start] + inserted + content[end:])
    if data.draw(st.integers(0, 9)) == 0:
        left, right = data.draw(st.permutations(files))[:2]
        left.rename(fuzzed / "swap")
        right.rename(left)
        (fuzzed / "swap").rename(right)
    message, result = attempt(fuzzed)
    if result is None:
        assert message.replace("\n", "").isprintable()
        assert len(message) < 1_000
        assert len(message.splitlines()) <= 2
        assert own(tmp_path) == []
    else:
        assert own(tmp_path) == [result["name"]]
        table = load_table(Path(result["path"]))
        assert table.fingerprint == result["fingerprint"] == load_table(fuzzed).fingerprint
        assert len(list(table.rows())) == result["rows"]


def attempt(folder: Path) -> tuple[str, dict[str, Any] | None]:
    try:
        return "", add_table(folder)
    except NasError as problem:
        return str(problem), None

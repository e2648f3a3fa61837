"""Where a user's own files lie, and what is said where nobody knows."""

from __future__ import annotations

import pwd
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from tellers import Said

from nas.accuracy.zero_cost import SAMPLE, ZeroCost
from nas.cli import cli
from nas.data import DataError, load_data
from nas.errors import NasError
from nas.space.load import load_space
from nas.system.user_folders import cache_folder, config_folder, data_folder

FOLDERS = {
    "XDG_DATA_HOME": (data_folder, ".local/share"),
    "XDG_CONFIG_HOME": (config_folder, ".config"),
    "XDG_CACHE_HOME": (cache_folder, ".cache"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they are where that platform has them")
@pytest.mark.parametrize("variable", FOLDERS)
def test_folders_are_those_of_the_variables_or_in_the_home_folder(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, usual = FOLDERS[variable]
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv(variable, str(tmp_path / "mine"))
    assert folder() == tmp_path / "mine" / "nas"
    for unset in ("", None):
        monkeypatch.setenv(variable, unset) if unset is not None else monkeypatch.delenv(variable)
        assert folder() == tmp_path / "me" / usual / "nas"
    assert list(tmp_path.iterdir()) == []  # asking makes nothing


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user: without HOME, and without an entry in the system's list."""

    def unknown(uid: object) -> None:
        raise KeyError(uid)

    for variable in ("HOME", *FOLDERS):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("variable", FOLDERS)
def test_without_a_home_folder_two_lines_say_what_to_set(
    nobody: None, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Callable[[], Path] = FOLDERS[variable][0]
    with pytest.raises(NasError, match=rf"no home folder of user \d+\.\nSet HOME, or {variable}, to a folder"):
        folder()
    monkeypatch.setenv(variable, str(tmp_path / "mine"))
    assert folder() == tmp_path / "mine" / "nas"


@pytest.mark.parametrize(
    "command",
    [
        "table list",
        "table show pixel-cpu",
        "spaces list",
        "devices",
        "search --space mobile --target pixel-cpu --latency 60ms --budget 50 --out run",
    ],
)
def test_what_needs_no_folder_of_the_users_own_does_without(nobody: None, command: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, command.split(), standalone_mode=False)
    assert found.exception is None
    assert "pixel-cpu" in found.stdout or "spaces" in command or "yes  fake" in found.stdout
    assert [path.name for path in tmp_path.iterdir()] == (["run"] if "run" in command else [])


@pytest.mark.parametrize(
    "command",
    ["table add run", "profile --space mobile --target fake", "search --space mobile --target fake --out run"],
)
def test_what_writes_there_or_has_its_tables_there_says_what_to_set(nobody: None, command: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, command.split(), standalone_mode=False)
    assert isinstance(found.exception, NasError)  # and so exit code 2
    assert "Set HOME, or XDG_DATA_HOME" in str(found.exception)
    assert list(tmp_path.iterdir()) == []


def test_pictures_stay_in_memory_without_a_place_to_keep_them(nobody: None, tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(5):
            Image.new("RGB", (9, 9), (number, 0, 0)).save(tmp_path / label / f"{number}.png")
    told = Said()
    assert len(load_data(f"imagefolder:{tmp_path}", 8, teller=told).classes) == 2
    assert "decoded pictures cannot be kept (HOME is not set); they stay in memory for this run." in told.lines


def test_proxies_are_measured_without_a_place_to_keep_them(nobody: None, tmp_path: Path) -> None:
    sample, _ = ZeroCost(load_space("nas-bench-macro"), ["macs"]).sample
    assert len(sample) == SAMPLE
    assert list(tmp_path.iterdir()) == []


def test_pictures_in_a_home_folder_that_nobody_knows(nobody: None) -> None:
    with pytest.raises(DataError, match=r"^~/pictures: "):
        load_data("imagefolder:~/pictures", 8)
    with pytest.raises(DataError, match=r"^~nobody/x: "):
        load_data("idx:~nobody/x", 8)

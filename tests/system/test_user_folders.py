"""Where a user's own files lie, and what is said where nobody knows."""

from __future__ import annotations

import pwd
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nas.cli import cli
from nas.data import DataError, load_data
from nas.errors import NasError
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


@pytest.mark.parametrize("command", [["table", "list"], ["devices"]])
def test_commands_that_need_one_say_so(nobody: None, command: list[str], tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(cli, command).exception, NasError)  # and so exit code 2
    assert CliRunner().invoke(cli, ["spaces", "list"]).exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_pictures_in_a_home_folder_that_nobody_knows(nobody: None) -> None:
    with pytest.raises(DataError, match=r"^~/pictures: "):
        load_data("imagefolder:~/pictures", 8)
    with pytest.raises(DataError, match=r"^~nobody/x: "):
        load_data("idx:~nobody/x", 8)

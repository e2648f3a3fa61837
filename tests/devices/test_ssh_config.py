"""Hosts that `nas devices` finds in the user's ssh config."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from nas.cli import cli
from nas.devices.ssh_config import ssh_hosts


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """~/.ssh/config, empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / ".ssh" / "boards").mkdir(parents=True)
    (tmp_path / ".ssh" / "config").touch()
    return tmp_path / ".ssh" / "config"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("Host pi\n  HostName 10.0.0.7\n", "pi"),
        ('HOST pi nano\nhost="jetson" rock5 # Host no\n# Host never\n\tHost\tlast\n', "pi nano jetson rock5 last"),
        ("Host a b !c\nHost *.lan ?x *\nHost a d !d\n", "a b"),
        ('Host "my board" pi@x board:22 4t -oX ok\n', "pi@x ok"),
        ("HostName board\nHostKeyAlias board\nMatch host other\n  User pi\n", ""),
        ('Host "unclosed\nHost\nHost =\n\x00\n', ""),
        ("Host\u00a0x \u00fc\nHost b\u00f6ard plain\n", "plain"),
    ],
)
def test_hosts_are_names_without_patterns(config: Path, text: str, hosts: str) -> None:
    config.write_text(text)
    assert list(ssh_hosts()) == hosts.split()


def test_included_files_are_read(config: Path, tmp_path: Path) -> None:
    config.write_text(
        f'Include boards/*.conf "~/.ssh/quoted name"\ninclude {tmp_path}/elsewhere none/*\nHost last\n  Include inner\n'
        "Match all\n  Include any\nMatch user pi\n  Include hidden\n"
    )
    folder = config.parent
    (folder / "boards" / "1.conf").write_text("Host one\nInclude nested\n")
    (folder / "boards" / "2.conf").write_text("Host two one\n")
    (folder / "boards" / "3.txt").write_text("Host no\n")
    (folder / "nested").write_text("Host deep\n")
    (folder / "quoted name").write_text("Host quoted\n")
    (folder / "inner").write_text("Host last other\n")  # in a block of one host
    (folder / "any").write_text("Host any\n")
    (folder / "hidden").write_text("Host hidden\n")
    (tmp_path / "elsewhere").write_text("Host far\n")
    assert list(ssh_hosts()) == ["one", "two", "quoted", "far", "last", "any"]
    (folder / "nested").write_text("Host one\n")
    (folder / "boards" / "1.conf").write_text("Include nested\nHost one\n")
    assert next(iter(ssh_hosts())) == "one"


def test_circles_and_odd_files_end(config: Path) -> None:
    folder = config.parent
    config.write_text("Include config boards/* *\nHost pi\n")
    for number in range(30):
        (folder / "boards" / f"{number}").write_text("Include boards/* ~/.ssh/*\n")
    os.mkfifo(folder / "boards" / "pipe")
    (folder / "boards" / "loop").symlink_to("loop")
    (folder / "boards" / "bytes").write_bytes(b"\xff\xfe\x00Host x\nHost y\n")
    assert list(ssh_hosts()) == ["y", "pi"]


def test_they_are_listed(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.devices.listing._providers", list)
    config.write_text("Include boards/*\n")
    (config.parent / "boards" / "one").write_text("Host rock5\n")
    found = {d["target"]: d["note"] for d in json.loads(CliRunner().invoke(cli, ["devices", "--json"]).stdout)}
    assert found["ssh:rock5"] == "in your ssh config; not asked"
    assert "ssh:HOST" not in found

"""A device for a search: opened by its name, profiled once, and held against the table that is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scripted import Scripted
from tellers import Said

from nas.devices.fake import Fake
from nas.errors import NasError, TableError
from nas.profiler.bench import attached, device_of, have_table, named
from nas.space.load import load_space
from nas.tables.table import load_table
from nas.tables.target import target_path


def test_a_search_profiles_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    space, device, teller = load_space("nas-bench-macro"), Scripted(), Said()
    have_table("fake", space, device, teller)
    folder = target_path("fake", "nas-bench-macro")
    assert tmp_path in folder.parents
    assert f"fake has no table of nas-bench-macro yet: it is measured now, into {folder}" in teller.lines
    table, asked, told = load_table(folder), len(device.plans), len(teller.lines)
    assert asked > 0
    have_table("fake", space, device, teller)
    assert (len(device.plans), len(teller.lines)) == (asked, told)
    assert device_of("fake-nas-bench-macro", table) == "fake"  # by the table's name: the device of its header
    newer = Scripted()
    newer.info = replace(newer.info, runtime_version="2")
    with pytest.raises(TableError, match="this device is"):
        have_table("fake", space, newer, teller)
    assert newer.plans == []
    assert load_table(folder).fingerprint == table.fingerprint


def test_a_device_is_let_go_of_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Scripted()
    monkeypatch.setattr("nas.profiler.bench.open_device", lambda name, ways: device)
    with attached("fake") as opened:
        assert opened is device
        assert device.closed == 0
    assert device.closed == 1
    with pytest.raises(ZeroDivisionError), attached("fake"):
        _ = 1 / 0
    assert device.closed == 2


def test_what_is_no_device_is_refused() -> None:
    with attached("fake") as device:
        assert isinstance(device, Fake)
    for word in ("pixel-cpu", "nonsense"):
        with pytest.raises(NasError, match="is no device"):
            named(word)
    with pytest.raises(NasError, match="names no device to measure on"):
        device_of("pixel-cpu", load_table("pixel-cpu"))
    assert device_of("cpu:4t", load_table("pixel-cpu")) == "cpu:4t"

"""Tables of whole networks: exact where one was measured, an additive fit between, of one space alone."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nas.blocks.layer import KEY_COLUMNS
from nas.errors import NasError, TableError
from nas.space.codes import format_code
from nas.space.load import load_space
from nas.space.space import Space
from nas.tables.header import TableHeader
from nas.tables.rows import VALUE_COLUMNS
from nas.tables.store import add_table
from nas.tables.table import LatencyTable, latency, load_table
from nas.tables.write import header_text

SHIPPED = {"nb201-pixel3": ("measured", 23.585), "nb201-eyeriss": ("simulated", 7.8235)}
"""Of the best on CIFAR-10, 333132."""
KNOWN = np.sort(np.random.default_rng(0).permutation(3_969)[:1_300])
"""Rows of networks of NAS-Bench-Macro."""


@pytest.fixture(scope="module")
def macro() -> Space:
    return load_space("nas-bench-macro")


def write(folder: Path, space: Space, lines: Sequence[str], **more: str) -> Path:
    """A table with these lines behind the header of `whole.csv.gz`."""
    folder.mkdir()
    bands = dict.fromkeys(("measured", "derived", "simulated"), 1.0) | {"interpolated": 5.0}
    header = {
        "format": "nas-latency-table/1",
        "name": "whole",
        "device": {"model": "test"},
        "runtime": {"name": "test", "version": "1"},
        "threads": 1,
        "precision": "float32",
        "batch": 1,
        "date": "today",
        "estimator": "none",
        "source": "test",
        "key_columns": list(KEY_COLUMNS),
        "calibration": "none",
        "whole": {"space": space.name, "space_sha256": space.fingerprint} | more,
        "error": {"band_pct": bands},
    }
    (folder / "table.yaml").write_text(header_text(TableHeader.model_validate(header)))
    (folder / "table.csv").write_text(",".join((*KEY_COLUMNS, *VALUE_COLUMNS)) + "\n")
    (folder / "whole.csv.gz").write_bytes(gzip.compress("\n".join(["arch,latency_ms", *lines, ""]).encode()))
    return folder


@pytest.fixture(scope="module")
def additive(macro: Space, tmp_path_factory: pytest.TempPathFactory) -> LatencyTable:
    """A third of the networks of NAS-Bench-Macro, whose time is 1 ms and a tenth for each step of an option."""
    population = macro.enumerate()[KNOWN]
    lines = [f"{format_code(g, macro)},{1 + 0.1 * g.sum():.6f}" for g in population]
    return load_table(write(tmp_path_factory.mktemp("tables") / "whole", macro, lines))


def test_measured_where_there_is_a_row_and_additive_between(macro: Space, additive: LatencyTable) -> None:
    population = macro.enumerate()
    ms = latency(macro, additive)(population)
    assert ms == pytest.approx(1 + 0.1 * population.sum(axis=1))
    for row, provenance in ((int(KNOWN[0]), "measured"), (int(KNOWN[-1]) + 1, "interpolated")):
        found = additive.estimate(macro.decode(population[row]))
        assert found.latency_ms == pytest.approx(ms[row])
        assert {name for name, share in found.coverage.items() if share} == {provenance}
        assert found.error_pct == {"measured": 1.0, "interpolated": 5.0}[provenance]
    assert additive.answers_all(macro)
    assert not additive.answers_all(load_space("nas-bench-macro", classes=100))
    other = macro.decode(population[0]).classified(7)
    assert not additive.answers_network(other)
    with pytest.raises(NasError, match="not in the table whole"):
        additive.estimate(other)


def test_shipped_settings_of_nas_bench_201() -> None:
    space = load_space("nas-bench-201")
    best = space.encode(list(space.references.values()))[:1]
    for name, (provenance, ms) in SHIPPED.items():
        table = load_table(name)
        assert table.answers_all(space)
        assert latency(space, table)(best)[0] == ms
        assert table.header.whole is not None
        assert table.header.whole.provenance == provenance


def test_it_travels(additive: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shutil.copytree(additive.path, tmp_path / "colleague")
    added = add_table(tmp_path / "colleague", "theirs")
    assert load_table("theirs").whole is not None
    (tmp_path / "colleague/whole.csv.gz").unlink()
    with pytest.raises(TableError, match=r"colleague/whole\.csv\.gz: no such file"):
        add_table(tmp_path / "colleague", "others")
    assert added["name"] == "theirs"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "at least one row"),
        (["00000000,1,2"], "line 2: a row is a code and a finite number of milliseconds above 0, got '00000000,1,2'"),
        (["00000000,1", "00000001,0"], "line 3: a row is a code and a finite number"),
        (["00000000,nan"], "line 2: a row is a code and a finite number"),
        (["0000000,1"], "line 2: `arch` is 8 digits for nas-bench-macro, got '0000000'"),
        (["00000009,1"], r"line 2: `stage3.layer3.block` has the options 0\.\.2, got 9"),
    ],
)
def test_what_is_refused(macro: Space, tmp_path: Path, lines: list[str], says: str) -> None:
    write(tmp_path / "whole", macro, lines)
    with pytest.raises(TableError, match=says):
        latency(macro, load_table(tmp_path / "whole"))


def test_what_is_no_packed_file(macro: Space, tmp_path: Path) -> None:
    file = write(tmp_path / "whole", macro, ["00000000,1"]) / "whole.csv.gz"
    packed = file.read_bytes()
    for data, says in ((b"arch,latency_ms\n", "not valid gzip: "), (packed[:-9], "its end is missing")):
        file.write_bytes(data)
        with pytest.raises(TableError, match=says):
            load_table(tmp_path / "whole")
    file.write_bytes(gzip.compress(b"\n" * (33 << 20)))
    with pytest.raises(TableError, match="this file unpacks to more"):
        load_table(tmp_path / "whole")


def test_fits_are_least_squares_of_the_relative_error(macro: Space) -> None:
    from nas.tables.whole import additive

    population = macro.enumerate()
    ms = 2.0 + population.sum(axis=1)
    assert additive(population[KNOWN], ms[KNOWN], population, macro.cardinalities) == pytest.approx(ms)
    assert (additive(population[:1], ms[:1], population, macro.cardinalities) >= 1).all()  # half of the least
    assert np.isfinite(ms).all()

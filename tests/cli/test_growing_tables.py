"""Tables of spaces that change, and requests that cannot succeed, as typed, on the fake device."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import nas

from nas.devices.device import Plan, Sample
from nas.devices.fake import Fake
from nas.formats.config import read_config
from nas.profiler.probe import make_probe
from nas.tables.references import read_references
from nas.tables.table import LatencyTable, load_table
from nas.tables.write import write_table

GREY = """
format: nas-space/1
name: grey
source: a grey camera
input: {resolution: 16, channels: 1}
num_classes: 2
activation: relu
stages:
  - {name: stem, block: conv, width: 8, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 16, stride: 2, kernel: {choice: [3, 5]}, expansion: {choice: [3, 6]}}
head: {width: 32}
"""
SEARCH = ("--accuracy", "zero-cost:macs", "--budget", "4")
QUICK = ("--budget", "1s", "--precision", "50%")


class Asked:
    """What the fake device was asked for; times are multiplied where a test says so."""

    def __init__(self) -> None:
        self.probes: list[str] = []
        self.times = 1.0
        self.only: set[str] | None = None
        """Probes whose times are multiplied; None for all."""
        self.stop_at = 0
        """The number of the sample that is interrupted."""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A user without tables, in an empty folder, and what their fake device is asked for."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("nas.profiler.rounds.PASSES", 2)
    found, real = Asked(), Fake.measure

    def measure(self: Fake, plan: Plan) -> Iterator[Sample]:
        found.probes += [probe.name for group in plan.groups for probe in group]
        for sample in real(self, plan):
            found.stop_at -= 1
            if found.stop_at == 0:
                raise KeyboardInterrupt
            slower = found.only is None or sample.probe in found.only
            yield replace(sample, ns=tuple(ns * found.times for ns in sample.ns)) if slower else sample

    monkeypatch.setattr(Fake, "measure", measure)
    (tmp_path / "grey.yaml").write_text(GREY)
    return found


def rows(table: LatencyTable) -> dict[object, float]:
    return {row.layer: row.latency_ms for row in table.rows()}


@pytest.mark.parametrize(
    ("edit", "more"),
    [
        (("[3, 5]", "[3, 5, 7]"), 2),  # a kernel more, with two expansions
        (("num_classes: 2", "num_classes: 3"), 1),
        (("resolution: 16", "resolution: 24"), 6),
        (("channels: 1", "channels: 3"), 1),
        (("head: {width: 32}", "head: {width: 48}"), 1),
        (("name: grey", "name: gray"), 0),  # into the same --out
    ],
)
def test_an_edited_space_gets_what_is_missing(edit: tuple[str, str], more: int, asked: Asked, tmp_path: Path) -> None:
    nas("profile", "--space", "grey.yaml", "--target", "fake", "--out", "table", *QUICK, cwd=tmp_path)
    first = load_table(tmp_path / "table")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/grey.yaml").write_text(GREY.replace(*edit))
    asked.probes.clear()
    words = ["profile", "--space", "elsewhere/grey.yaml", "--target", "fake", "--out", "table", *QUICK]
    nas(*words, cwd=tmp_path)
    table = load_table(tmp_path / "table")
    assert rows(table) == rows(table) | rows(first)
    assert len(table.keys) == len(first.keys) + more
    checks = table.header.error.checks
    assert len({check.space_sha256 for check in checks}) == len(checks) == (2 if more else 1)
    if more:
        assert table.header.references == first.header.references
        assert checks[1] == first.header.error.networks
        assert max(check.worst_pct for check in checks) <= table.header.error.band_pct.simulated
    asked.probes.clear()
    for space in ("grey.yaml", "elsewhere/grey.yaml"):
        nas("profile", "--space", space, "--target", "fake", "--out", "table", *QUICK, cwd=tmp_path)
    assert (asked.probes, load_table(tmp_path / "table").fingerprint) == ([], table.fingerprint)


def test_a_search_measures_what_its_space_lacks_and_shows_no_check_of_another(asked: Asked, tmp_path: Path) -> None:
    def search(space: str, target: str, **edits: str) -> Any:
        text = GREY
        for before, after in edits.items():
            text = text.replace(before, after)
        (tmp_path / f"{space}.yaml").write_text(text)
        words = ["search", "--space", f"{space}.yaml", "--target", target, "--latency", "1s", *SEARCH, "--json"]
        return nas(*words, "--out", space, cwd=tmp_path)

    whole = search("grey", "fake")
    assert "fake has no table of grey yet" in whole.stderr
    assert json.loads(whole.stdout)["networks_error"]["count"] == 4
    asked.probes.clear()
    wider = search("wider", "fake", **{"[3, 5]": "[3, 7]"})
    assert "2 of the 6 layers of this one have no row there" in wider.stderr
    found = json.loads(wider.stdout)
    assert found["networks_error"]["space_sha256"] != json.loads(whole.stdout)["networks_error"]["space_sha256"]
    assert found["winner"]["coverage"]["simulated"] == pytest.approx(1)
    asked.probes.clear()
    part = search("part", "fake", **{"[3, 5]": "[5, 7]"})  # all rows are there, no network of it was checked
    assert "no row" not in part.stderr
    document = json.loads(part.stdout)
    assert (document["networks_error"], document["checked_on"]) == (None, ["grey"])
    assert "not on this space" in nas("search", "--resume", "--out", "part", cwd=tmp_path).stdout
    table = str(tmp_path / "data/nas/latency_tables/fake-grey")
    assert "whole networks" not in nas("estimate", "part", "--target", table, cwd=tmp_path).stdout  # of which grey?
    half = search("half", table, **{"[3, 6]": "[3, 4]"})  # a table answers as far as it can, and this is told
    assert "2 of the 6 layers of grey have no row in fake-grey. Measure them: nas profile --space " in half.stderr
    none = nas("search", "--space", "grey.yaml", "--target", table, cwd=tmp_path, code=2)
    assert "no reference network" in none.stderr


WRONG = [
    (["search", "--space", "grey.yaml", *SEARCH], "no reference network"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "0ms"], "positive number"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1"], "with its unit"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--at-most", "macs=1"], "No architecture has"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--at-most", "peak=1"], "No architecture has"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--at-most", "cost=1"], "macs="),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--objective", "front:cost"], "further objective"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--objective", "front"], "controller for fronts"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--controller", "no:Such"], "neither installed"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--out", "full"], "new or empty folder"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--resume", "--out", "gone"], "no run to resume"),
    (["search", "--space", "grey.yaml", *SEARCH, "--latency", "1s", "--workers", "ray:"], "ray"),
    (["search", "--space", "grey.yaml", "--latency", "1s", "--accuracy", "predictor"], "predictor"),
    (["search", "--space", "grey.yaml", "--latency", "1s", "--accuracy", "zero-cost:cost"], "cost"),
    (["search", "--space", "grey.yaml", "--latency", "1s", "--accuracy", "table:no.csv"], "no.csv"),
    (["search", "--space", "grey.yaml", "--latency", "1s", "--accuracy", "no:Such"], "neither installed"),
    (["search", "--space", "grey.yaml", "--latency", "1s", "--accuracy", "train"], "add --data"),
    (["search", "--space", "grey.yaml", "--latency", "1s", "--controller", "fbnet"], "add --data"),
    (["search", "--space", "grey.yaml", "--latency", "1s", "--data", "imagefolder:no"], "no"),
    (["search", "--space", "no.yaml", "--latency", "1s"], "no such search-space file"),
    (["profile", "--space", "grey.yaml", "--out", "full"], "new or empty folder"),
    (["profile", "--space", "grey.yaml", "--out", "grey.yaml"], "named by a letter"),
    (["profile", "--space", "grey.yaml", "--out", "full/notes"], "new or empty folder"),
    (["profile", "--space", "grey.yaml", "--out", "sealed/table"], "is read-only"),
    (["profile", "--space", "grey.yaml", "--out", "other"], "another target"),
]


@pytest.mark.parametrize(("words", "rule"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_nothing_is_measured_before_it_is_refused(
    words: list[str], rule: str, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes").write_text("mine")
    (tmp_path / "sealed").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/profile.json").write_text('{"target": "cpu"}')
    monkeypatch.setattr("nas.profiler.profile.os.access", lambda path, mode: "sealed" not in str(path))
    done = nas(*words, "--target", "fake", cwd=tmp_path, code=1 if "No architecture" in rule else 2)
    assert rule in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert asked.probes == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("controller", [["--controller", "exact"], ["--prove"]])
def test_a_proof_without_a_sum_of_arrays_is_refused_at_once(
    controller: list[str], asked: Asked, tmp_path: Path
) -> None:
    words = ["search", "--space", "grey.yaml", "--target", "fake", "--latency", "1s", "--accuracy", "zero-cost:naswot"]
    done = nas(*words, *controller, cwd=tmp_path, code=2)
    assert "A proof needs" in done.stderr
    assert asked.probes == []


def test_the_name_of_an_adapted_space_may_be_long(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(GREY.replace("name: grey", f"name: {'a' * 64}"))
    words = ["profile", "--space", "long.yaml", "--target", "fake", "--classes", "10", "--out", "table", *QUICK]
    nas(*words, cwd=tmp_path)
    assert load_table(tmp_path / "table").header.space == "a" * 64 + "-10c"


def test_verify_says_faster_slower_and_too_busy(asked: Asked, tmp_path: Path) -> None:
    nas("profile", "--space", "grey.yaml", "--target", "fake", cwd=tmp_path)
    words = ["search", "--space", "grey.yaml", "--target", "fake", "--latency", "1s", *SEARCH, "--out", "run"]
    assert "measured" in nas(*words, cwd=tmp_path).stdout
    assert "within the tolerance of 5 %" in nas("verify", "run", cwd=tmp_path).stdout
    table = load_table(tmp_path / "data/nas/latency_tables/fake-grey")
    network = read_config(tmp_path / "run/winner/config.json").architecture
    own = make_probe(network.layers).name
    references = {make_probe(r.layers).name for r in read_references(table.path, table.header.references).networks}
    assert own in references  # of a space of four networks each one is a reference
    write_table(table.path, table.header.model_copy(update={"references": []}), table.rows())
    for times, said in ((0.7, "faster"), (1.3, "slower")):
        asked.times = times
        done = nas("verify", "run", cwd=tmp_path, code=1)
        assert f"% {said} than its table says: more than the tolerance of 5 %" in done.stdout
        assert nas("verify", "run", "--tolerance", "60%", cwd=tmp_path).code == 0
    write_table(table.path, table.header, table.rows())
    assert "within the tolerance" in nas("verify", "run", cwd=tmp_path).stdout  # all of it is as much slower
    asked.only, asked.times = references - {own}, 1.53
    busy = nas("verify", "run", cwd=tmp_path, code=1).stdout
    assert "too busy: measure again, as the table's reference networks" in busy
    assert f"by the clock {table.estimate(network).latency_ms:.2f} ±" in busy
    assert "tolerance" not in busy
    found = json.loads(nas("verify", "run", "--json", cwd=tmp_path, code=1).stdout)
    assert found["measured_ms"] == found["raw_ms"]
    searched = nas(*words[:-1], "again", cwd=tmp_path).stdout
    assert "too busy: measure again" in searched
    assert "MISSED" not in searched


def test_killed_while_it_grows_a_table_stays_and_goes_on(asked: Asked, tmp_path: Path) -> None:
    words = ["--target", "fake", "--out", "table", *QUICK]
    nas("profile", "--space", "grey.yaml", *words, cwd=tmp_path)
    first = load_table(tmp_path / "table")
    (tmp_path / "wider.yaml").write_text(GREY.replace("[3, 5]", "[3, 5, 7]"))
    asked.probes.clear()
    asked.stop_at = 40
    assert "39 samples" not in nas("profile", "--space", "wider.yaml", *words, cwd=tmp_path, code=130).stdout
    assert load_table(tmp_path / "table").fingerprint == first.fingerprint
    nas("profile", "--space", "wider.yaml", *words, cwd=tmp_path)
    table = load_table(tmp_path / "table")
    assert rows(table) == rows(table) | rows(first)
    assert len(table.header.error.checks) == 2


def test_a_tables_check_asks_which_space_and_answers_before_it_measures(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(GREY.replace("name: grey", "name: other").replace("[3, 5]", "[5, 7]"))
    (tmp_path / "foreign.yaml").write_text(GREY.replace("relu", "hard-swish"))
    for space in ("grey.yaml", "other.yaml"):
        nas("profile", "--space", space, "--target", "fake", "--out", "table", *QUICK, cwd=tmp_path)
    assert (lambda h: (h.space, h.resolution))(load_table(tmp_path / "table").header) == (None, 16)
    assert "networks of grey" in nas("table", "show", "./table", cwd=tmp_path).stdout
    asked.probes.clear()
    for words, rule in (
        ([], "is of several spaces (other, grey): --space says"),
        (["--space", "foreign.yaml"], "does not answer for"),
        (["--space", "grey.yaml", "--seed", "-1"], "--seed"),
    ):
        assert rule in nas("table", "check", "./table", *words, cwd=tmp_path, code=2).stderr
    assert asked.probes == []
    assert "% off" in nas("table", "check", "./table", "--space", "other.yaml", cwd=tmp_path).stdout


def test_the_bar_moves_from_the_first_sample_and_its_totals_stand(asked: Asked, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "nas.cli.output.ScreenTeller.progress", lambda self, done, total, of: steps.append((of, done, total))
        )
        nas(
            "profile", "--space", "grey.yaml", "--target", "fake", "--budget", "9s", "--precision", "0.1%", cwd=tmp_path
        )
    first, then = ([step[1:] for step in steps if step[0] == of] for of in ("slices", "seconds"))
    assert first[0][0] == 0
    assert [done for done, _ in first] == list(range(len(first)))
    assert {total for _, total in first} == {len(first) - 1}
    assert then == sorted(then)
    assert {total for _, total in then} == {9}
    assert then[-1] == (9, 9)


def test_a_network_without_a_table_is_told_to_be_unsure_as_well(asked: Asked, tmp_path: Path) -> None:
    nas("profile", "--space", "grey.yaml", "--target", "fake", *QUICK, cwd=tmp_path)
    nas("search", "--space", "grey.yaml", "--target", "fake", "--latency", "1s", *SEARCH, "--out", "run", cwd=tmp_path)
    shutil.rmtree(tmp_path / "data")
    rng, times = np.random.default_rng(0), dict[str, float]()
    vary = lambda sample: times.setdefault(sample.session, float(rng.uniform(1, 9)))  # noqa: E731
    assert "none: " in nas("verify", "run/winner/config.json", "--target", "fake", cwd=tmp_path).stdout
    with pytest.MonkeyPatch.context() as patch:
        real = Fake.measure
        patch.setattr("nas.profiler.rounds.MOST_SESSIONS", 6)
        patch.setattr(
            Fake,
            "measure",
            lambda self, plan: (replace(s, ns=tuple(ns * vary(s) for ns in s.ns)) for s in real(self, plan)),
        )
        done = nas("verify", "run/winner/config.json", "--target", "fake", cwd=tmp_path, code=1)
    assert "too busy: measure again, as its time is sure to ±" in done.stdout

"""`--accuracy sensitivity`: what each option costs alone, the sum of it, its proof, and what a run keeps of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import kl_div, log_softmax

from nas.accuracy.pieces import Pieces
from nas.accuracy.sensitivity import FILE, Kept, Sensitivity
from nas.data import load_data
from nas.errors import NasError, RunError
from nas.space.load import load_space
from nas.space.space import Space
from nas.supernet.shared_weights import SharedSettings, SharedWeights
from nas.system.json_lines import JsonLines
from nas.system.teller import Silent
from tests.small_run import nas, write_small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small space and its table on the fake device."""
    place = tmp_path_factory.mktemp("small")
    write_small(place)
    return place


def sensitivity_of(space: Space, steps: int = 0) -> Sensitivity:
    """With weights as they are drawn, or trained for a few steps, and digits of 16 px."""
    weights = SharedWeights(space, load_data("digits", 16), SharedSettings(steps=max(1, steps)), 0, None, Silent())
    if steps:
        weights.train()
    else:
        weights.are_trained()
    return Sensitivity(weights)


@pytest.fixture(scope="module")
def measured(folder: Path) -> Sensitivity:
    return sensitivity_of(load_space(folder / "small.yaml"), steps=2)


def test_the_factor_of_each_option_is_an_evaluation_of_that_network(measured: Sensitivity) -> None:
    space, supernet, batches = measured.space, measured.shared.trained, measured._pictures
    assert [len(x) for x in batches] == [128, 128]
    assert [int(i) for i in measured.largest] == [1, 1, 1, 1, 1, 1, 1, 1, 2]  # all at their largest
    start, slope = measured._line
    at_best = measured.factors(measured.largest[None])[0]
    assert at_best == pytest.approx(start)
    with torch.no_grad():
        own = [log_softmax(supernet(x, measured.largest), 1) for x in batches]
        for decision, options in enumerate(space.cardinalities):
            for option in range(options):
                changed = measured.largest.copy()
                changed[decision] = option
                says = [log_softmax(supernet(x, changed), 1) for x in batches]
                pairs = zip(says, own, strict=True)
                loss = np.mean([kl_div(a, b, reduction="batchmean", log_target=True).item() for a, b in pairs])
                found = (at_best - measured.factors(changed[None])[0]) / slope
                assert found == pytest.approx(loss, rel=1e-4, abs=1e-6)
                assert (loss == 0) == (option == measured.largest[decision])


def test_its_error_is_that_of_networks_evaluated_whole(measured: Sensitivity) -> None:
    checked, top1 = measured._checked, np.array(measured._kept.top1)
    assert np.array_equal(checked[0], measured.largest)
    assert len(np.unique(checked, axis=0)) == len(checked) == 17
    assert np.array_equal(super(Sensitivity, measured).__call__(checked), top1)
    residual = top1 - measured(checked)
    assert measured.uncertainty(checked[:1])[0] == pytest.approx(np.sqrt((residual**2).sum() / 15))
    assert "on 17 networks evaluated whole Kendall's tau" in measured.provenance


@pytest.mark.parametrize("name", ["small", "mnasnet", "nas-bench-macro"])
def test_one_network_has_one_value_however_it_is_written(folder: Path, name: str) -> None:
    """Options without effect cost nothing, and of skips in another order none is better than the canonical one."""
    space, rng = load_space(folder / "small.yaml" if name == "small" else name), np.random.default_rng(0)
    found = sensitivity_of(space)
    losses = [rng.random(int(options)).tolist() for options in space.cardinalities]
    checked = space.canonical(space.sample(5, rng))
    found.__dict__["_kept"] = Kept(fingerprint="", losses=losses, checked=checked.tolist(), top1=[1.0, 2, 3, 4, 5])
    population = space.sample(500, rng)
    canonical = space.canonical(population)
    assert (found.factors(population) <= found(canonical) + 1e-9).all()
    if not space.canonical_form.exchanges:
        assert np.allclose(found.factors(population), found(canonical))
    assert np.ptp(found(canonical)) > 0


SEARCH = ["search", "--space", "small.yaml", "--target", "board", "--latency", "0.025ms", "--finalists", "0"]
SEARCH += ["--data", "digits"]
QUICK = ["--accuracy", "sensitivity:2,sandwich", "--controller", "exact"]


def test_exact_proves_by_it_and_a_run_that_goes_on_measures_nothing_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads(nas(*SEARCH, *QUICK, "--json", "--out", "run", cwd=folder).stdout)
    assert document["proof"]["proven"]
    assert document["winner"]["latency_ms"] <= 0.025
    assert document["accuracy"]["label"] == "sensitivity top-1"
    assert "no architecture of the space has a better sensitivity top-1" in document["proof"]["verdict"]
    assert json.loads((folder / "run/winner/config.json").read_text())["weights"] == "supernet"
    (folder / "run" / "result.json").unlink()
    monkeypatch.setattr("nas.accuracy.sensitivity.moved", None)  # what would measure
    again = json.loads(nas("search", "--resume", "--json", "--out", "run", cwd=folder).stdout)
    assert again["winner"] == document["winner"]
    (folder / "run" / "result.json").unlink()
    (folder / "run" / "ledger.bin").unlink()
    kept = json.loads((folder / "run" / FILE).read_text())
    for wrong, part in (
        (kept | {"fingerprint": "another"}, "measured for another request"),
        (kept | {"losses": kept["losses"][1:]}, "a loss for each option"),
        (kept | {"checked": [[9] * 9]}, "a loss for each option"),
        ({"losses": 3}, "these keys are required"),
    ):
        (folder / "run" / FILE).write_text(json.dumps(wrong))
        error = nas("search", "--resume", "--out", "run", cwd=folder, code=2).stderr
        assert part in error
        assert "Traceback" not in error


class Killed(BaseException):
    """Nothing is done after it."""


def test_killed_it_goes_on_where_it_was(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and networks are kept one by one, and come to the same."""
    add, added, stops = JsonLines.add, list[Any](), list[int]()
    space, digits = load_space(folder / "small.yaml"), load_data("digits", 16)

    def counted(self: JsonLines, document: dict[str, Any]) -> None:
        if stops and len(added) == stops[0]:
            del stops[0]
            raise Killed
        add(self, document)
        if "of" in document:
            added.append(document["of"])

    def measure(run: Path) -> None:
        run.mkdir(exist_ok=True)
        weights = SharedWeights(space, digits, SharedSettings(steps=1), 0, run, Silent())
        weights.are_trained()
        assert len(Sensitivity(weights).factors.terms) > 0

    monkeypatch.setattr(JsonLines, "add", counted)
    measure(tmp_path / "whole")
    every = list(added)
    assert [len(of) for of in every] == [3] * 2 * 10 + [9] * 17
    added.clear()
    stops += [7, 15, 30]
    while stops:
        with pytest.raises(Killed):
            measure(tmp_path / "killed")
        with (tmp_path / "killed" / "sensitivity.jsonl").open("ab") as file:
            file.write(b'{"of": [0, 1')
    measure(tmp_path / "killed")
    assert added == every
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "killed")]
    assert files == [[FILE], [FILE]]
    assert (tmp_path / "killed" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b'{"format": "nas-pieces/1", "fingerprint": "other"}', "these measurements are of another request"),
        (b'{"of": [0, 1, 1], "value": NaN}', "line 2: not a measurement"),
        (b'{"of": [0, 1, 1], "value": "much"}', "line 2: not a measurement"),
        (b"[" * 99999, "line 2: not a measurement"),
        (b"\xff", "line 2: not a measurement"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_measurements_that_are_none(tmp_path: Path, line: bytes, part: str) -> None:
    file = tmp_path / "sensitivity.jsonl"
    Pieces(file, "this")
    head = b"" if b"format" in line else file.read_bytes()
    file.write_bytes(head + line + b"\n")
    with pytest.raises(RunError, match=part):
        Pieces(file, "this")


def test_what_is_no_number_is_not_kept(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path / "sensitivity.jsonl", "this")
    with pytest.raises(NasError, match="outputs came to nan"):
        pieces.complete([1, 2], lambda of: iter([0.5, float("nan")]))
    assert Pieces(tmp_path / "sensitivity.jsonl", "this").complete([1], lambda of: iter([])) == [0.5]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([*SEARCH[:-2], *QUICK], "add --data"),
        ([*SEARCH, "--accuracy", "sensitivity:often"], "takes a number of steps"),
        ([*SEARCH, "--accuracy", "sensitivity:0"], "takes a number of steps"),
        ([*SEARCH, "--accuracy", "supernet", "--controller", "exact"], "a sum of arrays"),
        ([*SEARCH, *QUICK, "--objective", "front"], "objective"),
        ([*SEARCH, *QUICK, "--workers", "ray"], "--workers is for"),
        ([*SEARCH, "--accuracy", "sensitivity", "--controller", "proxyless"], "leave --accuracy out"),
    ],
    ids=lambda value: " ".join(value[8:]) if isinstance(value, list) else None,
)
def test_wrong_requests(folder: Path, arguments: list[str], part: str) -> None:
    before = sorted(folder.iterdir())
    done = nas(*arguments, cwd=folder, code=2)
    assert part in done.stderr
    assert len([line for line in done.stderr.splitlines() if "Validation" not in line]) <= 2
    assert sorted(folder.iterdir()) == before

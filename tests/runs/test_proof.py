"""A search ends with a proof where there is one to be had, and is otherwise what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import nas as run_nas

import nas

QUICK = {"space": "mobile", "target": "pixel-cpu", "latency_ms": 75.0, "budget": 20_000}
WORDS = ["search", "--space", "mobile", "--target", "pixel-cpu", "--latency", "75ms", "--budget", "50"]


def test_a_search_ends_with_the_proof_and_its_ledger_is_what_it_was(tmp_path: Path) -> None:
    """Of few evaluations the proof finds a better one, which then is the winner, and told as such."""
    asked = QUICK | {"controller": "random", "budget": 50}
    run, again = (nas.search(**asked, out=tmp_path / name) for name in ("run", "again"))
    plain = nas.search(**asked, prove=False, out=tmp_path / "plain")
    assert (run.path / "ledger.bin").read_bytes() == (plain.path / "ledger.bin").read_bytes()
    assert plain.result.proof is None
    proof = run.result.proof
    assert proof.proven
    assert proof.verdict.startswith("proved: no architecture of the space has a better proxy top-1 within the bound;")
    assert f"this winner is the proof's, {proof.improved_by:.3f} above" in proof.verdict
    assert proof.improved_by > 1
    assert run.winner.accuracy == pytest.approx(proof.upper_bound)
    assert run.winner.accuracy == pytest.approx(plain.winner.accuracy + proof.improved_by)
    assert run.winner.latency_ms <= 75
    assert run.winner.latency_ms in [point.latency_ms for point in run.front]
    assert run.architecture.macs == run.winner.macs
    assert (again.winner, again.front) == (run.winner, run.front)
    assert json.loads((run.path / "result.json").read_text())["proof"]["verdict"] == proof.verdict


@pytest.mark.parametrize(
    "asked",
    [
        {"objective": "front", "controller": "nsga2"},
        {"objective": "mnasnet-soft"},
        {"accuracy": "zero-cost:macs"},
    ],
)
def test_where_there_is_nothing_to_prove_nothing_is_said(tmp_path: Path, asked: dict[str, str]) -> None:
    run = nas.search(**QUICK | {"budget": 50} | asked, out=tmp_path / "run")
    assert run.result.proof is None


def test_a_proof_that_takes_too_long_bounds_what_is_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.runs.solver_search.SHORT_WORK", 10_000_000)
    proof = nas.search(**QUICK | {"budget": 500}, out=tmp_path / "run").result.proof
    assert not proof.proven
    assert 0 < proof.gap < 10
    assert proof.verdict.startswith("not proved: within the bound the winner can be beaten by at most")


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--prove", "--accuracy", "zero-cost:macs"], "zero-cost score is none. Leave --prove out."),
        (["--controller", "exact", "--accuracy", "zero-cost:macs"], "is none. Take another --controller."),
        (["--space", "single-path", "--controller", "exact"], "zero-cost score is none"),
        (["--space", "single-path", "--prove"], "zero-cost score is none"),
        (["--prove", "--objective", "mnasnet-hard"], "A proof is of the objective `bound`"),
        (["--prove", "--controller", "nsga2"], "A proof is of the objective `bound`, got 'front'"),
        (["--prove", "--objective", "front:macs", "--controller", "nsga2"], "A proof is of the objective `bound`"),
        (["--prove", "--controller", "reinforce", "--data", "digits"], "no proof"),
        (["--prove=yes"], "does not take a value"),
    ],
    ids=" ".join,
)
def test_a_proof_that_there_cannot_be_is_refused_before_anything_is_evaluated(
    tmp_path: Path, more: list[str], part: str
) -> None:
    done = run_nas(*WORDS, *more, cwd=tmp_path, code=2)
    assert part in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prove", ["yes", 1, 0, "", 1.0])
def test_in_python_it_is_true_false_or_none(tmp_path: Path, prove: object) -> None:
    with pytest.raises(nas.NasError, match="`prove` is true or false"):
        nas.search(**QUICK, prove=prove, out=tmp_path / "run")


@pytest.mark.parametrize("option", ["--prove", "--no-prove"])
def test_a_run_that_is_gone_on_with_is_proved_as_it_was_asked_for(tmp_path: Path, option: str) -> None:
    """A run of version 0.1, whose request says false where nobody asked, gets no proof now."""
    run_nas(*WORDS, "--no-prove", "--out", "run", cwd=tmp_path)
    (tmp_path / "run" / "result.json").unlink()
    if option == "--prove":
        done = run_nas("search", "--resume", "--out", "run", option, cwd=tmp_path, code=2)
        assert "this run has prove False" in done.stderr
    else:
        done = run_nas("search", "--resume", "--out", "run", option, cwd=tmp_path)
        assert "\nproof " not in done.stdout

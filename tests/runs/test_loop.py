"""Searches from request to result: reproducible, resumable, within their bounds."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nas
from nas.errors import Interrupted, NasError, RunError, Unattainable
from nas.runs.ledger_file import LedgerFile
from nas.runs.request import Request

QUICK = {"space": "mobile", "target": "pixel-cpu", "latency_ms": 75.0, "budget": 20_000, "prove": False}
COLUMNS = ("accuracy", "latency_ms")


def _ledger(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray], list[np.ndarray]]:
    """Genotypes, measures, and what each batch asked for."""
    ledger = LedgerFile.read(path / "ledger.bin", 28, COLUMNS)
    return ledger.genotypes(), ledger.measures(), [population for population, _ in ledger.replay()]


def _content(result: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in result.items() if key not in {"run", "seconds", "archs_per_second"}}


def test_a_search_meets_its_bound_and_says_what_it_found(tmp_path: Path) -> None:
    run = nas.search(**QUICK, out=tmp_path / "run")
    space, table = nas.load_space("mobile"), nas.load_table("pixel-cpu")
    genotype = space.encode([run.winner.decisions])
    assert run.winner.latency_ms <= 75
    assert run.winner.latency_ms == pytest.approx(nas.latency(space, table)(genotype)[0], abs=1e-9)
    assert run.winner.accuracy == pytest.approx(nas.load_predictor("mobile")(genotype)[0], abs=1e-9)
    assert run.winner.macs == space.decode(genotype[0]).macs
    assert run.architecture == space.decode(genotype[0])
    assert run.result.evaluations == 20_000
    latencies, accuracies = zip(*((point.latency_ms, point.accuracy) for point in run.front), strict=True)
    assert list(latencies) == sorted(latencies)
    assert list(accuracies) == sorted(accuracies)
    written = pd.read_csv(tmp_path / "run" / "front.csv")
    pd.testing.assert_frame_equal(run.frame(), written)
    rows = (tmp_path / "run" / "front.csv").read_text().splitlines()
    assert len(rows) == len(run.front) + 1
    assert rows[0].startswith("latency_ms,accuracy,accuracy_sigma,macs,params,stage1.depth")


def test_one_seed_one_result_and_nothing_twice(tmp_path: Path) -> None:
    first, second = (nas.search(**QUICK, seed=3, out=tmp_path / name) for name in "ab")
    other = nas.search(**QUICK, seed=4, out=tmp_path / "c")
    assert _content(first.to_json()) == _content(second.to_json())
    assert (_ledger(first.path)[0] != _ledger(other.path)[0]).any()
    genotypes, _, batches = _ledger(first.path)
    assert len({genotype.tobytes() for genotype in genotypes}) == len(genotypes) == sum(map(len, batches)) == 20_000


@pytest.mark.parametrize("controller", ["evolution", "random"])
def test_interrupted_and_resumed_ends_the_same(tmp_path: Path, controller: str) -> None:
    whole = nas.search(**QUICK, controller=controller, out=tmp_path / "whole")
    for stop in (1, 7, 42):
        path = tmp_path / f"cut-{stop}"

        def interrupt(done: int, total: int | None, note: str, stop: int = stop) -> None:
            if done == stop * 100:
                os.kill(os.getpid(), signal.SIGTERM if stop == 7 else signal.SIGINT)

        with pytest.raises(Interrupted, match="--resume"):
            nas.search(**QUICK, controller=controller, out=path, progress=interrupt)
        resumed = nas.search(out=path, resume=True)
        assert _content(resumed.to_json()) == _content(whole.to_json())
        assert (path / "ledger.bin").read_bytes() == (whole.path / "ledger.bin").read_bytes()
        assert (path / "front.csv").read_bytes() == (whole.path / "front.csv").read_bytes()


@pytest.mark.parametrize("moments", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_at_any_moment_loses_nothing(tmp_path: Path, moments: int) -> None:
    command = [sys.executable, "-m", "nas", "search", "--space", "mobile", "--target", "pixel-cpu", "--latency", "75ms"]
    command += ["--no-prove"]
    budget = ["--budget", "60000", "--json"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    start = time.monotonic()
    subprocess.run([*command, *budget, "--out", str(whole)], check=True, capture_output=True)
    seconds = time.monotonic() - start
    draw = random.Random(0)
    kept = 0
    for _ in range(moments):
        resume = ["--resume"] if (cut / "request.json").exists() else []
        process = subprocess.Popen(
            [*command, *budget, *resume, "--out", str(cut)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0, seconds))
        process.kill()
        process.wait()
        if (cut / "ledger.bin").exists() and (cut / "setup.json").exists():
            rows = len(_ledger(cut)[0])
            assert rows >= kept
            kept = rows
    resume = ["--resume"] if (cut / "request.json").exists() else []
    last = subprocess.run([*command, *budget, *resume, "--out", str(cut)], check=True, capture_output=True, text=True)
    assert _content(json.loads(last.stdout)) == _content(nas.Run.load(whole).to_json())
    assert (cut / "ledger.bin").read_bytes() == (whole / "ledger.bin").read_bytes()
    for name in ("front.csv", "winner/config.json", "winner/arch.txt", "winner/model.onnx", "winner/model.py"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_resuming_a_finished_run_gives_its_result_again(tmp_path: Path) -> None:
    first = nas.search(**QUICK, out=tmp_path / "run")
    before = (first.path / "ledger.bin").read_bytes()
    assert nas.search(out=first.path, resume=True).result == first.result
    assert (first.path / "ledger.bin").read_bytes() == before


@pytest.mark.slow
def test_five_seeds_agree_at_every_bound(tmp_path: Path) -> None:
    for bound in (40.0, 60.0, 75.0, 100.0):
        found = [
            nas.search(
                space="mobile", target="pixel-cpu", latency_ms=bound, seed=s, out=tmp_path / f"{bound}-{s}"
            ).winner
            for s in range(5)
        ]
        assert all(winner.latency_ms <= bound for winner in found)
        accuracies = [winner.accuracy for winner in found]
        assert max(accuracies) - min(accuracies) <= 0.05


def test_without_a_bound_the_first_reference_sets_it(tmp_path: Path) -> None:
    run = nas.search(space="mobile", target="pixel-cpu", budget=2_000, out=tmp_path / "run")
    reference = run.result.references["efficientnet-b0"]
    assert run.result.bounds["latency_ms"] == pytest.approx(reference.latency_ms)
    assert run.winner.accuracy >= reference.accuracy  # it is among the first asked for


def test_further_bounds_hold_too(tmp_path: Path) -> None:
    run = nas.search(**QUICK, at_most={"macs": 150e6, "params": 3e6}, out=tmp_path / "run")
    assert run.winner.latency_ms <= 75
    assert run.winner.macs <= 150e6
    assert run.winner.params <= 3e6


@pytest.mark.parametrize("objective", ["mnasnet-soft", "mnasnet-hard"])
def test_mnasnet_objectives_maximise_their_product(tmp_path: Path, objective: str) -> None:
    run = nas.search(**QUICK, objective=objective, out=tmp_path / "run")
    _, measures, _ = _ledger(run.path)
    ratio = measures["latency_ms"] / 75
    below, above = (-0.07, -0.07) if objective == "mnasnet-soft" else (0.0, -1.0)
    product = measures["accuracy"] * np.where(ratio <= 1, ratio**below, ratio**above)
    best = product.argmax()
    assert run.winner.accuracy == pytest.approx(measures["accuracy"][best])
    assert run.winner.latency_ms == pytest.approx(measures["latency_ms"][best])


def test_unattainable_bounds_are_refused_before_any_search(tmp_path: Path) -> None:
    with pytest.raises(Unattainable, match=r"at most 5 ms.*attains"):
        nas.search(space="mobile", target="pixel-cpu", latency_ms=5.0, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(Unattainable, match="MACs"):
        nas.search(space="mobile", target="pixel-cpu", at_most={"macs": 1e6}, out=tmp_path / "run")


def test_a_tight_bound_is_met(tmp_path: Path) -> None:
    space = nas.load_space("mobile")
    least, _ = nas.latency(space, nas.load_table("pixel-cpu")).bounds()
    run = nas.search(space="mobile", target="pixel-cpu", latency_ms=least * 1.001, budget=5_000, out=tmp_path / "run")
    assert run.winner.latency_ms <= least * 1.001


def test_a_time_budget_becomes_a_count_that_resuming_keeps(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def interrupt(done: int, total: int | None, note: str) -> None:
        if total is not None:
            os.kill(os.getpid(), signal.SIGINT)

    request = {"space": "mobile", "target": "pixel-cpu", "budget": None, "seconds": 1.5}
    with pytest.raises(Interrupted):
        nas.search(**request, out=path, progress=interrupt)
    planned = json.loads((path / "setup.json").read_text())["planned"]
    run = nas.search(out=path, resume=True)
    assert sum(map(len, _ledger(run.path)[2])) == planned
    assert planned > 10_000


def test_a_run_of_something_else_is_not_resumed(tmp_path: Path) -> None:
    nas.search(**QUICK | {"budget": 500}, out=tmp_path / "run")
    with pytest.raises(RunError, match="this run has space 'mobile'"):
        nas.search(space="other", out=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="there is a run here"):
        nas.search(**QUICK, out=tmp_path / "run")
    with pytest.raises(RunError, match="no run to resume"):
        nas.search(out=tmp_path / "nothing", resume=True)


def test_a_changed_table_stops_a_resumed_run(tmp_path: Path) -> None:
    import shutil

    table = tmp_path / "table"
    shutil.copytree(nas.load_table("pixel-cpu").path, table)

    def interrupt(done: int, total: int | None, note: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        nas.search(space="mobile", target=str(table), budget=5_000, out=tmp_path / "run", progress=interrupt)
    rows = (table / "table.csv").read_text()
    (table / "table.csv").write_text(rows.replace("4.49050", "4.49051"))
    with pytest.raises(RunError, match="latency table has changed"):
        nas.search(out=tmp_path / "run", resume=True)


def test_exact_is_proven_and_evolution_comes_close_without_it(tmp_path: Path) -> None:
    exact = nas.search(**QUICK | {"budget": None}, controller="exact", out=tmp_path / "exact")
    assert exact.result.proof.proven
    assert exact.result.proof.gap == 0
    assert exact.winner.latency_ms <= 75
    run = nas.search(**QUICK | {"prove": True}, out=tmp_path / "evolution")
    proof = run.result.proof
    assert proof.upper_bound == pytest.approx(exact.winner.accuracy)
    assert proof.gap == pytest.approx(0)
    assert (proof.improved_by or 0.0) < 0.3  # with a 25th of the usual budget


def test_progress_says_how_things_stand(tmp_path: Path) -> None:
    notes: list[str] = []
    nas.search(**QUICK, out=tmp_path / "bound", progress=lambda done, total, note: notes.append(note))
    best = [float(note.removeprefix("best ")) for note in notes if note.startswith("best")]
    assert best == sorted(best)
    assert best[-1] > 65
    notes.clear()
    request = {"space": "mobile", "target": "pixel-cpu", "budget": 5_000, "controller": "nsga2"}
    nas.search(**request, out=tmp_path / "front", progress=lambda done, total, note: notes.append(note))
    volumes = [float(note.rsplit(" ", 1)[1]) for note in notes]
    assert all("front of" in note for note in notes)
    assert 0.5 < volumes[0] < volumes[-1] < 1


def test_nsga2_gives_a_front_and_the_winner_within_the_bound(tmp_path: Path) -> None:
    run = nas.search(space="mobile", target="pixel-cpu", controller="nsga2", budget=20_000, out=tmp_path / "run")
    reference = run.result.references["efficientnet-b0"]
    assert run.winner.latency_ms <= reference.latency_ms
    latencies = [point.latency_ms for point in run.front]
    assert latencies[0] < 20
    assert latencies[-1] > 150  # the default bound does not cut the front
    cut = nas.search(**QUICK, controller="nsga2", objective="front:macs", out=tmp_path / "cut")
    assert cut.winner.latency_ms <= 75


@pytest.mark.parametrize(
    "change",
    [
        {"controller": "annealing"},
        {"objective": "best"},
        {"accuracy": "oracle"},
        {"latency_ms": -1.0},
        {"latency_ms": float("nan")},
        {"latency_ms": "75ms"},
        {"at_most": {"watts": 3.0}},
        {"at_most": {"macs": float("inf")}},
        {"budget": 0},
        {"budget": 2.5},
        {"seconds": 3.0, "budget": 5},
        {"objective": "front"},
        {"objective": "front:watts", "controller": "nsga2"},
        {"objective": "mnasnet-soft", "controller": "exact"},
        {"prove": True, "controller": "nsga2"},
        {"seed": -1},
        {"seed": True},
    ],
)
def test_wrong_requests_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(NasError):
        Request(**{"space": "mobile", "target": "pixel-cpu"} | change)


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / ".request.json.abc123.part").write_text("{")
    run = nas.search(**QUICK | {"budget": 500}, out=path)
    assert run.finished
    assert not list(path.glob(".*"))

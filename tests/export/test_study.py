"""Runs as Optuna studies: what is in the file, for runs that are finished, running and long; and the dashboard."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import nas
from nas.errors import RunError
from nas.export.study import to_study
from nas.runs.ledger import Ledger

SEARCH: dict[str, Any] = {"space": "mobile", "target": "pixel-cpu", "latency_ms": 75.0, "budget": 400, "prove": False}


def opened(path: Path) -> optuna.Study:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


def test_a_finished_run_opens_with_everything_that_was_measured(tmp_path: Path) -> None:
    run = nas.search(**SEARCH, out=tmp_path / "run")
    path = to_study(run.path, run.path)
    assert path == tmp_path / "run" / "study.journal"
    assert [part for part in run.path.iterdir() if part.name.startswith(".")] == []
    study = opened(path)
    assert len(study.trials) == 400
    assert study.metric_names == ["accuracy"]
    assert study.user_attrs["evaluations"] == 400
    assert study.user_attrs["left_out"] == 0
    best = study.best_trial
    assert best.value == pytest.approx(run.winner.accuracy)
    assert best.params == run.winner.decisions
    assert best.user_attrs["latency_ms"] == pytest.approx(run.winner.latency_ms)
    assert best.user_attrs["accuracy"] == best.value
    space = nas.load_space("mobile")
    assert best.user_attrs["arch"] == "".join(map(str, space.encode([best.params])[0]))
    assert best.constraints == {"latency_ms": pytest.approx(run.winner.latency_ms / 75 - 1)}
    assert any(trial.constraints["latency_ms"] > 0 for trial in study.trials)
    assert to_study(run.path, run.path) == path  # again, in its place
    assert len(opened(path).trials) == 400


def test_of_many_the_best_and_the_newest_are_kept(tmp_path: Path) -> None:
    run = nas.search(**SEARCH, out=tmp_path / "run")
    study = opened(to_study(run.path, run.path, most=50))
    assert len(study.trials) == 50
    assert study.user_attrs["left_out"] == 350
    assert study.best_value == pytest.approx(run.winner.accuracy)
    rows = [trial.user_attrs["row"] for trial in study.trials]
    assert rows == sorted(rows)
    assert set(rows) >= set(range(380, 400))


def test_a_front_has_costs_to_minimise(tmp_path: Path) -> None:
    run = nas.search(space="mobile", target="pixel-cpu", controller="nsga2", budget=300, out=tmp_path / "run")
    study = opened(to_study(run.path, run.path))
    assert study.metric_names == ["accuracy", "latency_ms"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert {trial.values[1] for trial in study.best_trials} == {point.latency_ms for point in run.front}


def test_a_run_that_is_being_worked_on_can_be_read(tmp_path: Path) -> None:
    run = nas.search(**SEARCH, out=tmp_path / "run")
    file = run.path / "ledger.bin"
    space = nas.load_space("mobile")
    working = Ledger.open(file, space.cardinalities, ("accuracy", "latency_ms"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])  # a block that is only half there yet
    study = opened(to_study(run.path, run.path))
    assert 390 <= len(study.trials) < 400
    assert file.read_bytes() == whole[:-20]  # nothing was cut off
    working.close()


def test_no_run_and_another_space_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run here"):
        to_study(tmp_path, tmp_path)
    run = nas.search(**SEARCH, out=tmp_path / "run")
    setup = json.loads((run.path / "setup.json").read_text())
    (run.path / "setup.json").write_text(json.dumps(setup | {"space": "0" * 64}))
    with pytest.raises(RunError, match="the search space has changed"):
        to_study(run.path, run.path)


@pytest.mark.slow
def test_the_dashboard_lists_the_trials(tmp_path: Path) -> None:
    dashboard = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))
    assert dashboard, "optuna-dashboard belongs to the test extra: pip install -e '.[test]'"
    run = nas.search(**SEARCH, out=tmp_path / "run")
    path = to_study(run.path, run.path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [dashboard, str(path), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            (study,) = _get(port, "/api/studies")["study_summaries"]
            assert study["study_name"] == "mobile on pixel-cpu: run"
            trials = _get(port, f"/api/studies/{study['study_id']}")["trials"]
        finally:
            server.terminate()
    assert len(trials) == 400
    best = max((trial for trial in trials if _latency(trial) <= 75), key=lambda trial: trial["values"][0])
    assert float(best["values"][0]) == pytest.approx(run.winner.accuracy)
    assert np.isclose(_latency(best), run.winner.latency_ms)


def _latency(trial: dict[str, Any]) -> float:
    return float(next(attr["value"] for attr in trial["user_attrs"] if attr["key"] == "latency_ms"))


def _get(port: int, path: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(120):
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(path)

"""`--workers ray`: the same search as without, on two nodes of which one is killed; and what fails, said in a line."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searches import SPACE, content, ended, start, trained, wait_for
from tellers import Said
from two_nodes import TwoNodes, two_nodes

from nas.errors import Interrupted, NasError
from nas.runs.heat import Heat
from nas.workers import check_workers, make_workers

SEARCH = ("--accuracy", "train:2", "--budget", "8", "--batch", "4", "--seed", "3")


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with two_nodes() as cluster:
        yield cluster


def test_pieces_of_work_on_two_nodes(cluster: TwoNodes, tmp_path: Path) -> None:
    """Results, what is raised, what dies, and what is interrupted, in one connection, as each takes a while."""
    teller = Said()
    with closing(make_workers(f"ray:{cluster.address}", teller)) as workers:
        assert workers.option == f" --workers ray:{cluster.address}"
        assert workers.at_once(gpu=False) == workers.at_once(gpu=True) == 2
        shared = np.arange(200_000)

        nodes = tmp_path / "nodes"
        nodes.mkdir()

        def add(item: int) -> int:
            import ray

            (nodes / ray.get_runtime_context().get_node_id()).touch()
            end = time.monotonic() + 120
            while len(list(nodes.iterdir())) < 2 and time.monotonic() < end:
                time.sleep(0.05)
            return int(shared[item]) + 1

        assert dict(workers.map(add, [5, 7, 11, 199_999])) == {0: 6, 1: 8, 2: 12, 3: 200_000}
        assert len(list(nodes.iterdir())) == 2
        assert list(workers.map(add, [])) == []

        def refuse(item: int) -> int:
            raise NasError(f"{item} is refused.") if item == 2 else ZeroDivisionError("a mistake")

        with pytest.raises(NasError, match=r"^2 is refused\.$"):
            list(workers.map(refuse, [2]))
        with pytest.raises(ZeroDivisionError):
            list(workers.map(refuse, [1]))
        assert teller.lines == []

        def die_twice(item: int) -> int:
            if item == 1 and len(list(tmp_path.iterdir())) < 3:
                (tmp_path / str(os.getpid())).touch()
                os._exit(3)
            return item

        assert sorted(workers.map(die_twice, [0, 1, 2])) == [(0, 0), (1, 1), (2, 2)]
        assert [line.partition(". ")[2] for line in teller.lines if "was lost" in line] == [
            f"Piece of work 2 is handed in again, try {n} of 4." for n in (2, 3)
        ]

        def die(item: int) -> int:
            os._exit(3)

        with pytest.raises(NasError, match="Piece of work 1 was given up after 4 tries: a worker or its node was lost"):
            list(workers.map(die, [0]))

        def last(item: int) -> int:
            time.sleep(60 * item)
            return item

        started = time.monotonic()
        with closing(workers.map(last, [0, 1])) as finished:
            assert next(finished) == (0, 0)
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(Interrupted, match="1 of 2 pieces"):
                next(finished)
        assert time.monotonic() - started < 30


def test_two_nodes_one_of_them_killed_half_way_find_what_one_process_finds(cluster: TwoNodes, tmp_path: Path) -> None:
    here, _ = ended(start(tmp_path, *SEARCH, "--out", "here"))
    for attempt in range(4):  # its piece of work may end just before it is killed
        out = f"there{attempt}"
        cluster.mend()
        process = start(tmp_path, *SEARCH, "--workers", f"ray:{cluster.address}", "--out", out)
        wait_for(tmp_path / out, 3, process)
        cluster.hold_work()
        cluster.kill()
        there, error = ended(process)
        assert there["winner"] == here["winner"]
        assert content(tmp_path / out) == content(tmp_path / "here")
        assert len(trained(tmp_path / out)) == len({str(line["decisions"]) for line in trained(tmp_path / out)})
        told = [line for line in error.splitlines() if line.startswith("nas: ")]
        assert told == error.splitlines()
        if any("was lost" in line and "handed in again, try 2 of 4" in line for line in told):
            return
    raise AssertionError("the node never had a piece of work when it was killed")


@pytest.mark.slow
def test_a_killed_driver_goes_on_where_its_trainings_ended(cluster: TwoNodes, tmp_path: Path) -> None:
    cluster.mend()
    ended(start(tmp_path, *SEARCH, "--out", "here"))
    where = ("--workers", f"ray:{cluster.address}")
    for number in (signal.SIGKILL, signal.SIGINT):
        run = tmp_path / f"cut-{number}"
        process = start(tmp_path, *SEARCH, *where, "--out", run.name)
        wait_for(run, 5, process)
        os.kill(process.pid, number)
        _, error = ended(process, code=130 if number == signal.SIGINT else -number)
        if number == signal.SIGINT:
            assert f"trainings are kept. Go on: nas search --resume --out {run.name} --workers ray:" in error
        before = trained(run)
        assert 5 <= len(before) < 8
        ended(start(tmp_path, "--resume", *where, "--out", run.name))
        assert trained(run)[: len(before)] == before
        assert len(trained(run)) == len(trained(tmp_path / "here"))
        assert content(run) == content(tmp_path / "here")


RACE = ("--accuracy", "supernet:3", "--budget", "8", "--seed", "3", "--finalists", "3", "--latency", "30us")


@pytest.mark.slow
def test_a_race_on_two_nodes_one_of_them_killed(cluster: TwoNodes, tmp_path: Path) -> None:
    """The supernet is trained here, the networks of the race are by workers."""
    cluster.mend()
    where = ("--workers", f"ray:{cluster.address}")
    process = start(tmp_path, *RACE, *where, "--out", "killed")
    cluster.hold_work()
    cluster.kill()
    killed, error = ended(process)
    assert "workers train the networks of the race alone" in error
    assert "was lost" in error
    assert "handed in again, try 2 of 4" in error
    assert killed["race"]["lost"] == []
    assert killed["winner"]["accuracy"] == killed["race"]["runners"][0]["top1"]
    whole, _ = ended(start(tmp_path, *RACE, *where, "--out", "whole"))
    assert [runner["inherited"] for runner in whole["race"]["runners"]].count(True) == 3
    for part in ("winner", "accuracy_check"):
        assert killed[part] == whole[part]
    tops = [{runner["name"]: runner["top1"] for runner in run["race"]["runners"]} for run in (killed, whole)]
    assert tops[0] == tops[1]
    assert not (tmp_path / "whole" / "race").exists()


@pytest.mark.slow
def test_a_network_that_takes_its_workers_down_is_lost(
    cluster: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nas
    from nas.runs import race

    def deadly(*arguments: Any) -> Any:
        heat = Heat(*arguments)

        def train(lap: Any) -> Any:
            return os._exit(3) if lap.key == "0-1" else heat(lap)

        return train

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(race, "Heat", deadly)
    (tmp_path / "tiny.yaml").write_text(SPACE)
    asked = {"space": str(tmp_path / "tiny.yaml"), "target": "fake", "latency_ms": 0.03, "data": "digits"}
    more = {"accuracy": "supernet:3", "budget": 8, "finalists": 2}
    run = nas.search(**asked, **more, workers=f"ray:{cluster.address}", out=tmp_path / "run")
    assert run.result.race is not None
    assert [(lost.name, lost.round) for lost in run.result.race.lost] == [("finalist-2", 1)]
    assert "was given up after 4 tries" in run.result.race.lost[0].reason
    assert "finalist-2" not in {runner.name for runner in run.result.race.runners}


@pytest.mark.slow
def test_zero_cost_scores_are_the_same_on_ray(cluster: TwoNodes, tmp_path: Path) -> None:
    search = ("--accuracy", "zero-cost", "--budget", "10", "--batch", "3")
    ended(start(tmp_path, *search, "--out", "here"))
    for cached in (tmp_path / "cache").rglob("*.npy"):
        cached.unlink()  # the sample of the space is measured there, too
    ended(start(tmp_path, *search, "--workers", f"ray:{cluster.address}", "--out", "there"))
    assert content(tmp_path / "there") == content(tmp_path / "here")


@pytest.mark.slow
def test_a_ray_of_its_own_settles_how_many_are_asked_at_once(tmp_path: Path) -> None:
    cores = os.cpu_count() or 1
    _, error = ended(start(tmp_path, "--accuracy", "train:1", "--budget", "8", "--workers", "ray", "--out", "there"))
    together = min(cores, 2)
    if cores > 1:
        assert f"nas: as many evaluations are asked for at once as there are workers: --batch {together}" in error
        ended(start(tmp_path, "--accuracy", "train:1", "--budget", "8", "--batch", str(together), "--out", "here"))
        assert content(tmp_path / "there") == content(tmp_path / "here")


@pytest.mark.parametrize(
    ("word", "rule"),
    [
        ("", "Workers are ray"),
        ("ray:", "Workers are ray"),
        ("dask", "Workers are ray"),
        ("Ray", "Workers are ray"),
        ("ray://head:10001", "Ray Client addresses"),
        ("ray:ray://head:10001", "Ray Client addresses"),
    ],
)
def test_words_that_name_no_workers(word: str, rule: str) -> None:
    with pytest.raises(NasError, match=rule):
        check_workers(word)


@pytest.mark.parametrize("address", ["nonsense", "head", "head:", "head:0", "head:x", "127.0.0.1:1"])
def test_an_address_that_nothing_answers_at(address: str) -> None:
    with closing(make_workers(f"ray:{address}", Said())) as workers, pytest.raises(NasError) as caught:
        workers.at_once(gpu=False)
    assert "HOST:PORT" in str(caught.value) or "Nothing answers at 127.0.0.1:1 (Connection refused)" in str(
        caught.value
    )


def test_a_ray_that_does_not_start_says_why_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**settings: Any) -> None:
        raise ConnectionAbortedError("No room.\nMore of it.")

    monkeypatch.setattr(ray, "init", refuse)
    teller = Said()
    with pytest.raises(NasError, match=r"^Ray cannot be used here: ConnectionAbortedError: No room\. Start a cluster"):
        make_workers("ray", teller).at_once(gpu=False)
    assert teller.lines == ["Ray did not start (ConnectionAbortedError: No room.) It is started again."] * 2


@pytest.mark.slow
def test_what_answers_is_no_ray(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        process = start(tmp_path, *SEARCH, "--workers", f"ray:{address}", "--out", "run")
        document, error = ended(process, code=2)
    assert document == {}
    assert f"What answers at {address} is no Ray" in error.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_workers_that_would_have_nothing_to_do_are_refused(tmp_path: Path) -> None:
    import nas

    with pytest.raises(NasError, match=r"--workers is for the accuracies .* and for races"):
        nas.search(space="mobile", target="pixel-cpu", workers="ray", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()

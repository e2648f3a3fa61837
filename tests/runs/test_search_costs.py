"""Every cost by its name: bounded, optimised, recorded, proved, shown; a new one likewise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from witnesses import command

import nas
from nas.controllers import CONTROLLERS
from nas.cost.cost import COSTS, Cost
from nas.cost.factors import Factor, Factors
from nas.cost.front import ranks
from nas.errors import NasError, Unattainable
from nas.policies import POLICIES
from nas.runs.ledger_file import LedgerFile
from nas.runs.objective import Objective
from nas.runs.request import Request, parse_at_most

SEARCH = {"space": "mobile", "target": "pixel-cpu", "latency_ms": 75.0, "budget": 3_000, "prove": False}
PEAK, FLASH = 5.5 * 2**20, 16 * 2**20
BOUNDS = {"peak": PEAK, "flash": FLASH}
TINY = """
format: nas-space/1
name: tiny
source: test
num_classes: 10
input: {resolution: 8}
activation: relu
blocks:
  k3: {kind: mbconv, kernel: 3, expansion: 2}
  k5: {kind: mbconv, kernel: 5, expansion: 6}
  skip: {kind: identity}
stages:
  - {name: stem, block: conv, width: 8, stride: 1, kernel: 3}
  - {name: body, block: {choice: [k3, k5, skip], per: layer}, width: 8, depth: 2}
  - {name: top, block: mbconv, width: 12, stride: 2, depth: {choice: [1, 2]}, expansion: {choice: [1, 2]}}
head: {width: 16}
"""


def few(controller: str) -> dict[str, Any]:
    """A search that does not take long."""
    slow = controller == "surrogate" or controller.startswith("optuna")
    return {**SEARCH, "budget": None if controller == "exact" else 40 if slow else 3_000, "controller": controller}


@pytest.mark.parametrize("controller", ["exact", "evolution", "random", "nsga2", "surrogate", "optuna:tpe"])
def test_every_controller_keeps_bounds_on_memory(tmp_path: Path, controller: str) -> None:
    assert controller == "exact" or controller in CONTROLLERS
    run = nas.search(**few(controller), at_most=BOUNDS, out=tmp_path / "run")
    costs = run.result.winner.costs
    network = run.architecture
    assert costs["flash_bytes"] == COSTS["flash"].of(network) <= FLASH
    assert costs["peak_bytes"] == COSTS["peak"].of(network) <= PEAK
    assert run.result.bounds == {"latency_ms": 75.0, "peak_bytes": PEAK, "flash_bytes": FLASH}
    if controller == "exact":
        assert run.result.proof.proven


def test_a_proof_is_of_all_bounds(tmp_path: Path) -> None:
    run = nas.search(**SEARCH | {"prove": True}, at_most=BOUNDS, out=tmp_path / "run")
    exact = nas.search(**few("exact"), at_most=BOUNDS, out=tmp_path / "exact")
    proof = run.result.proof
    assert proof.proven
    assert proof.upper_bound == pytest.approx(exact.winner.accuracy, abs=1e-9)
    loose = nas.search(**few("exact"), out=tmp_path / "loose")
    assert COSTS["peak"].of(loose.architecture) > PEAK or COSTS["flash"].of(loose.architecture) > FLASH
    assert exact.winner.accuracy < loose.winner.accuracy


def test_what_is_recorded_is_what_was_asked_about(tmp_path: Path) -> None:
    asked = nas.search(**SEARCH, at_most=BOUNDS, out=tmp_path / "asked")
    columns = ("accuracy", "latency_ms", "peak_bytes", "flash_bytes")
    ledger = LedgerFile.read(asked.path / "ledger.bin", 28, columns)
    space = nas.load_space("mobile")
    assert ledger.measures()["peak_bytes"].tolist() == COSTS["peak"].factors(space)(ledger.genotypes()).tolist()
    header = (asked.path / "front.csv").read_text().splitlines()[0]
    assert header.startswith("latency_ms,accuracy,accuracy_sigma,macs,params,peak_bytes,flash_bytes,stage1.depth")
    plain = nas.search(**SEARCH, out=tmp_path / "plain")
    LedgerFile.read(plain.path / "ledger.bin", 28, ("accuracy", "latency_ms"))
    assert plain.result.winner.costs.keys() == {"macs", "params"}


def test_a_front_of_any_costs(tmp_path: Path) -> None:
    run = nas.search(**SEARCH | {"controller": "nsga2", "objective": "front:macs,peak"}, out=tmp_path / "run")
    ledger = LedgerFile.read(run.path / "ledger.bin", 28, ("accuracy", "latency_ms", "macs", "peak_bytes"))
    measures = ledger.measures()
    points = np.stack([measures["accuracy"], *(-measures[name] for name in ("latency_ms", "macs", "peak_bytes"))], 1)
    front = ranks(points) == 0
    assert front[-1_000:].mean() > 2 * front[:1_000].mean()
    assert measures["peak_bytes"][-1_000:].mean() < measures["peak_bytes"][:200].mean()


def test_as_typed_and_as_shown(tmp_path: Path) -> None:
    words = ["search", "--space", "mobile", "--target", "pixel-cpu", "--latency", "75ms", "--budget", "2000"]
    done = command(
        *words,
        "--at-most",
        "peak=5.5MiB,flash=16MiB",
        "--at-most",
        "macs=250M",
        "--no-prove",
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert "asked ≤ 75.0 ms, peak ≤ 5.5 MiB, flash ≤ 16 MiB, macs ≤ 250 M · table" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("winner"))
    assert line.endswith("peak memory")
    page = (tmp_path / "run" / "report.html").read_text()
    for text in ("peak memory", "flash", "asked ≤\u00a05.5\u00a0MiB", "peak ≤\u00a05.5\u00a0MiB", "peak=5767168"):
        assert text in page
    document = json.loads(command("search", "--resume", "--out", "run", "--json", cwd=tmp_path).stdout)
    told = json.loads(command("estimate", "run", "--target", "pixel-cpu", "--json", cwd=tmp_path).stdout)
    for key in ("flash_bytes", "peak_bytes", "macs", "params"):
        assert told[key] == document["winner"][key]
    shown = command("estimate", "run", "--target", "pixel-cpu", cwd=tmp_path).stdout
    assert "peak memory" in shown


def test_amounts_as_typed() -> None:
    assert parse_at_most("peak=256KiB,flash=1MiB") == {"peak": 262144.0, "flash": 1048576.0}
    assert parse_at_most("macs=300M") == {"macs": 3e8}
    for wrong in ("peak", "peak=", "peak=3M", "macs=1KiB", "latency=5ms", "watts=3", "", "peak=1KiB,"):
        with pytest.raises(NasError, match=r"one of macs=, params=, flash=, peak= with an amount"):
            parse_at_most(wrong)
    with pytest.raises(NasError, match="No at-most named 'latency'"):
        Request(space="mobile", target="pixel-cpu", at_most={"latency": 3.0})


def test_what_cannot_be_met_is_told_with_its_range(tmp_path: Path) -> None:
    with pytest.raises(Unattainable, match=r"at most 256 KiB peak memory: this space attains 3.062 MiB to 18.38 MiB"):
        nas.search(**SEARCH, at_most={"peak": 256 * 2**10}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def objective_of(cards: tuple[int, ...], bounds: dict[str, float], **costs: Factors) -> Objective:
    return Objective(lambda population: np.zeros(len(population)), costs, bounds, tuple(bounds))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_one_sum_under_maxima_is_decided_as_by_brute_force(seed: int) -> None:
    rng, cards = np.random.default_rng(seed), (2, 3, 2, 3)

    def random(fold: Any) -> Factors:
        scopes = [tuple(sorted(rng.choice(4, size=2, replace=False).tolist())) for _ in range(5)]
        return Factors.of(cards, 0.0, [Factor(s, rng.random([cards[a] for a in s]) + 0.1) for s in scopes], fold)

    costs = {"latency_ms": random("sum"), "peak_bytes": random("max"), "flash_bytes": random("max")}
    everything = np.stack(np.unravel_index(np.arange(36), cards), axis=1).astype(np.uint8)
    columns = {name: cost(everything) for name, cost in costs.items()}
    for share in (0.05, 0.2, 0.5):
        bounds = {name: float(np.quantile(column, share)) for name, column in columns.items()}
        within = np.all([columns[name] <= bound for name, bound in bounds.items()], axis=0)
        objective = objective_of(cards, bounds, **costs)
        if within.any():
            objective.check_attainable()
            assert (
                costs["latency_ms"](objective.cheapest())[0]
                == columns["latency_ms"][
                    np.all([columns[name] <= bounds[name] for name in ("peak_bytes", "flash_bytes")], axis=0)
                ].min()
            )
        else:
            with pytest.raises(Unattainable, match="together, though each alone can be met"):
                objective.check_attainable()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A space of which a block of kernel 5 is over a bound of 10 KiB on peak memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.mark.parametrize("controller", POLICIES)
def test_every_policy_keeps_a_bound_on_peak_memory(tmp_path: Path, tiny: str, controller: str) -> None:
    space = nas.load_space(tiny)
    peak = COSTS["peak"].factors(space)
    assert peak.bounds()[0] <= 10 * 2**10 < peak.bounds()[1]
    table = tmp_path / "table"
    command("profile", "--space", tiny, "--target", "fake", "--budget", "1s", "--out", str(table), cwd=tmp_path)
    most = nas.latency(space, nas.load_table(table)).bounds()[1]
    run = nas.search(
        space=tiny,
        target=str(table),
        data="digits",
        controller=controller,
        budget=12,
        latency_ms=most,
        at_most={"peak": 10 * 2**10},
        out=tmp_path / "run",
    )
    assert run.result.winner.costs["peak_bytes"] == COSTS["peak"].of(run.architecture) <= 10 * 2**10


def test_a_new_cost_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COSTS, "energy", Cost("energy", "energy", lambda layer: layer.macs * 4.6e-9, unit="mJ"))
    words = ["search", "--space", "mobile", "--target", "pixel-cpu", "--latency", "75ms", "--budget", "2000"]
    done = command(*words, "--at-most", "energy=1.1mJ", "--prove", "--out", "run", cwd=tmp_path)
    assert "energy ≤ 1.1 mJ" in done.stdout
    winner = json.loads((tmp_path / "run" / "result.json").read_text())["winner"]
    assert winner["energy_mJ"] == pytest.approx(winner["macs"] * 4.6e-9)
    assert winner["energy_mJ"] <= 1.1
    assert "1.1\u00a0mJ" in (tmp_path / "run" / "report.html").read_text()
    front = nas.search(**SEARCH | {"controller": "nsga2", "objective": "front:energy"}, out=tmp_path / "front")
    assert "energy_mJ" in front.front[0].costs

"""Experiments that take hours: pieces that go on where they were stopped, and what is said of those that are made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import SPACE

from nas.blocks.build import build
from nas.formats.archdef import read_archdef
from nas.formats.weights import random_weights
from nas.profiler.rounds import Effort
from nas.space.load import load_space

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "experiments"))

import busy_profile  # noqa: E402
import int8_table  # noqa: E402
from accelerator_tables import ACCELERATORS, Fitted, Networks, by_macs, by_rows  # noqa: E402
from cifar_figures import plotted, ranked, verdict  # noqa: E402
from cifar_front import REFERENCES, with_strides_dropped  # noqa: E402
from duel import METHODS, Cell, Duel, evenly, sliced  # noqa: E402
from own_pictures import shown  # noqa: E402
from pieces import Pieces, typed  # noqa: E402

NETWORKS = ROOT / "search_spaces" / "networks"


def test_a_piece_is_made_once_and_tells_what_it_cost(tmp_path: Path) -> None:
    pieces, made = Pieces(tmp_path, {"epochs": 2}), []
    assert pieces.kept("a/b", lambda: made.append(1) or {"top1": 50.0}) == {"top1": 50.0}
    assert pieces.kept("a/b", lambda: made.append(1)) == {"top1": 50.0}
    known = Pieces(tmp_path, {"epochs": 2}).known("a/b")
    assert known is not None
    assert (len(made), known["whole"], sorted(known)) == (1, True, ["cpu_seconds", "piece", "seconds", "whole"])
    assert pieces.known("a/c") is None


def test_what_a_stopped_piece_has_cost_is_kept_and_what_a_kill_took_is_told(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, {})

    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pieces.kept("stopped", stopped)
    before = json.loads((tmp_path / "stopped.begun").read_text())["seconds"]
    pieces.kept("stopped", lambda: 1)
    known = pieces.known("stopped")
    assert known is not None
    assert known["whole"]
    assert known["seconds"] > before > 0
    (tmp_path / "killed.begun").write_text(json.dumps({"seconds": 0, "cpu_seconds": 0, "whole": False}))
    pieces.kept("killed", lambda: 1)
    known = pieces.known("killed")
    assert known is not None
    assert not known["whole"]
    assert not list(tmp_path.glob("*.begun"))


def test_a_folder_is_of_one_setting(tmp_path: Path) -> None:
    Pieces(tmp_path, {"epochs": 2})
    with pytest.raises(SystemExit, match=r"was begun with \{'epochs': 2\}, not \{'epochs': 3\}. Choose another --out"):
        Pieces(tmp_path, {"epochs": 3})


def test_a_command_that_fails_ends_the_piece_and_a_begun_one_goes_on(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"nas train --resume --out .* ended with 2"):
        typed("train", "--out", tmp_path, again=("train", "--resume", "--out", tmp_path))


def test_a_part_of_the_plan_is_a_small_experiment(tmp_path: Path) -> None:
    cells = Duel(Pieces(tmp_path, {}), "", "", (0.25, 0.4), (0, 1)).cells()
    assert len(cells) == 2 * (2 * (len(METHODS) - 1) + 1)  # the whole network has one bound
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    assert cells[0].name == "supernet-0.25-0"


@pytest.mark.parametrize("inner", [False, True])
def test_an_even_cut_keeps_first_channels(inner: bool) -> None:
    whole = read_archdef(NETWORKS / "mobilenetv2-1.0.json").resized(32)
    narrow = evenly(whole, 0.5, inner)
    assert (narrow.layers[-1].in_channels == 320) == inner
    assert (narrow.layers[-1].mid_channels == 1280) == inner
    assert narrow.layers[3].mid_channels == (72 if inner else 96)  # half of 144; 6 times 24 by half, which is 16
    weights = random_weights(whole, 0)
    kept = sliced(weights, narrow)
    expanded = kept["3.0.conv.weight"]
    assert (expanded == weights["3.0.conv.weight"][: expanded.shape[0], : expanded.shape[1]]).all()
    network = build(narrow)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in kept.items()}, strict=False)
    assert set(dict(network.named_parameters())) <= set(kept)


def rows(**means: float) -> dict[Cell, dict[str, float | None]]:
    """Two seeds at 25 and 60 % of each method, half a point apart."""
    return {
        Cell(method.replace("_", "-"), share, seed): {
            "top1": mean + seed - 0.5,
            "share": share * (1.04 if method == "netadapt" else 0.99),
            "cpu_seconds": None if seed else 600.0,
        }
        for method, mean in means.items()
        for share in (0.25, 0.6)
        for seed in (0, 1)
    }


def test_the_tables_say_means_errors_and_who_broke_the_bound() -> None:
    made = rows(supernet=80.0, netadapt=83.0, even=81.0, even_inner=79.0, mobile=70.0)
    made |= {Cell("whole", 0.25, 0): {"top1": 88.5, "share": 1.0, "cpu_seconds": 600.0}}
    told = shown(made, (0.25, 0.6))
    assert "| supernet | 80.0 ± 0.5 (2) | 80.0 ± 0.5 (2) | 0.99–0.99 | 10.0 |" in told
    assert "| netadapt | 83.0 ± 0.5 (2) | 83.0 ± 0.5 (2) | 1.04–1.04 (4 of 4 above 1.03) | 10.0 |" in told
    assert "| whole | 88.5 (1) |  | 1.00–1.00 | 10.0 |" in told
    assert "| above the better even cut (goal 2) | −1.0 ± 0.0 (4) |  | +2.0 ± 0.0 (4) |" in told
    assert "| above the whole network, at 60% (goal −1.5) | −9.0 (1) |  | −6.0 (1) |" in told
    assert "scaled" not in told  # nothing is said of what is not made


def test_nothing_is_said_of_nothing() -> None:
    assert len(shown({}, (0.4,)).splitlines()) == 5


def test_ranks_have_their_interval() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(20)
    assert ranked(list(truth), list(truth))["tau"] == 1
    low, high = ranked(list(rng.random(20)), list(truth))["interval"]
    assert low < 0 < high


def test_the_verdict_is_of_the_first_random_networks_and_the_figure_has_all() -> None:
    def row(kind: str, top1: float) -> dict[str, object]:
        return {"kind": kind, "ms": top1 / 50, "top1": top1, "trainings": [top1], "macs": 1, "params": 1}

    made = {"default-1.0-0": row("winner", 62.0), "mobilenetv3-small-1.0-1.0": row("reference", 60.0)}
    made |= {f"random{i}-1.0": row("random", top1) for i, top1 in enumerate((50.0, 52.0, 99.0))}
    found = verdict(made, 2)
    assert found["random"]["mean"] == 51
    assert found["winners"]["default-1.0-0"] == {
        "over_best_reference": 2.0,
        "over_random": 11.0,
        "in_standard_errors": pytest.approx(11.0),
    }
    assert plotted({"bounds": {"1.0": {"networks": made}}}).startswith("<svg")


@pytest.mark.parametrize("name", REFERENCES)
def test_references_keep_their_early_maps_as_the_space_does(name: str) -> None:
    small = with_strides_dropped(read_archdef(NETWORKS / f"{name}.json").resized(32))
    assert small.layers[-1].height == 4
    assert [layer.height for layer in small.layers] == sorted((layer.height for layer in small.layers), reverse=True)


def test_the_experiment_on_8_bits_goes_on_and_tells_whether_its_claim_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "small.yaml").write_text(SPACE)
    asked = str(tmp_path / "small.yaml"), "fake", tmp_path / "out", 4, 1, Effort(50.0, 1.0)
    found = int8_table.run(*asked)
    ratio = found["int8"]["table"]["mape_pct"] / found["float32"]["table"]["mape_pct"]
    assert found["int8_over_float32"]["error"] == pytest.approx(ratio)
    assert found["holds"] == (ratio <= 1.5)
    assert found["int8_over_float32"]["time"] < 1
    monkeypatch.setattr(int8_table, "attached", None)  # nothing is measured again
    assert int8_table.run(*asked) == found


def test_sums_of_rows_are_found_and_what_they_leave_open_is_near_work() -> None:
    space = load_space("mobile")
    networks = Networks.of(space, space.sample(400, np.random.default_rng(0)))
    draw = np.random.default_rng(1).uniform
    true = Fitted(1.0, draw(0.1, 0.2, len(networks.layers)), draw(-0.02, 0.02, len(networks.joints)))
    seen, new = np.arange(320), np.arange(320, 400)
    ms = true(networks)
    ms[5] *= 3  # one that something else went wrong with
    found = by_rows(networks.only(seen), ms[seen])
    off = np.abs(found(networks.only(new)) / ms[new] - 1)
    assert np.median(off) < 0.01
    assert np.median(off) < 0.1 * np.median(
        np.abs(by_macs(networks.only(seen), ms[seen])(networks.only(new)) / ms[new] - 1)
    )
    assert (found.rows >= 0).all()
    assert [each.ms(500.0) for each in ACCELERATORS[1:3]] == [500.0, 2.0]  # a latency, and images a second


def test_a_busy_profile_is_held_against_quiet_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nas.profiler.rounds.PASSES", 2)
    monkeypatch.setattr(busy_profile, "POWERS", (1.0, 1.2))
    monkeypatch.setattr(sys, "argv", ["busy_profile", "--out", str(tmp_path), "--quick"])
    busy_profile.main()
    first = json.loads(capsys.readouterr().out)
    busy_profile.main()
    assert json.loads(capsys.readouterr().out) == first  # nothing is measured again
    for name in ("quiet", "busy"):
        assert [third["count"] for third in first[name]["table"]["thirds"]] == [4, 4, 4]
        found = first[name]["calibration"]
        assert (found["power"], found["holds"]) == (1.0, False)
        assert found["straight"] == found["bent"]
        assert found["straight"]["mape_pct"] < 2

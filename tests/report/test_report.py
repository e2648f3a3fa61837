"""Reports of real runs: what they say, that they load nothing, and that nothing in them becomes markup."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from reports import MOST_BYTES, Page, change, loads_nothing

from nas import search
from nas.cli import cli
from nas.errors import RunError
from nas.report import attempt_report, write_comparison, write_report
from nas.report.command import command_line
from nas.report.material import judge, read_material
from nas.runs.ledger import Ledger
from nas.runs.request import Request
from nas.runs.run import Run
from nas.space.load import load_space

PARTS = ("overview", "front", "progress", "truth", "bars", "drawing", "options", "reproduce")
HOSTILE = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"&"


class Lines:
    """A teller that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def progress(self, done: int, total: int, note: str) -> None:
        raise AssertionError

    def say(self, line: str) -> None:
        self.said.append(line)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_report_says_what_was_asked_and_found(run: Run) -> None:
    path = write_report(run)
    page, winner = Page(path), run.winner
    assert path == run.path / "report.html"
    assert loads_nothing(page)
    text = plain(page.text)
    assert "asked ≤ 75.0 ms" in text
    assert f"table {winner.latency_ms:.1f} ms estimated ± " in text
    assert "measured — not measured" in text
    assert f"proxy top-1 {winner.accuracy:.1f} ± " in text
    assert "estimated by a predictor" in text
    assert "asked ≤ 400 M" in text
    for name in PARTS:
        assert page.part(name)
    for word in (
        "evolution",
        "28 decisions",
        "efficientnet-b0",
        "MobileNetV2-1.4",
        "interpolated by the table's model",
    ):
        assert word in text


def test_the_front_chart_has_every_evaluation_or_says_how_many(run: Run) -> None:
    material = read_material(run)
    front = plain(Page(write_report(run)).part("front"))
    total = len(material.values)
    assert f"of {total:,} evaluated architectures, counted in cells" in front
    assert 'class="bound"' in front
    assert front.count("reference efficientnet-b0: 103.0 ms by table") == 1
    winner = run.winner.decisions
    assert f"stage1: depth {winner['stage1.depth']}, kernel {winner['stage1.kernel']}" in front


def test_few_evaluations_are_drawn_one_by_one(searched: Path, tmp_path: Path) -> None:
    """And the winner that none of them is, since the proof found it."""
    run = search(
        space="mobile", target="pixel-cpu", budget=150, controller="random", latency_ms=90.0, out=tmp_path / "r"
    )
    page = Page(write_report(run))
    assert "The winner is none of these: the proof found it" in page.part("progress")
    assert "this winner is the proof's" in page.text
    compared = Page(write_comparison([run, Run.load(searched / "few")], tmp_path / "compared.html")).text
    assert f"the proof, {run.result.proof.improved_by:.3f} above the controller's" in compared
    material = read_material(run)
    front = page.part("front")
    drawn = front.count("<circle")
    assert f"{drawn} of {len(material.values)} evaluated architectures" in front
    assert drawn > 0.9 * len(material.values)


def test_progress_ends_at_the_winner(run: Run) -> None:
    material = read_material(run)
    values = np.where(material.within, material.values, -np.inf)
    found = int(values.argmax()) + 1
    assert values.max() == pytest.approx(run.winner.accuracy)
    assert f"Found after {found:,} of {len(values):,} different architectures" in Page(write_report(run)).text


def test_a_front_has_its_hypervolume(searched: Path, tmp_path: Path) -> None:
    page = Page(write_report(Run.load(searched / "front"), tmp_path / "front.html"))
    assert "Hypervolume" in page.part("progress")
    assert "objective front" in page.text


def test_bars_are_the_tables_latencies(run: Run) -> None:
    bars = plain(Page(write_report(run)).part("bars"))
    material = read_material(run)
    table = material.targets[0].table
    assert table is not None
    found = table.lookup(material.architecture.layers)
    assert bars.count('<rect x="0"') == len(found.ms)
    assert f"{found.ms.max():.2f} ms" in bars
    assert f"{found.ms.sum():.1f} ms in all, an estimate" in bars
    for word in ("p-measured", "p-interpolated", "measured on the device"):
        assert word in bars


def test_the_drawing_has_every_layer(run: Run) -> None:
    drawing = Page(write_report(run)).part("drawing")
    layers = run.architecture.layers
    assert drawing.count('class="box ') == len(layers)
    assert drawing.count('class="residual"') == sum(layer.residual for layer in layers)
    assert "224² → 112² px · stride 2" in drawing
    assert "7² px → 1000 classes" in drawing


def test_options_are_counted_among_the_best(run: Run) -> None:
    material = read_material(run)
    within = np.flatnonzero(material.within)
    best = within[np.argsort(-material.values[within])[: max(20, round(0.05 * len(within)))]]
    depths = material.genotypes(best)[:, 0]
    options = plain(Page(write_report(run)).part("options"))
    assert f"among the best {len(best)} by value" in options
    assert f"stage1.depth 1: {100 * (depths == 0).mean():.0f} %" in options
    assert options.count("★ ") == 1 + len(material.space.decisions)


def test_mnasnets_product_is_what_is_shown(tmp_path: Path) -> None:
    out = tmp_path / "soft"
    run = search(space="mobile", target="pixel-cpu", latency_ms=60.0, objective="mnasnet-soft", budget=600, out=out)
    material = read_material(run)
    row = int(np.where(material.within, material.values, -np.inf).argmax())
    assert material.space.choices(material.genotypes(np.array([row]))[0]) == run.winner.decisions
    assert "best mnasnet-soft product" in Page(write_report(run)).text


def test_values_by_hand() -> None:
    measures = {"accuracy": np.array([50.0, 60]), "latency_ms": np.array([5.0, 20]), "macs": np.array([3.0, 1])}
    values, within = judge(measures, {"latency_ms": 10.0, "macs": 2.0}, "bound")
    assert (values.tolist(), within.tolist()) == ([50, 60], [False, False])
    values, within = judge(measures, {"latency_ms": 10.0, "macs": 3.0}, "mnasnet-hard")
    assert values.tolist() == [50, 30]  # 60 · (20 / 10)^-1
    assert within.tolist() == [True, True]


def test_a_measured_winner_stands_beside_the_table(run: Run) -> None:
    table_ms = run.winner.latency_ms
    measured = {"latency_ms": table_ms, "measured_ms": 80.0, "measured_halfwidth_ms": 0.5, "drift_pct": 0.0}
    measured |= {"error_pct": 100 * (80 / table_ms - 1), "raw_ms": 80.0}
    change(run.path / "result.json", measured=measured)
    text = plain(Page(write_report(run)).text)
    assert "measured 80.0 ms measured ± 0.500 ms MISSES the bound" in text
    change(run.path / "result.json", measured=measured | {"measured_halfwidth_ms": 20.0})
    unsure = plain(Page(write_report(run)).text)
    assert "measured ± 20.0 ms MISSES the bound, by less than the measurement's error" in unsure
    assert "winner as measured" in text
    assert f"winner of this run {table_ms:.2f} 80.00 {100 * (table_ms / 80 - 1):+.1f} %" in text


def test_an_own_table_shows_the_networks_that_it_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    words = ["search", "--space", "nas-bench-macro", "--target", "fake", "--accuracy", "zero-cost:params"]
    words += ["--latency", "8ms", "--budget", "40", "--out", "run"]
    subprocess.run([sys.executable, "-m", "nas", *words], cwd=tmp_path, check=True, capture_output=True)
    page = Page(write_report(Run.load(tmp_path / "run")))
    text = plain(page.text)
    assert "8 of the networks that checked the table were kept" in text
    assert "By parts of the range: the fastest 7 by" in text
    assert "On 20 whole networks measured on the device the table was" in text
    assert "winner of this run, measured" in text
    assert "p-simulated" in page.part("bars")
    assert "a score, not an accuracy" in text
    assert loads_nothing(page)


def test_a_policy_has_its_curves_and_probabilities(run: Run) -> None:
    """As `nas.runs.policy_search` writes them; such a run takes a minute, so its files stand in here."""
    space = load_space("mobile")
    change(run.path / "request.json", request=run.request.to_json() | {"controller": "single-path", "data": "digits"})
    chances = {d.name: [1.0] + [0.0] * (len(d.options) - 1) for d in space.decisions}
    told = {"steps": 500, "argmax_ms": 70.0, "expected_ms": 71.0, "changed": 3, "entropy": 0.1, "skips": 0.2}
    told |= {"argmax": {}, "decisions": 28, "floored": True, "proven": True}
    change(run.path / "result.json", policy={**told, "probabilities": chances})
    rows = [f"{n},{2 - n / 500},{90 - n / 50},0.1,{1 - n / 500},0.5" for n in range(1, 501)]
    (run.path / "policy.csv").write_text("\n".join(["step,loss,expected_ms,multiplier,entropy,skips", *rows, ""]))
    page = Page(write_report(Run.load(run.path)))
    text = plain(page.text)
    assert "500 training steps as 240 means of neighbours" in text
    assert "Probabilities of the policy at its end" in text
    assert "3 of 28 decisions changed to keep the bound" in text
    assert "guessing: ln 1,000 = 6.91" in text
    for title in ("Expected latency", "Loss", "Undecidedness", "Skipped layers"):
        assert title in page.part("progress")
    (run.path / "policy.csv").unlink()
    assert "no policy.csv" in Page(write_report(Run.load(run.path))).text
    (run.path / "policy.csv").write_text("step,loss\n1,a\n")
    with pytest.raises(RunError, match=r"policy\.csv: a policy's curves are columns of numbers"):
        write_report(Run.load(run.path))


def test_a_solved_run_has_no_progress(tmp_path: Path) -> None:
    run = search(space="mobile", target="pixel-cpu", controller="exact", latency_ms=50.0, out=tmp_path / "exact")
    text = Page(write_report(run)).text
    assert "solved for, not searched" in text
    assert "no architecture of the space has a better proxy top-1 within the bound" in text


def hostile_table(folder: Path) -> None:
    """Every text that a header may have, as an attack."""
    text = (folder / "table.yaml").read_text()
    quoted = json.dumps(HOSTILE)
    text = text.replace("model: Google Pixel 1,", f"model: {quoted},", 1)
    text = text.replace("name: TFLite,", f"name: {quoted},", 1).replace("licence: Apache-2.0", f"licence: {quoted}")
    text = text.replace("estimator: ", f"estimator: {json.dumps(HOSTILE)} #", 1).replace(
        "MobileNetV2-1.4", "<b>Mo</b>", 1
    )
    (folder / "table.yaml").write_text(text)


def test_nothing_in_a_table_or_a_run_becomes_markup(own_table: Path, tmp_path: Path) -> None:
    hostile_table(own_table)
    run = search(
        space="mobile", target=str(own_table), latency_ms=75.0, prove=False, budget=300, out=tmp_path / "r<b>&'\"un"
    )
    result = run.path / "result.json"
    winner, accuracy = run.to_json()["winner"], run.to_json()["accuracy"]
    change(result, notes=[HOSTILE, "\x1b[31m"], target=HOSTILE, accuracy=dict.fromkeys(accuracy, HOSTILE))
    change(result, references={HOSTILE: winner | {"decisions": {HOSTILE: HOSTILE}}})
    versions = {HOSTILE: HOSTILE}
    change(run.path / "setup.json", versions=versions)
    other = search(
        space="mobile", target=str(own_table), latency_ms=75.0, prove=False, budget=200, seed=1, out=tmp_path / "other"
    )
    change(other.path / "result.json", accuracy=dict.fromkeys(accuracy, HOSTILE), target=HOSTILE)
    runs = [Run.load(run.path), Run.load(other.path)]
    for path in (write_report(runs[0]), write_comparison(runs, tmp_path / "compare.html")):
        page = Page(path)
        assert loads_nothing(page)
        assert not {"b", "script", "img"} & set(page.tags)
        assert HOSTILE in page.text
        assert "\x1b" not in page.html


def test_a_table_that_has_changed_or_gone_is_told(own_table: Path, tmp_path: Path) -> None:
    run = search(space="mobile", target=str(own_table), latency_ms=75.0, prove=False, budget=200, out=tmp_path / "run")
    header = own_table / "table.yaml"
    header.write_text(header.read_text() + "# changed\n")
    page = Page(write_report(run))
    for name in ("truth", "bars"):
        assert "has changed since this run" in page.part(name)
    shutil.rmtree(own_table)
    page = Page(write_report(run))
    for name in ("truth", "bars"):
        assert "cannot be read any more" in page.part(name)
    assert "mbconv" in page.part("drawing")


def test_a_table_without_known_networks_says_so(own_table: Path, tmp_path: Path) -> None:
    header = own_table / "table.yaml"
    text = header.read_text()
    start = text.index("  whole_networks:")
    rest = text[start:].splitlines(keepends=True)
    kept = next(n for n, line in enumerate(rest[1:], 1) if line[:3].strip() and not line.startswith("  -"))
    header.write_text(text[:start] + "".join(rest[kept:]))
    run = search(space="mobile", target=str(own_table), latency_ms=75.0, prove=False, budget=200, out=tmp_path / "run")
    assert "Nothing is known of how far this table is off on whole networks" in Page(write_report(run)).text


def test_a_space_that_has_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text((Path(__file__).parents[2] / "search_spaces" / "mobile.yaml").read_text())
    words = {"space": str(file), "target": "pixel-cpu", "latency_ms": 75.0, "budget": 100}
    run = search(**words, accuracy="predictor", out=tmp_path / "run")
    assert "mobile on pixel-cpu" in Page(write_report(run)).text
    file.write_text(file.read_text().replace("width: 24", "width: 32"))
    with pytest.raises(RunError, match="space has changed since this run"):
        write_report(run)


def test_what_is_no_finished_run_is_refused(run: Run, tmp_path: Path) -> None:
    (run.path / "report.html").unlink()  # that of the search itself
    result = run.path / "result.json"
    for name, value in {"winner": {}, "bounds": {"latency_ms": "<b>"}, "attainable": [1], "references": 3}.items():
        before = result.read_text()
        change(result, **{name: value})
        with pytest.raises(RunError, match="this is no result of nas"):
            write_report(Run.load(run.path))
        result.write_text(before)
    ledger = run.path / "ledger.bin"
    for content in (b"", b"[" * 70_000, b'{"format": "nas-ledger/1", "columns": [1]}\n', os.urandom(100)):
        ledger.write_bytes(content)
        with pytest.raises(RunError, match="not the ledger of a search"):
            write_report(run)
    ledger.unlink()
    with pytest.raises(RunError, match="no ledger to read"):
        write_report(run)
    result.unlink()
    with pytest.raises(RunError, match=r"not finished\. Go on with it: nas search --resume --out"):
        write_report(Run.resume(run.path, {}))
    assert not (run.path / "report.html").exists()


def test_an_attempt_never_raises(run: Run) -> None:
    lines = Lines()
    assert attempt_report(run, lines) == run.path / "report.html"
    (run.path / "ledger.bin").unlink()
    assert attempt_report(run, lines) is None
    change(run.path / "result.json", winner=[])
    assert attempt_report(run, lines) is None
    assert len(lines.said) == 2
    assert all("no report was written" in line and f"nas report {run.path}" in line for line in lines.said)


REQUESTS = [
    Request(space="mobile", target="pixel-cpu"),
    Request(
        space="my space's/\"$(rm) `x`.yaml",
        target="/a b/&table",
        latency_ms=0.1 + 0.2,
        at_most={"macs": 3e8, "params": 1.5e6, "peak": 262_144.0},
        objective="front:macs,peak",
        controller="nsga2",
        accuracy="table:/x y/t.csv#a b",
        seed=7,
        budget=123,
    ),
    Request(space="mobile", target="cpu", latency_ms=1e-5, seconds=0.5, prove=True),
    Request(space="mobile", target="cpu", prove=False),
    Request(
        space="mobile",
        target="cpu",
        controller="fbnet",
        data="imagefolder:/p q",
        resolution=96,
        strides="drop",
        proxy_resolution=32,
        skip_broken=True,
        finalists=2,
    ),
    Request(space="mobile", target="cpu", data="digits", finalists=0),
    Request(space="mobile", target="cpu", latency_share=0.5),
    Request(space="mobile", target=("pixel-cpu", "/a b/&table"), latency_ms=(75.0, None), latency_share=(None, 0.6)),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_the_command_asks_for_the_same(request_: Request) -> None:
    from nas.runs.request import parse_at_most, parse_bounds, parse_budget

    words = shlex.split(command_line(request_))
    assert words[:2] == ["nas", "search"]
    found = cli.commands["search"].make_context("search", words[2:]).params
    budget = parse_budget(found["budget"]) if found["budget"] else {}
    again = replace(
        Request(space=found["space"], target=found["target"]),
        **(parse_bounds(found["latency"]) if found["latency"] else {}),
        at_most={name: bound for text in found["at_most"] for name, bound in parse_at_most(text).items()},
        controller=found["controller"] or "evolution",
        skip_broken=bool(found["skip_broken"]),
        prove=found["prove"],
        **{
            n: found[n]
            for n in ("objective", "accuracy", "data", "resolution", "strides", "proxy_resolution", "seed", "finalists")
        },
        **budget,
    )
    assert again == request_


def test_a_time_is_written_as_the_number_that_it_became() -> None:
    line = command_line(Request(space="mobile", target="pixel-cpu", seconds=5), 1_234)
    assert "--budget 1234 " in line


def test_half_a_million_evaluations(run: Run) -> None:
    """In a few seconds, and in a small file."""
    space = load_space("mobile")
    rng = np.random.default_rng(0)
    path = run.path / "ledger.bin"
    columns = ("accuracy", "latency_ms", "macs")
    head = path.read_bytes().split(b"\n")[0]
    assert json.loads(head)["columns"] == list(columns)
    path.unlink()
    ledger = Ledger.open(path, space.cardinalities, columns)
    for _ in range(10):
        latency = 30 + 100 * rng.random(60_000)
        measure = {
            "accuracy": latency**0.1 * 45 + rng.normal(0, 3, 60_000),
            "latency_ms": latency,
            "macs": latency * 4e6,
        }
        new = ledger.index.first_new(population := space.canonical(space.sample(60_000, rng)))
        ledger.append(population, lambda found, m=measure: {name: column[: len(found)] for name, column in m.items()})
        assert new.mean() > 0.9
    ledger.close()
    start = perf_counter()
    page = Page(write_report(run))
    assert len(ledger) > 500_000
    assert perf_counter() - start < 10  # about two on a machine with nothing else to do
    assert f"of {len(ledger):,} evaluated architectures" in page.text


def test_a_space_of_many_decisions_stays_small(tmp_path: Path, own_table: Path) -> None:
    """MnasNet-like stages without end: bars, boxes and options are cut short, and that is said."""
    stages = "\n".join(
        f"  - {{name: s{n}, block: mbconv, width: 8, kernel: {{choice: [3, 5, 7]}}, expansion: {{choice: [1, 3, 6]}}}}"
        for n in range(180)
    )
    head = "format: nas-space/1\nname: long\nsource: this test\ninput: {resolution: 32}\nnum_classes: 10\n"
    text = (
        f"{head}activation: relu\nstages:\n  - {{name: stem, block: conv, width: 8, kernel: 3, stride: 2}}\n{stages}\n"
    )
    (tmp_path / "long.yaml").write_text(f"{text}head: {{width: 64}}\n")
    target = tmp_path / "long-table"
    layers = load_space(tmp_path / "long.yaml").layers()
    from nas.tables.table import KEY_COLUMNS

    rows = [
        ",".join([*(str(int(v)) if isinstance(v := getattr(layer, n), bool) else str(v) for n in KEY_COLUMNS)])
        for layer in layers
    ]
    target.mkdir()
    lines = [f"{row},{1 + n % 7},0.1,3,measured" for n, row in enumerate(rows)]
    names = ",".join([*KEY_COLUMNS, "latency_ms", "spread_ms", "samples", "provenance"])
    (target / "table.csv").write_text("\n".join([names, *lines, ""]))
    header = (own_table / "table.yaml").read_text()
    header = (
        header[: header.index("model:\n")]
        + "error:\n  band_pct: {measured: 5, derived: 5, simulated: 5, interpolated: 5}\n"
    )
    (target / "table.yaml").write_text(header.replace("name: pixel-cpu", "name: long", 1))
    run = search(
        space=str(tmp_path / "long.yaml"),
        target=str(target),
        accuracy="zero-cost:params",
        latency_ms=2_000.0,
        budget=150,
        out=tmp_path / "run",
    )
    page = Page(write_report(run))
    text = plain(page.text)
    assert "The last 62 of 182 layers are not drawn" in text  # stem, 180 and head; 120 are drawn
    assert "The last 62 are not drawn" in text
    assert "The last 254 decisions are not drawn" in text  # 360 of three options; 320 bars are 106 of them
    assert len(page.html.encode()) < MOST_BYTES


def test_a_comparison_puts_runs_side_by_side(searched: Path, tmp_path: Path) -> None:
    runs = [Run.load(searched / name) for name in ("few", "front")]
    page = Page(write_comparison(runs, tmp_path / "compare.html"))
    assert loads_nothing(page)
    text = plain(page.text)
    for run, name in zip(runs, ("A few", "B front"), strict=True):
        assert f"{name}: front of {len(run.front)}, from" in text
        assert f"{run.winner.latency_ms:.1f} ms" in text
    one, other = (run.winner.decisions for run in runs)
    differing = sum(one[name] != other[name] for name in one)
    assert f"{differing} of 28 decisions differ" in text
    assert page.html.count('class="differs"') == differing
    for part in ("winners", "fronts", "progress", "decisions", "reproduce"):
        assert page.part(part)


def test_what_has_no_axis_in_common_is_refused(run: Run, own_table: Path, tmp_path: Path) -> None:
    question = {"latency_ms": 75.0, "budget": 50}
    small = search(
        space="single-path", target="pixel-cpu", accuracy="zero-cost:params", **question, out=tmp_path / "other"
    )
    header = own_table / "table.yaml"
    header.write_text(header.read_text() + "# mine\n")
    mine = search(space="mobile", target=str(own_table), **question, out=tmp_path / "mine")
    score = search(space="mobile", target="pixel-cpu", accuracy="zero-cost:params", **question, out=tmp_path / "score")
    rule = "runs are compared where space, latency table and kind of accuracy are the same; its"
    for other, what in ((small, "space"), (mine, "latency table"), (score, "accuracy")):
        with pytest.raises(RunError, match=f"{other.path}: {rule} {what} is not that of {run.path}"):
            write_comparison([run, other], tmp_path / "compare.html")
    for runs, message in (([run], "2 to 8 runs, got 1"), ([run] * 9, "got 9"), ([run, run], "given twice")):
        with pytest.raises(RunError, match=message):
            write_comparison(runs, tmp_path / "compare.html")
    assert not (tmp_path / "compare.html").exists()


def nas(*words: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    found = subprocess.run([sys.executable, "-m", "nas", "report", *words], cwd=cwd, capture_output=True, text=True)
    assert found.returncode == code, found.stderr
    return found


def test_the_command(searched: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    here = tmp_path / "here"
    assert nas(str(run.path), cwd=here).stdout == f"{run.path}/report.html\n"
    document = json.loads(nas(str(run.path), "--out", "a.html", "--json", cwd=here).stdout)
    assert document == {"written": ["a.html"], "bytes": (here / "a.html").stat().st_size}
    assert nas(str(run.path), "--compare", str(searched / "front"), cwd=here).stdout == "compare.html\n"
    Page(here / "compare.html")
    for words, part in (
        ([str(run.path), str(searched / "front")], "add --compare"),
        (["--compare", str(run.path)], "2 to 8 runs"),
        (["nowhere"], "nowhere: there is no run"),
        ([str(run.path), "--out", "no/such/folder/a.html"], "cannot be written"),
        ([], "RUN"),
    ):
        found = nas(*words, cwd=here, code=2)
        assert part in found.stderr
        assert found.stdout == ""
        assert len(found.stderr.splitlines()) == 1
    assert sorted(path.name for path in here.iterdir()) == ["a.html", "compare.html"]


def test_reporting_imports_nothing_heavy(run: Run, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nas.report import write_report; from nas.runs.run import Run; "
        "write_report(Run.load(Path(sys.argv[1]))); "
        "print({'torch', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'onnx'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(run.path)], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"

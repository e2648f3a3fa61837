"""Long runs: what resuming one costs, how memory grows, and the arithmetic in docs/scale.md."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest

import nas

ROOT = Path(__file__).parents[2]
REQUEST = {"space": "mobile", "target": "pixel-cpu", "latency_ms": 75.0, "budget": 200_000, "prove": False}


def test_resuming_costs_less_than_searching(tmp_path: Path) -> None:
    """All 200,000 evaluations are in the ledger, and nothing is concluded yet; both begin and conclude alike."""
    nas.search(**REQUEST | {"budget": 1_000}, out=tmp_path / "first")  # imports
    start = process_time()
    run = nas.search(**REQUEST, out=tmp_path / "run")
    searching, result = process_time() - start, run.result
    (run.path / "result.json").unlink()
    shutil.rmtree(run.path / "winner")
    start = process_time()
    again = nas.search(out=run.path, resume=True)
    assert process_time() - start < searching
    assert again.result.winner == result.winner
    assert again.result.front == result.front


@pytest.mark.slow
def test_ten_million_evaluations() -> None:
    """CPU seconds and largest memory of whole commands; about half of these bounds on a quiet machine."""
    lengths = ("--evaluations", "1000000", "--evaluations", "10000000")
    command = [sys.executable, str(ROOT / "experiments" / "scale_ledger.py"), "length", *lengths]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    million, ten = map(json.loads, lines)
    parts = million["resume_in_parts"]
    assert parts["open_seconds"] + parts["tell_seconds"] + parts["ask_seconds"] < 2
    assert million["resume"]["cpu_seconds"] < 5
    assert ten["resume"]["cpu_seconds"] < 25
    assert ten["report"]["cpu_seconds"] < 12
    assert ten["resume_in_parts"]["bytes_per_evaluation"] < 30
    for name in ("search", "resume", "report"):
        assert (ten[name]["peak_mib"] - million[name]["peak_mib"]) * 2**20 < 60 * 9_000_000


def test_the_costs_on_paper_are_those_of_the_script() -> None:
    script = ROOT / "experiments" / "imagenet_on_paper.py"
    table = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    assert len(table.splitlines()) > 15
    assert table.strip() in (ROOT / "docs" / "scale.md").read_text()

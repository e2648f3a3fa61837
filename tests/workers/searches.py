"""Searches that train, small enough for a test, as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SPACE = """
format: nas-space/1
name: tiny
source: a test
input: {resolution: 16}
num_classes: 10
activation: relu
stages:
  - {name: stem, block: conv, width: 4, stride: 2, kernel: 3}
  - {name: body, block: mbconv, width: 6, stride: 2, depth: {choice: [1, 2, 3]}, kernel: {choice: [3, 5]},
     expansion: {choice: [1, 2, 3, 4]}, se: {choice: [0, 0.25]}}
head: {width: 16}
references:
  plain: {body: {depth: 1, kernel: 3, expansion: 2, se: 0}}
"""
FILES = ("ledger.bin", "front.csv", "winner/config.json", "winner/model.onnx")
"""What is the same wherever networks were trained."""


def start(folder: Path, *words: str, space: str = "tiny.yaml") -> subprocess.Popen[str]:
    """`nas search` in this folder, with the caches and tables there."""
    (folder / "tiny.yaml").write_text(SPACE)
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    asked = (
        []
        if "--resume" in words
        else ["--space", space, "--target", "fake", "--latency", "1ms", "--data", "digits", "--finalists", "0"]
    )
    return subprocess.Popen(
        [sys.executable, "-m", "nas", "search", *asked, *words, "--json"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[dict[str, Any], str]:
    """The JSON object on stdout, nothing where there is none, and stderr."""
    out, err = process.communicate(timeout=400)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return (json.loads(out) if out else {}), err


def trained(run: Path) -> list[dict[str, Any]]:
    """The trainings that a run has kept so far."""
    file = run / "trainings.jsonl"
    lines = file.read_text().split("\n")[1:-1] if file.is_file() else []
    return [json.loads(line) for line in lines]


def wait_for(run: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many trainings are kept."""
    end = time.monotonic() + 300
    while len(trained(run)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def content(run: Path) -> dict[str, bytes]:
    """The files of `FILES`."""
    return {name: (run / name).read_bytes() for name in FILES}

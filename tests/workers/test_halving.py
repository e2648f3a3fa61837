"""`--accuracy asha`: Ray Tune leaves off with networks that fall behind, and each has the figure of its last epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from searches import SPACE, ended, start, trained, wait_for

from nas.errors import NasError
from nas.runs.ledger_file import LedgerFile
from nas.space.load import load_space

SEARCH = ("--accuracy", "asha:3", "--budget", "12", "--batch", "6", "--workers", "ray")


@pytest.mark.slow
def test_networks_that_fall_behind_are_left_off(tmp_path: Path) -> None:
    document, error = ended(start(tmp_path, *SEARCH, "--out", "run"))
    assert all(line.startswith("nas: ") for line in error.splitlines())
    known = trained(tmp_path / "run")
    epochs = [line["epochs"] for line in known]
    assert set(epochs) == {1, 3}  # rungs: η = 3
    assert all(len(line["top1"]) == line["epochs"] for line in known)
    assert document["accuracy"]["label"] == "ASHA top-1"
    assert "left off" in document["accuracy"]["provenance"]
    assert "not reproducible" in document["accuracy"]["provenance"]
    (tmp_path / "again.yaml").write_text(SPACE)
    space = load_space(tmp_path / "again.yaml")
    ledger = LedgerFile.read(tmp_path / "run" / "ledger.bin", len(space.decisions), ("accuracy", "latency_ms"))
    last = {str(line["decisions"]): line["top1"][-1] for line in known}
    for genotype, accuracy in zip(ledger.genotypes(), ledger.measures()["accuracy"], strict=True):
        assert last[str(space.choices(genotype))] == accuracy
    assert document["winner"]["accuracy"] == ledger.measures()["accuracy"].max()
    first = [line["top1"][0] for line in known]
    gone_on = [line["epochs"] == 3 for line in known]
    assert np.mean([top1 for top1, on in zip(first, gone_on, strict=True) if on]) >= np.mean(first)


@pytest.mark.slow
def test_killed_it_takes_what_was_recorded(tmp_path: Path) -> None:
    process = start(tmp_path, *SEARCH, "--out", "run")
    wait_for(tmp_path / "run", 8, process)
    process.kill()
    process.communicate()
    before = trained(tmp_path / "run")
    ended(start(tmp_path, "--resume", "--workers", "ray", "--out", "run"))
    assert trained(tmp_path / "run")[: len(before)] == before
    assert len(trained(tmp_path / "run")) >= 12


def test_without_ray_there_is_no_asha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nas

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "tiny.yaml").write_text(SPACE)
    asked = {"space": str(tmp_path / "tiny.yaml"), "target": "fake", "latency_ms": 1.0, "data": "digits"}
    with pytest.raises(NasError, match="Ray Tune's: add --workers ray, or take --accuracy train"):
        nas.search(**asked, accuracy="asha:3", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()

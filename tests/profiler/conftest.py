"""The file of weights, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.profiler.probe import write_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.bin"
    write_weights(path)
    return path

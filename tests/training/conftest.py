"""Digits, decoded once for all tests of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import TINY, nas, write_config

from nas.data import Data, load_data


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded pictures go where nobody else's are."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("XDG_DATA_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def digits(cache: Path) -> Data:
    return load_data("digits", TINY.height)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of the tiny network on digits."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_config(folder)
    nas("train", str(config), "--data", "digits", "--epochs", "12", "--lr", "0.3", "--out", "done", cwd=folder)
    return folder / "done"

"""Supernets of the shipped spaces, one of each for all tests: their weights are left as they are drawn."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from nas.space.load import load_space
from nas.supernet.multi_path import MultiPath
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Supernet

KINDS: dict[str, type[Superkernel] | type[MultiPath]] = {"superkernel": Superkernel, "multi-path": MultiPath}


@cache
def shipped(space: str, kind: str = "superkernel") -> Supernet:
    """The supernet of a shipped space with 10 classes, float32."""
    torch.manual_seed(0)
    return KINDS[kind](load_space(space, classes=10))


@pytest.fixture(name="shipped")
def _shipped() -> object:
    return shipped

"""Choices: what can be said of a training, and what holds where nothing is said; known without torch."""

from __future__ import annotations

from math import sqrt

from nas.errors import NasError

REFERENCE_BATCH = 64
REFERENCE_RATE = 0.1
"""Peak learning rate from scratch at the reference batch; proportional to the batch (arXiv:1706.02677, section 2.1)."""
INHERITED_BATCH = 32
INHERITED_RATE = {"batch": 0.02, "tune": 0.005}
"""For inherited weights at their batch, by how normalisation is trained; with the square root of other batches, as the
best rates hardly grew with the batch (`experiments/inherited_recipe.py`)."""
NORMS = ("batch", "tune")
PARTS = ("last", "norm")


def default_batch(inherited: bool) -> int:
    """Pictures of a step, from scratch or on inherited weights."""
    return INHERITED_BATCH if inherited else REFERENCE_BATCH


def default_rate(batch: int, inherited: bool, norm: str = "batch") -> float:
    """The peak learning rate for a batch, from scratch or on inherited weights."""
    if inherited:
        return float(f"{INHERITED_RATE[norm] * sqrt(batch / INHERITED_BATCH):.3g}")
    return REFERENCE_RATE * batch / REFERENCE_BATCH


def former_rate(batch: int, inherited: bool) -> float:
    """What the default was in version 0.1, for requests that say nothing of it."""
    return REFERENCE_RATE * batch / REFERENCE_BATCH * (0.2 if inherited else 1.0)


def parts(text: str) -> tuple[str, ...]:
    """Those in `last,norm`, in this order. Raises `NasError` for others."""
    asked = {part.strip() for part in text.split(",")}
    if not asked <= set(PARTS):
        raise NasError(f"--only names what is trained, of {', '.join(PARTS)}, with commas between, got {text!r}.")
    return tuple(part for part in PARTS if part in asked)

"""The learning rate of a step: a linear rise, then half a cosine (arXiv:1608.03983, eq. 5, without restarts)."""

from __future__ import annotations

from math import cos, pi

from nas.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """That of step 0..steps-1. With w warm-up steps it is peak (step + 1) / w, then falls from the peak towards 0."""
    warmup = round(recipe.warmup * steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    return recipe.learning_rate * 0.5 * (1 + cos(pi * (step - warmup) / (steps - warmup)))

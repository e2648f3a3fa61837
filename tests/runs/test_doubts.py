"""What a search says of itself beside its winner where that means little."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nas.runs.doubts import doubts


def said(
    steps: int | None = 1_000,
    accuracy: float = 50.0,
    *,
    sigma: float = 2.0,
    classes: int | None = 10,
    loss: float | None = None,
    decisions: tuple[int, ...] = (3,) * 20,
) -> str:
    """All doubts of a search with these figures, in one text."""
    evaluator = (
        SimpleNamespace(label="supernet top-1")
        if classes is None
        else SimpleNamespace(label="supernet top-1", classes=classes)
    )
    problem: Any = SimpleNamespace(
        weights=None if steps is None else SimpleNamespace(settings=SimpleNamespace(steps=steps)),
        space=SimpleNamespace(cardinalities=np.array(decisions)),
        objective=SimpleNamespace(accuracy=evaluator),
        tables={},
    )
    searched: Any = SimpleNamespace(policy=None if loss is None else SimpleNamespace(loss=loss))
    return " | ".join(doubts(problem, searched, SimpleNamespace(accuracy=accuracy, accuracy_sigma=sigma)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("figures", "part"),
    [
        ({"steps": 4}, "4 training steps are fewer than the 20 decisions to learn"),
        ({"steps": 4, "loss": 1.0}, "give a larger --budget"),
        ({"steps": 19}, "--accuracy supernet:2000"),
        ({"accuracy": 11.0}, "cannot be told from guessing one of 10 classes, 10.0 %"),
        ({"accuracy": 14.0}, "14.0 ± 2.0 % cannot be told"),
        ({"accuracy": 3.0}, "cannot be told from guessing"),
        ({"accuracy": 0.9, "sigma": 0.3, "classes": 1000}, ""),
        ({"accuracy": 0.5, "sigma": 0.3, "classes": 1000}, "one of 1,000 classes, 0.1 %"),
        ({"accuracy": 55.0, "classes": 2, "sigma": 3.0}, "one of 2 classes, 50.0 %"),
        ({"steps": None, "accuracy": 10.0}, "cannot be told from guessing"),
        ({"loss": 2.31}, "the training loss ends at 2.31, and guessing has 2.30"),
        ({"loss": 2.29}, "guessing has 2.30"),
        ({"loss": 1.9}, ""),
        ({"steps": 20}, ""),
        ({"steps": 3, "decisions": (3, 1, 1, 3)}, ""),
        ({"steps": None, "classes": None, "accuracy": 1.0}, ""),  # a score, or a predictor's
    ],
)
def test_doubts(figures: dict[str, Any], part: str) -> None:
    found = said(**figures)
    assert part in found
    assert bool(part) == bool(found)

"""Data of one's own: `--data python:own.shapes`, with this file in the current folder."""

import numpy as np


def shapes():
    """Bars that lie and bars that stand."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(60, size=(400, 64, 64), dtype=np.uint8)
    labels = np.arange(400) % 2
    for picture, label in zip(pictures, labels, strict=True):
        place = int(rng.integers(8, 52))
        bar = picture if label == 0 else picture.T
        bar[place : place + 4, 8:56] += 150
    return {"train": (pictures, labels), "classes": ["lies", "stands"], "mirrors": True}

"""What `cifar_front.py` says of trained networks: verdicts, ranks and a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from figure import Series, figure
from scipy.stats import kendalltau

from nas.report.axis import linear

WAYS: dict[str, tuple[str, ...]] = {
    "default": (),
    "supernet": ("--accuracy", "supernet"),
    "single-path": ("--controller", "single-path"),
    "reinforce": ("--controller", "reinforce"),
}
REFERENCES = ("mobilenetv3-small-1.0", "mobilenetv2-1.0", "mnasnet-a1-1.0", "efficientnet-b0")


def ranked(estimates: Sequence[float], truth: Sequence[float]) -> dict[str, Any]:
    """Kendall's tau-b, and its 95 % interval by drawing the networks anew."""
    pairs, rng = np.array([estimates, truth]), np.random.default_rng(0)
    drawn = [kendalltau(*pairs[:, rng.integers(len(truth), size=len(truth))]).statistic for _ in range(1_000)]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return {"tau": float(kendalltau(*pairs).statistic), "interval": [float(low), float(high)], "networks": len(truth)}


def verdict(rows: dict[str, Any], random: int) -> dict[str, Any]:
    """Points by which winners are above the best reference, and above the mean of the first `random` random ones."""
    of = {kind: [row for row in rows.values() if row["kind"] == kind] for kind in ("winner", "reference", "random")}
    chance = np.array([row["top1"] for row in of["random"][:random]])
    error = float(chance.std(ddof=1) / np.sqrt(len(chance)))
    best = max(row["top1"] for row in of["reference"])
    return {
        "random": {"mean": float(chance.mean()), "deviation": float(chance.std(ddof=1)), "standard_error": error},
        "best_reference": best,
        "winners": {
            name: {
                "over_best_reference": row["top1"] - best,
                "over_random": row["top1"] - float(chance.mean()),
                "in_standard_errors": (row["top1"] - float(chance.mean())) / error,
            }
            for name, row in rows.items()
            if row["kind"] == "winner"
        },
    }


def plotted(found: dict[str, Any]) -> str:
    """Accuracy on the test pictures against measured latency, as SVG."""
    rows = [(name, row) for group in found["bounds"].values() for name, row in group["networks"].items()]
    series = []
    for label, shape, belongs in (
        *((f"found, {way}", "star", f"{way}-") for way in WAYS),
        *((r, "triangle", f"{r}-") for r in REFERENCES),
        ("random", "dot", "random"),
    ):
        points = [(row["ms"], row["top1"], error_of(row)) for name, row in rows if name.startswith(belongs)]
        if points:
            series.append(Series(label, points, shape))
    ms = [point[0] for one in series for point in one.points]
    top1 = [point[1] + sign * point[2] for one in series for point in one.points for sign in (-1, 1)]
    return figure(
        "Networks trained by one recipe, on the device that they were made for",
        linear(min(ms), max(ms), "measured latency, ms"),
        linear(min(top1), max(top1), "test accuracy, %"),
        series,
    )


def error_of(row: dict[str, Any]) -> float:
    """Standard error of a mean of trainings; of a single one, by the number of test pictures."""
    tops = np.array(row["trainings"])
    share = row["top1"] / 100
    return (
        float(tops.std(ddof=1) / np.sqrt(len(tops)))
        if len(tops) > 1
        else 100 * float(np.sqrt(share * (1 - share) / 1e4))
    )

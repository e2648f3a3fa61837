"""What a race came to, as a part of a result; `nas.runs.race` is the race itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from nas.runs.part import Accuracy, Part


class Runner(Part):
    """A network that was trained in a race; see `nas.runs.race`."""

    name: str
    decisions: dict[str, Any] | None
    """None of a published network."""
    width: float | None
    """By which a published network was scaled; None of a finalist."""
    latency_ms: float
    """On the first target, as is `measured_ms`; on all of them, by their names, it is `latencies` and `measured`."""
    measured_ms: float | None
    """On the device, where there is one and it was not too busy."""
    latencies: dict[str, float] = {}
    measured: dict[str, float] = {}
    macs: int
    params: int
    estimate: float | None
    """By the accuracy that was searched by; None of a published network."""
    estimate_sigma: float | None
    inherited: bool
    """Whether its training began with weights that it inherited, and not from scratch."""
    epochs: int
    """It was trained for, as long as it was in the race."""
    top1: float
    """Of the held-out pictures, in percent, at the end of its last round."""
    top1_sigma: float


class Lost(Part):
    """A network that did not end a round of a race."""

    name: str
    round: int
    reason: str

    @property
    def told(self) -> str:
        """In a sentence."""
        return f"{self.name} was lost in round {self.round}: {self.reason}"


class Race(Part):
    """Finalists and published networks, trained alike on the pictures: the best is the winner."""

    runners: Annotated[list[Runner], Field(min_length=1)]
    """The winner first, then those that were in the race for longest."""
    lost: list[Lost] = []
    """Those that are among the runners were in it until the round before."""
    epochs: list[int]
    """Of each round; after it the better half goes on."""
    provenance: str
    seconds: float

    @property
    def accuracy(self) -> Accuracy:
        """What kind of figure `top1` is."""
        return Accuracy(label="race top-1", unit="%", provenance=self.provenance)


class AccuracyCheck(Part):
    """How far the accuracy that was searched by ranked the finalists of a race as the race did."""

    finalists: int
    kendall_tau: float | None
    """None of fewer than two."""
    low: float | None
    high: float | None
    """Of the interval that holds the true tau in 90 % of cases."""

    @property
    def better_than_chance(self) -> bool:
        """Whether zero lies below the interval."""
        return self.low is not None and self.low > 0

    @property
    def told(self) -> str:
        """In a sentence."""
        if self.kendall_tau is None:
            return "fewer than two finalists have no order that an estimate could be right about"
        verdict = "" if self.better_than_chance else ": no better than chance"
        return (
            f"Kendall's tau of estimates and race {self.kendall_tau:+.2f}, 90 % interval {self.low:+.2f} … "
            f"{self.high:+.2f}, over {self.finalists} finalists{verdict}"
        )

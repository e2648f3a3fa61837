"""Result: what a search found, as result.json and `nas search --json` have it.

Runs, summaries and reports share this one form. What an older version did not write has a default, and is left out
again when the result is printed; keys of later ones are kept.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from nas.cost.cost import COSTS, latencies, latencies_of
from nas.errors import RunError
from nas.runs.part import Accuracy, Part
from nas.runs.raced import AccuracyCheck, Race
from nas.runs.request import Request


def _of_latency_too(bounds: dict[str, int | float]) -> dict[str, int | float]:
    if "latency_ms" not in bounds:
        raise ValueError("latency has a bound")
    return bounds


CLOCK = "clock"
"""In place of a table's provenances: the latency of a network that was measured as a whole."""


class Found(Part):
    """One architecture with its estimated figures."""

    decisions: dict[str, Any]
    latency_ms: float
    """On the first target."""
    latencies: dict[str, float] = {}
    """Of a fleet: on all targets, by their names."""
    accuracy: float
    accuracy_sigma: float
    """One standard deviation of the accuracy, by what the estimate rests on."""
    macs: int
    params: int

    @model_validator(mode="after")
    def _costs_are_numbers(self) -> Self:
        for key, value in self.costs.items():
            if type(value) not in (int, float) or not isfinite(value):
                raise ValueError(f"{key} is a finite number")
        return self

    @property
    def costs(self) -> dict[str, float]:
        """Its costs by their keys, without latencies: MACs, parameters, and others that were asked about."""
        known = {"macs": self.macs, "params": self.params, **(self.model_extra or {})}
        return {cost.key: known[cost.key] for cost in COSTS.values() if cost.key in known}

    @property
    def row(self) -> dict[str, Any]:
        """Its figures, then its decisions: a row of front.csv."""
        further = dict(zip(latencies(self.latencies), self.latencies.values(), strict=True))
        return further | self.model_dump(exclude={"decisions", "latencies"}) | self.decisions

    def on(self, target: str) -> float:
        """Its latency on a target, in ms."""
        return self.latencies.get(target, self.latency_ms)

    def beats(self, other: Found) -> bool:
        """Whether it is as good as another in accuracy and in every latency."""
        mine, its = ({"": each.latency_ms} | each.latencies for each in (self, other))
        return self.accuracy >= other.accuracy and all(mine[target] <= ms for target, ms in its.items())


class Winner(Found):
    """The best within all bounds."""

    coverage: dict[str, float]
    """Shares of its latency by the provenance of the table's rows; on the first target, as is the error."""
    latency_error_pct: float
    """Error of its latency, by the table's error bands."""
    name: str | None = None
    """Of the published network, scaled to the bound, that won the race; it has no decisions then."""


class Chosen(Part):
    """What accuracy was estimated from, where there were pictures and nobody said; see `nas.runs.choice`."""

    accuracy: str
    """As `--accuracy` takes it."""
    evaluations: Annotated[int, Field(ge=1)]
    training_s: float
    """Of a short training of the space's middle network, as it was measured here."""
    supernet_step_s: float
    why: str

    def applied(self, request: Request) -> Request:
        """The request as if that had been asked for."""
        return replace(request, accuracy=self.accuracy, budget=self.evaluations, seconds=None)


class Measured(Part):
    """The winner on its device; see `nas.profiler.verify.verify`."""

    latency_ms: float
    """What the table says."""
    measured_ms: float
    measured_halfwidth_ms: float
    """Half of the 95 % interval."""
    error_pct: float
    raw_ms: float
    drift_pct: float
    too_busy: str | None = None
    """Why that is no verdict: `measured_ms` is then as the clock had it."""
    float32_ms: float | None = None
    """The same network in float32 by the clock, beside `raw_ms`; None where it is in float32."""

    @property
    def float32_ratio(self) -> float | None:
        """Its time over that in float32."""
        return None if self.float32_ms is None else self.raw_ms / self.float32_ms

    def missed(self, bound_ms: float) -> str:
        """What of a bound the winner is over, as a phrase; empty where it is not, or that cannot be told."""
        over = self.measured_ms - bound_ms
        if self.too_busy is not None or over <= 0:
            return ""
        return "the bound" if over > self.measured_halfwidth_ms else "the bound, by less than the measurement's error"


class OnTarget(Part):
    """One of the targets, and the winner on it."""

    target: str
    device: str
    networks_error: NetworksError | None
    """As in `Result`, with what follows."""
    checked_on: list[str]
    attainable: Annotated[list[float], Field(min_length=2, max_length=2)]
    bound_ms: Annotated[int | float, Field(gt=0)]
    latency_ms: float
    coverage: dict[str, float]
    latency_error_pct: float
    measured: Measured | None

    @property
    def by_clock(self) -> bool:
        """Whether the winner's latency is not the table's, which does not answer for it, but the device's."""
        return self.coverage == {CLOCK: 1.0}


class NetworksError(Part):
    """How far the table was off on whole networks; see `nas.tables.header.NetworksError`."""

    count: int
    mape_pct: float
    worst_pct: float


class Proof(Part):
    """How much better than the winner any architecture within the bounds could be."""

    upper_bound: float
    gap: float
    proven: bool
    """Whether the gap is settled: the best there is lies just there."""
    nodes: int
    seconds: float
    improved_by: float | None = None
    """By how much the winner is better than what the search had come to, where it is the proof that found it."""
    verdict: str = ""
    """The same in a sentence."""

    def told(self, label: str, bounds: int) -> str:
        """In a sentence, for an accuracy of this label under so many bounds."""
        within = "within the bounds" if bounds > 1 else "within the bound"
        if not self.proven:
            words = f"not proved: {within} the winner can be beaten by at most {self.gap:.3f} in {label}"
        elif self.gap > 1e-6:  # of version 0.1, which kept the search's winner
            words = f"proved: {within} the winner can be beaten by {self.gap:.3f} in {label}"
        else:
            words = f"proved: no architecture of the space has a better {label} {within}"
        if self.improved_by is not None:
            words += f"; this winner is the proof's, {self.improved_by:.3f} above the best that the search had met"
        return words


class Policy(Part):
    """A trained policy."""

    steps: int
    argmax: dict[str, Any]
    """Decisions that were likeliest, whatever they cost."""
    argmax_ms: float
    """On the first target, as is `expected_ms`; on all of them, by their names, it is what follows."""
    expected_ms: float
    argmax_latencies: dict[str, float] = {}
    expected_latencies: dict[str, float] = {}
    changed: int
    """Decisions in which the winner differs from these."""
    decisions: int
    floored: bool
    proven: bool
    entropy: float
    skips: float
    loss: float | None = None
    """Of its training, over the last tenth."""
    probabilities: dict[str, list[float]]


class Result(Part):
    """A finished search."""

    space: str
    size: int
    """Architectures of the space."""
    target: str
    """The first of them, as are the figures that follow."""
    device: str
    networks_error: NetworksError | None = None
    """Of the table, on networks of this very space."""
    checked_on: list[str] = []
    """Names of the other spaces whose networks the table was checked on, where it was on none of this one."""
    attainable: Annotated[list[float], Field(min_length=2, max_length=2)]
    """Least and largest latency of the space, in ms."""
    bounds: Annotated[dict[str, Annotated[int | float, Field(gt=0)]], AfterValidator(_of_latency_too)]
    """By name of the cost; latency always has one."""
    accuracy: Accuracy
    chosen: Chosen | None = None
    winner: Winner
    """With a race its accuracy is that of the race, not what was searched by."""
    race: Race | None = None
    accuracy_check: AccuracyCheck | None = None
    estimated: Found | None = None
    """With a race: the winner by what was searched by; the best that was searched, where a published network won."""
    doubts: list[str] = []
    """Why the winner means little, a sentence each; see `nas.runs.doubts`."""
    measured: Measured | None = None
    int8: dict[str, Any] | None = None
    """Of a winner in 8 bits with weights: its accuracy on test pictures and what `nas.export.int8` chose."""
    fleet: list[OnTarget] = []
    """All targets, where there are several."""
    references: dict[str, Found]
    front: list[Found]
    """None beats another in accuracy and every latency, fastest first."""
    written: list[str]
    notes: list[str]
    evaluations: int
    seconds: float
    archs_per_second: float
    proof: Proof | None = None
    policy: Policy | None = None

    @classmethod
    def read(cls, document: object, file: Path) -> Result:
        """What a file holds. Raises `RunError` where that is no result."""
        try:
            return cls.model_validate(document)
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))[:100]
            raise RunError(f"{file}: this is no result of nas (`{place}`: {first['msg']}).") from None

    @property
    def searched(self) -> Found:
        """The winner among what was evaluated: with the accuracy that was searched by."""
        return self.estimated or self.winner

    @property
    def targets(self) -> list[OnTarget]:
        """All targets, in their order."""
        return self.fleet or [
            OnTarget(
                target=self.target,
                device=self.device,
                networks_error=self.networks_error,
                checked_on=self.checked_on,
                attainable=self.attainable,
                bound_ms=self.bounds["latency_ms"],
                latency_ms=self.winner.latency_ms,
                coverage=self.winner.coverage,
                latency_error_pct=self.winner.latency_error_pct,
                measured=self.measured,
            )
        ]

    @property
    def further_bounds(self) -> dict[str, int | float]:
        """The bounds on other costs than latency."""
        return {key: bound for key, bound in self.bounds.items() if key not in latencies_of(self.bounds)}

    @property
    def winner_accuracy(self) -> Accuracy:
        """What kind of figure the winner's accuracy is."""
        return self.accuracy if self.race is None else self.race.accuracy

    def to_json(self) -> dict[str, Any]:
        """As a JSON mapping; what was not there when it was read is not there now."""
        return self.model_dump(exclude_unset=True)

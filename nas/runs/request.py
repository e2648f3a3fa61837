"""Request: what a search was asked for, checked before anything heavy is imported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nas.accuracy import EVALUATORS
from nas.blocks.block import MAX_DIMENSION
from nas.blocks.precision import FLOAT, MEASURED
from nas.controllers import CONTROLLERS
from nas.cost.cost import COSTS, COUNTS, MOST, counted, split_amount
from nas.errors import NasError, RunError
from nas.policies import POLICIES
from nas.runs.aim import FIELDS, Aim, aims, check_positive, settled
from nas.solvers import SOLVERS
from nas.system.lazy import is_own
from nas.system.places import ELASTIC, is_code

if TYPE_CHECKING:  # it brings numpy
    from nas.space.adapt import Strides

OBJECTIVE_NAMES = ("bound", "mnasnet-soft", "mnasnet-hard", "front")
STRIDES: tuple[Strides, ...] = ("keep", "drop")

DEFAULT_STEPS = 2_000
"""Training steps of a policy."""
FINALISTS = 4
"""Of a race on pictures, where nobody says."""
MOST_FINALISTS = 64
RACE_SHARE, PAST_RACE_SHARE = 0.5, 0.3
"""Of a time that was given, for the race; the second where a trained network is searched, which is tuned first."""
OWN_BUDGET = 150
"""Evaluations by default with an accuracy of one's own."""
MAX_BUDGET = 10**9
MAX_BATCH = 10_000
MAX_RESOLUTION = 4_096

_PREFIXES = {name.partition(":")[0] for name in CONTROLLERS}
_TIME_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One search. Raises `NasError` where a value is not allowed."""

    space: str
    target: str | tuple[str, ...]
    """One, or all those of a fleet; `latency_ms` and `latency_share` then have an entry for each, in their order."""
    latency_ms: float | tuple[float | None, ...] | None = None
    """Upper bound; None is the latency of the space's first reference network."""
    latency_share: float | tuple[float | None, ...] | None = None
    """In place of `latency_ms`: of the latency of the space's first reference network."""
    at_most: dict[str, float] = field(default_factory=dict)
    """Further upper bounds, by the names of `nas.cost.cost.COSTS`: `macs`, `params`; `flash` and `peak` in bytes."""
    objective: str | None = None
    """None is `front` for `nsga2`, else `bound`; `front:macs,peak` adds objectives to latency and accuracy."""
    controller: str = "evolution"
    accuracy: str | None = None
    """None is `predictor` where one was fitted on the space, else `zero-cost`."""
    budget: int | None = None
    """Evaluations to ask for; None is the default of the accuracy, unless `seconds` says how long to search."""
    seconds: float | None = None
    batch: int | None = None
    """Evaluations that are asked for together, before the controller is told of any; None is by the budget, and by how
    many workers there are."""
    prove: bool | None = None
    """Bound the best possible value too, and report the gap to it; None does so where the accuracy is a sum of arrays
    and the objective `bound`, for a few seconds."""
    data: str | None = None
    """Pictures to train on, such as `digits` or `imagefolder:PATH`."""
    weights: str | None = None
    """A file with trained weights of the network that the space is the elastic one of (`elastic:NET`); None is those
    that its config has beside it, if any."""
    resolution: int | None = None
    """Of the deployed network, in pixels; None is the space's own."""
    strides: Strides | None = None
    """At that resolution; None is `keep` where two pixels remain of the last feature map, else an error."""
    precision: str | None = None
    """Of the deployed network's numbers, by which its latency and memory are told; None is float32."""
    proxy_resolution: int | None = None
    """Of the pictures that a supernet is trained on; None is that of the deployed network."""
    skip_broken: bool = False
    """Leave broken pictures out."""
    finalists: int | None = None
    """How many are trained against published networks in a race at the end; 0 is no race, None is 4 with pictures."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in settled({name: getattr(self, name) for name in FIELDS}).items():
            object.__setattr__(self, name, value)
        aims(self.target, self.latency_ms, self.latency_share)
        if not self.own_controller:
            _one_of("controller", self.controller, (*CONTROLLERS, *SOLVERS, *POLICIES), "module:Class")
        _one_of("objective", self.goal.partition(":")[0], OBJECTIVE_NAMES)
        for name in self.goal.partition(":")[2].split(",") if ":" in self.goal else ():
            _one_of("further objective", name, counted())
        able = [name for name, kind in CONTROLLERS.items() if kind.front]
        if self.goal.startswith("front") and not (self.own_controller or self.controller in able):
            raise NasError(
                f"The objective `front` needs a controller for fronts ({', '.join(able)}), got {self.controller!r}."
            )
        if (self.prove or self.solves) and self.goal != "bound":
            raise NasError(f"A proof is of the objective `bound`, got {self.goal!r}. Leave one of the two out.")
        if self.goal != "bound" and self.controller in CONTROLLERS and CONTROLLERS[self.controller].towards:
            raise NasError(f"{self.controller} goes down to a bound: its objective is `bound`, got {self.goal!r}.")
        for name, flag in {"prove": self.prove, "skip_broken": self.skip_broken}.items():
            if type(flag) is not bool and not (name == "prove" and flag is None):
                raise NasError(f"`{name}` is true or false, got {flag!r}.")
        if self.accuracy is not None and not self.own_accuracy:
            _one_of("accuracy", self.accuracy.partition(":")[0], tuple(EVALUATORS), "module:Class")
        self._check_training()
        check_positive("seconds", self.seconds)
        if self.precision is not None:
            _one_of("precision", self.precision, MEASURED)
        for name, value in self.at_most.items():
            _one_of("at-most", name, counted())
            if not (_is_number(value) and 0 < value < MOST):
                raise NasError(f"The bound on {name} is a positive number, got {value!r}.")
        if self.budget is not None and self.seconds is not None:
            raise NasError("A search has a budget in evaluations or in time, not both.")
        if self.budget is not None and not (type(self.budget) is int and 1 <= self.budget <= MAX_BUDGET):
            raise NasError(f"The budget is 1 to {MAX_BUDGET:,} evaluations, got {self.budget!r}.")
        if self.batch is not None:
            if not (type(self.batch) is int and 1 <= self.batch <= MAX_BATCH):
                raise NasError(f"A batch is 1 to {MAX_BATCH:,} evaluations, got {self.batch!r}.")
            if self.learns or self.solves:
                raise NasError(f"The controller {self.controller!r} asks for no batches; leave --batch out.")
        if not (type(self.seed) is int and 0 <= self.seed < 2**63):
            raise NasError(f"The seed is a whole number of at least 0, got {self.seed!r}.")

    def _check_training(self) -> None:
        """What concerns pictures and what learns from them."""
        kind = None if self.accuracy is None else self.accuracy.partition(":")[0]
        check_resolution(self.resolution, self.strides)
        _check_pixels("proxy-resolution", self.proxy_resolution)
        if self.weights is not None and not (self.space.startswith(ELASTIC) and type(self.weights) is str):
            raise NasError("--weights are those of a trained network: give it by --network.")
        if self.weights is not None and self.data is None:
            raise NasError("--weights are tried on pictures: add --data, such as imagefolder:PATH.")
        if self.weights is not None and not self.inherits:
            raise NasError(f"The accuracy {self.accuracy!r} has no use for --weights: leave one of the two out.")
        if self.data is not None and (type(self.data) is not str or not self.data):
            raise NasError(f"`data` is text such as digits or imagefolder:PATH, got {self.data!r}.")
        if self.learns:
            if kind not in (None, "supernet"):
                raise NasError(
                    f"The controller {self.controller!r} trains a supernet of its own; leave --accuracy out."
                )
            if self.goal != "bound" or self.prove:
                raise NasError(f"The controller {self.controller!r} has the objective `bound`, and no proof.")
        if self.finalists is not None:
            if not (type(self.finalists) is int and 0 <= self.finalists <= MOST_FINALISTS):
                raise NasError(
                    f"A race has 0 to {MOST_FINALISTS} finalists, 0 is none of it, got --finalists {self.finalists!r}."
                )
            if self.finalists and self.data is None:
                raise NasError("--finalists are raced on pictures: add --data, such as digits or imagefolder:PATH.")
        if self.data is None:
            if self.learns or (kind in EVALUATORS and EVALUATORS[kind].pictures):
                what = f"controller {self.controller!r}" if self.learns else f"accuracy {kind!r}"
                raise NasError(f"The {what} learns from pictures: add --data, such as digits or imagefolder:PATH.")
            for name in ("proxy_resolution", "skip_broken"):
                if getattr(self, name):
                    raise NasError(f"--{name.replace('_', '-')} is about pictures, and there is no --data.")

    @property
    def numbers(self) -> str:
        """The precision of the deployed network."""
        return self.precision or FLOAT

    @property
    def aims(self) -> tuple[Aim, ...]:
        """All targets with what was asked of the latency on each, in their order."""
        return aims(self.target, self.latency_ms, self.latency_share)

    @property
    def raced(self) -> int:
        """Finalists of the race; 0 where there is none."""
        if self.finalists is None:
            return 0 if self.data is None else FINALISTS
        return self.finalists

    @property
    def race_seconds(self) -> float | None:
        """What the race may take of the time that was given; None where it has a number of epochs."""
        if self.seconds is None or not self.raced:
            return None
        return self.seconds * (PAST_RACE_SHARE if self.space.startswith(ELASTIC) else RACE_SHARE)

    @property
    def before_race(self) -> Request:
        """The request with the time that is left for all but the race."""
        share = self.race_seconds
        return self if self.seconds is None or share is None else replace(self, seconds=self.seconds - share)

    @property
    def learns(self) -> bool:
        """Whether the controller is a policy."""
        return self.controller in POLICIES

    @property
    def solves(self) -> bool:
        """Whether the controller is a solver."""
        return self.controller in SOLVERS

    @property
    def own_controller(self) -> bool:
        """Whether the controller is code of one's own, `module:Class`."""
        return is_own(self.controller) and self.controller.partition(":")[0] not in _PREFIXES

    @property
    def own_accuracy(self) -> bool:
        """Whether accuracies come from code of one's own."""
        accuracy = self.accuracy or ""
        return is_own(accuracy) and accuracy.partition(":")[0] not in EVALUATORS

    @property
    def code(self) -> dict[str, str]:
        """The options that name code of one's own, which a search runs."""
        named = {
            "data": self.data if is_code(self.data) else None,
            "controller": self.controller if self.own_controller else None,
            "accuracy": self.accuracy if self.own_accuracy else None,
        }
        return {option: value for option, value in named.items() if value is not None}

    @property
    def inherits(self) -> bool:
        """Whether a supernet is trained."""
        kind = "supernet" if self.accuracy is None else self.accuracy.partition(":")[0]
        return self.data is not None and kind in EVALUATORS and EVALUATORS[kind].inherits

    @property
    def goal(self) -> str:
        """The objective: as asked, or the default of the controller."""
        return self.objective or ("front" if self.controller == "nsga2" else "bound")

    def planned(self, accuracy: str) -> int | None:
        """Evaluations to ask for with this accuracy; None where a time is to be turned into a number."""
        if self.budget is not None or self.seconds is not None:
            return self.budget
        if self.learns:
            return DEFAULT_STEPS
        most = OWN_BUDGET if self.own_accuracy else EVALUATORS[accuracy.partition(":")[0]].budget
        kind = CONTROLLERS.get(self.controller)
        return min(most, (kind and kind.most) or most)

    def to_json(self) -> dict[str, Any]:
        """The request as a JSON mapping. It says what becomes of strides, as that is not what version 0.1 did."""
        told = asdict(self) | {"strides": self.strides or (None if self.resolution is None else "keep")}
        return told if self.precision else {name: value for name, value in told.items() if name != "precision"}

    @classmethod
    def from_json(cls, document: Any) -> Request:
        """The inverse of `to_json`. Raises `RunError` where the document is not a request."""
        try:
            early: dict[str, Any] = {"finalists": 0}  # as version 0.1 had it
            if document.get("resolution") is not None:
                early["strides"] = "drop"
            request = cls(**early | document)
            if type(request.space) is not str:
                raise NasError("a space is text.")
            return request
        except (TypeError, AttributeError, NasError) as problem:
            raise RunError(f"not a search request: {problem}") from None


def check_resolution(resolution: int | None, strides: str | None) -> None:
    """Raise `NasError` for a resolution that is none, and for strides at none."""
    _check_pixels("resolution", resolution)
    if strides is not None:
        _one_of("strides", strides, STRIDES)
        if resolution is None:
            raise NasError("--strides says what becomes of strides at another resolution: add --resolution.")


def check_classes(classes: int | None) -> None:
    """Raise `NasError` for a number of classes that is none."""
    if classes is not None and not 1 <= classes <= MAX_DIMENSION:
        raise NasError(f"`--classes` is a whole number of 1 to {MAX_DIMENSION:,}, got {classes}.")


def parse_latency(text: str) -> float:
    """`75ms`, `0.075s` or `900us` → milliseconds. Raises `NasError` without a unit, and for what is not positive."""
    value = COSTS["latency"].parse(text)
    if value is None or not value < 1e9:
        raise NasError(f"A latency is a positive number with its unit, such as 75ms or 0.075s, got {text!r}.")
    return value


def parse_bounds(texts: Sequence[str]) -> dict[str, Any]:
    """`75ms`, `50%` → the request's `latency_ms` and `latency_share`, with an entry for each. Raises `NasError`."""
    shares = [text.strip().endswith("%") for text in texts]
    return settled(
        {
            "latency_ms": [None if share else parse_latency(text) for text, share in zip(texts, shares, strict=True)],
            "latency_share": [_parse_share(text) if share else None for text, share in zip(texts, shares, strict=True)],
        }
    )


def _parse_share(text: str) -> float:
    value, unit = split_amount(text.strip().removesuffix("%"))
    if value is None or unit or not 0 < value < 1e4:
        raise NasError(f"A share of the reference's latency is a positive percentage, such as 50%, got {text!r}.")
    return value / 100


def parse_at_most(text: str) -> dict[str, float]:
    """`macs=300M,peak=256KiB` → {"macs": 3e8, "peak": 262144.0}. Raises `NasError`."""
    bounds = {}
    for part in text.split(","):
        name, _, amount = part.strip().partition("=")
        value = COSTS[name].parse(amount) if name in counted() else None
        if value is None:
            known = ", ".join(f"{name}=" for name in counted())
            raise NasError(
                f"A further bound is one of {known} with an amount, such as macs=300M or peak=256KiB, got {text!r}."
            )
        bounds[name] = value
    return bounds


def parse_budget(text: str) -> dict[str, Any]:
    """`200000`, `200k` or `5m` → the request's `budget` (evaluations) and `seconds`. Raises `NasError`."""
    value, unit = split_amount(text)
    if value is not None and value > 0:
        if unit in _TIME_UNITS:
            return {"budget": None, "seconds": value * _TIME_UNITS[unit]}
        if unit in COUNTS and (value * COUNTS[unit]).is_integer():
            return {"budget": int(value * COUNTS[unit]), "seconds": None}
    raise NasError(f"A budget is a number of evaluations or a time, such as 200000, 200k, 90s or 5m, got {text!r}.")


def parse_percent(text: str) -> float:
    """`5%` or `5` → 5.0. Raises `NasError`."""
    value, unit = split_amount(text.strip().removesuffix("%"))
    if value is None or unit or not 0 < value <= 100:
        raise NasError(f"A share is above 0 and at most 100 percent, such as 5%, got {text!r}.")
    return value


def _check_pixels(option: str, size: int | None) -> None:
    if size is not None and not (type(size) is int and 1 <= size <= MAX_RESOLUTION):
        raise NasError(f"`--{option}` is a whole number of 1 to {MAX_RESOLUTION:,} pixels, got {size!r}.")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _one_of(what: str, value: str, known: tuple[str, ...], own: str = "") -> None:
    if value not in known:
        further = f"; {own} is one of your own" if own else ""
        raise NasError(f"No {what} named {value!r}; known: {', '.join(known)}{further}.")

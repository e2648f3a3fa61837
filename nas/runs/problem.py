"""Problem: a request with everything it names loaded and compiled to arrays."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.accuracy.evaluator import Evaluator, Sampling, Spread
from nas.accuracy.make import Means, default_accuracy, make_evaluator
from nas.blocks.precision import FLOAT
from nas.cost.cost import COSTS, latencies
from nas.cost.factors import Factors
from nas.errors import LatencyMissing, NasError
from nas.policies import POLICIES
from nas.runs.aim import Aim
from nas.runs.objective import Objective
from nas.runs.past import SHARED_SHARE, WHOLE_SHARE, past_of, planned_past, space_of
from nas.runs.request import Request
from nas.solvers.exact import evolved
from nas.space.adapt import in_precision, options_of
from nas.space.space import Population, Space
from nas.system.teller import Silent, Teller
from nas.tables.listing import instead
from nas.tables.table import LatencyTable, load_table
from nas.tables.table import latency as compile_latency
from nas.tables.target import target_path
from nas.workers import Here, Workers

if TYPE_CHECKING:
    from nas.data.data import Data
    from nas.runs.importing import Imported
    from nas.supernet.shared_weights import SharedWeights
    from nas.training.processes import Processes


SIZES = ("macs", "params")
"""Costs that every result has, asked about or not."""


@dataclass(frozen=True)
class Subject:
    """What is searched and on which pictures: the space, adapted to resolution and classes, and the data, if any."""

    space: Space
    data: Data | None
    network: Imported | None = None
    """The trained network that the space is the elastic one of, where there are pictures to tune it on."""

    @classmethod
    def load(cls, request: Request, teller: Teller) -> Subject:
        """Raises `NasError` for what cannot be loaded, for pictures that are smaller than the strides allow, and where
        there is no bound on latency to be had."""
        network = None if request.data is None else past_of(request)
        load = partial(space_of, request, None if network is None else network.architecture)
        space = load()
        if not space.references and any(aim.latency_ms is None for aim in request.aims):
            raise NasError(f"{space.name} has no reference network to take a bound from. Add --latency.")
        if space.strides:
            teller.say(f"strides of {space.name}: {space.strides}")
        if request.data is None:
            return cls(space, None)
        from nas.data import load_data

        channels, *size = space.picture
        if request.proxy_resolution is not None:  # the shorter side's
            size = [round(side * request.proxy_resolution / min(size)) for side in size]
        if min(size) < space.shrinkage:
            raise NasError(
                f"Pictures of {min(size)} px are smaller than the strides of {space.name} allow, which make "
                f"{space.shrinkage} pixels one. Give at least --proxy-resolution {space.shrinkage}."
            )
        data = load_data(
            request.data, (size[0], size[1]), channels=channels, skip_broken=request.skip_broken, teller=teller
        )
        for note in data.notes:
            teller.say(note)
        if network is not None:  # its weights are used to these
            data = replace(data, mean=network.mean, std=network.std)
        return cls(load(classes=len(data.classes)), data, network)


@dataclass(frozen=True)
class Problem:
    """A request with everything it names loaded and compiled."""

    space: Space
    tables: Mapping[str, LatencyTable]
    """By the keys of the latencies that they tell: one for each target."""
    objective: Objective
    initial: Population
    """Reference networks, and the one of least latency."""
    planned: int | None
    """Evaluations to ask for, or steps of a policy; None where a time is to be turned into a number."""
    seconds: float | None = None
    """That evaluations, or the steps of a policy, may take where there is no such number."""
    weights: SharedWeights | None = None
    """A supernet's, for the evaluator and for a policy, where one is trained."""

    @classmethod
    def load(
        cls,
        request: Request,
        *,
        subject: Subject | None = None,
        folder: Path | None = None,
        teller: Teller = Silent(),  # noqa: B008  # has no state
        workers: Workers = Here(),  # noqa: B008  # has no state
        processes: Processes | None = None,
        tables: Callable[[], Sequence[LatencyTable]] | None = None,
    ) -> Problem:
        """What was loaded already is passed as `subject`; `folder` is where what is trained is kept, by all
        `processes`; `workers` evaluate. `tables`, by default what the targets name, may have to be measured: they are
        asked for when nothing else can be wrong any more.

        Raises `NasError` for what cannot be loaded and `Unattainable` for bounds that nothing meets.
        """
        subject = subject or Subject.load(request, teller)
        space, data = subject.space, subject.data
        kind = request.accuracy or _usual(subject)
        weights = None
        if data is not None and request.inherits:
            weights = _weights(request, kind, subject, data, folder, teller, processes)
        means = Means(data, request.seed, folder, teller, workers, weights)
        accuracy = make_evaluator(kind, space, means)
        if workers.option and not isinstance(accuracy, Spread | Sampling):
            if not request.raced:
                raise NasError(
                    "--workers is for the accuracies train, asha, prior and zero-cost, and for races; the "
                    f"{accuracy.label} is computed here."
                )
            teller.say(f"the {accuracy.label} is computed here: workers train the networks of the race alone")
        if (request.prove or request.solves) and not _provable(accuracy):
            raise NasError(
                f"A proof needs an accuracy that is a sum of arrays, as a predictor is; the {accuracy.label} is none. "
                + ("Take another --controller." if request.solves else "Leave --prove out.")
            )
        form, _, more = request.goal.partition(":")
        further = more.split(",") if more else []
        told = dict.fromkeys([*SIZES, *request.at_most, *further])
        counted = {COSTS[name].key: COSTS[name].factors(space) for name in told}
        at_most = {COSTS[name].key: bound for name, bound in request.at_most.items()}
        Objective(accuracy, counted, at_most, tuple(at_most)).check_attainable()
        found = load_tables(request, space) if tables is None else tables()
        for noise in filter(None, (each.noise(space) for each in found)):
            teller.say(noise)
        targets = _named([table.name for table in found])
        times = {key: _latency(request, space, table, teller) for key, table in zip(targets, found, strict=True)}
        references = space.encode(list(space.references.values()))
        bounds, wished = {}, []
        for aim, (key, cost) in zip(request.aims, times.items(), strict=True):
            # where there is none, `Subject.load` has seen a reference
            bounds[key] = aim.latency_ms or float(cost(references[:1])[0]) * (aim.latency_share or 1.0)
            wished += [] if _is_hard(form, aim) else [key]
        bounds |= at_most
        hard = tuple(name for name in bounds if name not in wished)
        goals = tuple(COSTS[name].key for name in further)
        objective = Objective(accuracy, {**times, **counted}, bounds, hard, form, goals, targets)
        objective.check_attainable()
        if isinstance(accuracy, Sampling):
            accuracy.among(_within(space, objective, accuracy.worth))
        initial = space.canonical(np.concatenate([references, objective.cheapest()]))
        planned, seconds = request.planned(kind), request.seconds
        if seconds is not None and subject.network is not None:  # most of it is for tuning
            seconds *= 1 - WHOLE_SHARE - (0 if request.learns else SHARED_SHARE)
            planned = replace(request, seconds=None).planned(kind) if _provable(accuracy) else None
        return cls(space, dict(zip(targets, found, strict=True)), objective, initial, planned, seconds, weights)

    @property
    def provable(self) -> bool:
        """Whether the accuracy is a sum of arrays."""
        return _provable(self.objective.accuracy)

    @property
    def value_factors(self) -> Factors:
        """The accuracy as Factors, where it is `provable`."""
        accuracy = self.objective.accuracy
        factors = getattr(accuracy, "factors")  # noqa: B009  # evaluators need not have any
        if not isinstance(factors, Factors):
            raise NasError(f"`factors` of the {accuracy.label} are Factors, got {type(factors).__name__}.")
        return factors

    @property
    def factors(self) -> Mapping[str, Factors]:
        """Costs of the space by their keys: latencies, MACs, parameters, and what else was asked about."""
        return self.objective.costs


def load_tables(request: Request, space: Space) -> list[LatencyTable]:
    """Those of a request's targets. Raises `TableError`, and `LatencyMissing` where a device has none of the space."""
    return [load_table(target_path(aim.target, space.name)) for aim in request.aims]


def _named(names: Sequence[str]) -> dict[str, str]:
    """Names of targets by the keys of latency on each. Raises `NasError` where two are alike."""
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise NasError(f"Targets of a search are told apart by their tables' names, got {twice!r} more than once.")
    return dict(zip(latencies(names), names, strict=True))


def _latency(request: Request, space: Space, table: LatencyTable, teller: Teller) -> Factors:
    """Compiled from a table; of one's own table it is told what its rows lack. Raises `LatencyMissing`, with the
    command that measures the rest where there is one, else with the targets that answer."""
    more = ""
    alike = space.precision in table.precisions
    if alike and table.header.target is not None and (missing := len(table.without_row(space.layers()))):
        options = options_of(space.name).split()[1:]
        words = ["nas", "profile", "--space", request.space, *options, "--target", table.header.target]
        measure = shlex.join([*words, "--out", str(table.path)])
        more = f"{missing} of the {len(space.layers())} layers of {space.name} have no row in {table.name}. "
        more += f"Measure them: {measure}"
    try:
        factors = compile_latency(space, table)
    except LatencyMissing as problem:
        raise LatencyMissing(f"{problem}\n{more or instead(table, space)}") from None
    if more:
        teller.say(f"the block model stands in: {more}")
    return factors


def _usual(subject: Subject) -> str:
    """What accuracy is estimated from where nobody says and nothing was chosen."""
    if subject.network is not None:
        return "sensitivity"
    return "supernet" if subject.data is not None else default_accuracy(subject.space)


def _provable(accuracy: Evaluator) -> bool:
    """Whether an accuracy is a sum of arrays."""
    found = inspect.getattr_static(accuracy, "factors", None)  # they may have to be measured
    return isinstance(found, (Factors, property, cached_property))


def _within(space: Space, objective: Objective, worth: Factors) -> Population:
    """What a short evolution towards this worth meets within the hard bounds, `uint8[n, D]`; where nothing is within,
    those that break them least."""
    limits = [(objective.costs[name], objective.bounds[name]) for name in objective.hard]
    met = space.canonical(evolved(space, worth, limits))
    excess = np.zeros(len(met))
    for cost, limit in limits:
        excess += np.maximum(cost(met) / limit - 1, 0)
    return np.asarray(met[excess <= excess.min()], dtype=np.uint8)


def _is_hard(form: str, aim: Aim) -> bool:
    """Whether the bound on latency is kept during the search: a front is cut by it only where it was asked for."""
    return form == "bound" or (form == "front" and aim.asked)


def _weights(
    request: Request,
    accuracy: str,
    subject: Subject,
    data: Data,
    folder: Path | None,
    teller: Teller,
    processes: Processes | None,
) -> SharedWeights:
    """Of the supernet that `accuracy` describes, or that the policy trains."""
    from nas.supernet.rules import RULES  # brings torch
    from nas.supernet.shared_weights import SHRINKING, SharedSettings, SharedWeights

    argument = accuracy.partition(":")[2]
    settings = SharedSettings.parse(argument)
    if request.learns:
        policy, steps = request.controller, request.planned(accuracy) or 0
        settings = SharedSettings(steps=steps, rule=policy, kind=POLICIES[policy].supernet)
    space = in_precision(subject.space, FLOAT)
    if subject.network is None:
        return SharedWeights(space, data, settings, request.seed, folder, teller, processes)
    past, tuning = planned_past(request, subject.network, data, folder)
    words, settle = argument.split(","), None
    if not request.learns and not any(word.isdecimal() for word in words):
        settings, settle = replace(settings, steps=tuning.steps), tuning.settle
    if not request.learns and not RULES.keys() & set(words):
        settings = replace(settings, rule=SHRINKING)
    return SharedWeights(space, data, settings, request.seed, folder, teller, processes, past, settle)

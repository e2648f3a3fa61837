"""`optuna:NAME`: a sampler of Optuna behind ask and tell.

The study lives in memory and holds what was told, as finished trials, with the violation as a constraint. `ask` opens
trials in it, as Optuna knows no other way to propose, but closes them again as failed, which samplers leave out of
account, and takes a sampler made for the occasion with a seed from `rng`: so proposals depend on what was told and on
`rng` alone, as everywhere, and a resumed run goes on the same way. The price: samplers that warm-start from their
last fit (`gp`) start anew each time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from numpy.random import Generator
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import (
    BaseGASampler,
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import Trial, TrialState

from nas.controllers.controller import Values
from nas.errors import NasError
from nas.space.space import Population, Space

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "gp": lambda seed: GPSampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed),
}
"""By name, a function of the seed. CMA-ES and QMC are not here: for categorical decisions both fall back to random."""


class OptunaSampler:
    """Asks a sampler of Optuna for one trial after another; several at once are open together."""

    def __init__(self, name: str, space: Space, initial: Population) -> None:
        if name not in SAMPLERS:
            raise NasError(f"No Optuna sampler named {name!r} works here; known: {', '.join(sorted(SAMPLERS))}.")
        self._name = name
        self._space = space
        self._initial = initial
        self._told = 0
        self._options: dict[str, BaseDistribution] = {
            d.name: CategoricalDistribution(d.options) for d in space.decisions
        }
        self._columns = 0
        self._study = _study(1)

    @classmethod
    def sized(cls, name: str, space: Space, initial: Population, budget: int | None) -> OptunaSampler:
        return cls(name, space, initial)

    def ask(self, n: int, rng: Generator) -> Population:
        """The initial genotypes, then what the sampler suggests, in canonical form."""
        start = self._initial[self._told : self._told + n]
        self._study.sampler = self._sampler(int(rng.integers(2**32)))
        trials = [self._open() for _ in range(n - len(start))]
        suggested = self._space.encode([trial.params for trial in trials])
        for trial in trials:
            self._study.tell(trial, state=TrialState.FAIL)
        return self._space.canonical(np.concatenate([start, suggested]))

    def tell(self, population: Population, values: Values, violations: Values) -> None:
        """Finished trials, whether the study asked for them or not."""
        if values.shape[1] != self._columns:
            self._columns = values.shape[1]
            self._study = _study(self._columns)
        sampler = self._sampler(self._told)
        self._study.sampler = sampler if isinstance(sampler, BaseGASampler) else RandomSampler(seed=0)
        for genotype, value, violation in zip(population, values, violations, strict=True):
            params = self._space.choices(genotype)
            if isinstance(sampler, BaseGASampler):  # it marks trials with their generation, open ones alone
                self._study.enqueue_trial(params)
                trial = self._open()
                sampler.get_trial_generation(self._study, self._study.get_trials(deepcopy=False)[trial.number])
                trial.set_constraint("bounds", float(violation))
                self._study.tell(trial, value.tolist())
            else:
                told = {"values": value.tolist(), "constraints": {"bounds": float(violation)}}
                self._study.add_trial(optuna.create_trial(params=params, distributions=self._options, **told))
        self._told += len(population)
        if isinstance(sampler, BaseGASampler):  # parents are chosen now, by the history, not in some later ask
            self._study.tell(self._open(), state=TrialState.FAIL)

    def _open(self) -> Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._study.ask(self._options)

    def _sampler(self, seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return SAMPLERS[self._name](seed)


def _study(columns: int) -> optuna.Study:
    """An empty study in memory; Optuna says nothing while it is made, and its verbosity is left as it was."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(directions=["maximize"] * columns)
    finally:
        optuna.logging.set_verbosity(before)

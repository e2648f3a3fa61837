"""SharedWeights: a supernet of a space and its one training, for all who use its weights.

An evaluator has them trained by a rule when it is first asked, a policy trains them with itself; several processes do
so together, and leave each other when that is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from nas.data.data import Data
from nas.errors import NasError
from nas.formats.kernels import Kernels
from nas.space.space import Space
from nas.supernet import SUPERNETS
from nas.supernet.inherit import inherit
from nas.supernet.multi_path import check_branches
from nas.supernet.past import BATCH, RATE, Past, Shrinking, Tuned
from nas.supernet.rules import RULES, Rule
from nas.supernet.supernet import Supernet
from nas.supernet.training import WeightSettings, WeightTraining
from nas.system.interrupt import interruptible
from nas.system.teller import Teller, stage
from nas.training.processes import Processes, alone

VERSION = "supernet/1"
FILE = "supernet.safetensors"
SHRINKING = "shrinking"
"""The rule by which what is in a trained network learns: see `nas.supernet.past.Shrinking`."""
SLOW_PIXELS = 96
"""From here on a supernet is hardly trained without a GPU in the time that somebody waits."""


@dataclass(frozen=True, kw_only=True)
class SharedSettings:
    """How the supernet is trained."""

    steps: int = 2_000
    rule: str = "uniform"
    """One of `RULES`, `SHRINKING`, or the policy that trains it."""
    kind: str = "superkernel"

    @classmethod
    def parse(cls, argument: str) -> SharedSettings:
        """What follows `supernet:`. Raises `NasError` for a word that is none of these."""
        found: dict[str, Any] = {}
        for word in filter(None, argument.split(",")):
            if word.isdecimal() and 1 <= int(word) <= 10**8:
                found["steps"] = int(word)
            elif word in RULES:
                found["rule"] = word
            elif word in SUPERNETS:
                found["kind"] = word
            else:
                raise NasError(
                    f"`supernet:` takes a number of steps, a rule ({', '.join(RULES)}) and a kind "
                    f"({', '.join(SUPERNETS)}), separated by commas; got {word[:40]!r}."
                )
        return cls(**found)


@dataclass(eq=False)
class SharedWeights:
    """See above. Raises `NasError` where the processes cannot share a batch, or a supernet would have too many
    branches."""

    space: Space
    data: Data
    settings: SharedSettings
    seed: int
    folder: Path | None
    """Where the supernet's checkpoint is kept."""
    teller: Teller
    processes: Processes | None = None
    """Those that train together; None is this one alone."""
    past: Past | None = None
    """The trained network that the space is the elastic one of, and its weights begin with."""
    settle: Callable[[float], int] | None = None
    """Steps for those of the settings, by the seconds that tuning the whole network took; None where they stay."""

    def __post_init__(self) -> None:
        self.team = self.processes or alone()
        self.team.check_batch(SUPERNETS[self.settings.kind].load().batch)
        if self.settings.kind == "multi-path":
            check_branches(self.space, self.space.candidates)  # before a run is set up
        self._trained = False
        if self.past is None and min(self.data.size) >= SLOW_PIXELS and not torch.cuda.is_available():
            self.teller.say(
                f"training on pictures of {self.data.seen} takes very long without a GPU; --proxy-resolution "
                "32 or 64 trains the supernet on small ones and leaves the network's own resolution as it is"
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that the weights depend on."""
        parts: tuple[object, ...] = (VERSION, self.settings, self.seed, self.space.fingerprint, self.data.fingerprint)
        if self.past is not None:
            parts += (self.past.fingerprint,)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @cached_property
    def training(self) -> WeightTraining:
        """The supernet and its optimiser, as far as they are trained."""
        path, steps = None if self.folder is None else self.folder / FILE, self.settings.steps
        if self.settle is not None and self.tuned is not None:
            steps = self.settle(self.team.sums([self.tuned.seconds])[0] / self.team.count)
        return self.fresh_training(path, steps)

    @cached_property
    def tuned(self) -> Tuned | None:
        """The whole network on this data, where there is a past; it is tuned now unless it has been."""
        if self.past is None:
            return None
        return self.past.tuned(self.data, self.seed, self.folder, self.teller, self.team)

    @cached_property
    def rule(self) -> Rule:
        """That of the settings."""
        if self.settings.rule != SHRINKING or self.past is None or self.tuned is None:
            return RULES[self.settings.rule]
        return Shrinking(self.space, self.tuned.network().to(self.team.device), self.past.share)

    def fresh_training(self, path: Path | None = None, steps: int | None = None) -> WeightTraining:
        """A supernet whose weights are drawn from the seed, or inherited, and its optimiser, for the steps of the
        settings or so many; `path` is that of a checkpoint."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            supernet = SUPERNETS[self.settings.kind].load()(self.space, inherits=self.tuned is not None)
        given = None
        if self.tuned is not None:
            inherit(supernet, self.tuned.architecture, self.tuned.weights, self._kernels)
            given = WeightSettings(batch=BATCH, learning_rate=RATE)
        return WeightTraining(
            supernet,
            self.data,
            self.settings.steps if steps is None else steps,
            self.seed,
            given,
            processes=self.team,
            path=path,
            fingerprint=self.fingerprint,
        )

    @property
    def _kernels(self) -> Kernels:
        """The transforms of a past; a policy takes centres."""
        kernels = {} if self.past is None else self.past.kernels
        if kernels and self.settings.rule not in (*RULES, SHRINKING):
            self.teller.say(f"kernel transforms are left out: {self.settings.rule} takes the centre of a kernel")
            return {}
        return kernels

    def plan(self, steps: int) -> None:
        """Set the number of steps, where it was not known at first."""
        self.settings = replace(self.settings, steps=steps)

    def train(self) -> None:
        """Train by the rule, from wherever the checkpoint stands. Raises `NasError` where the loss diverges or memory
        is short, `Interrupted` after SIGINT or SIGTERM; the last checkpoint is kept."""
        stage(self.teller, "tune")
        training, stepper, rule = self.training, self.training.stepper, self.rule
        stepper.restore()
        with interruptible() as interrupted, stepper.memory_told():
            for step in stepper.steps(self.teller, interrupted):
                x, y = training.batch(step)
                done = step / training.planned
                training.step(step, partial(rule, training.supernet, x, y, training.rng(step, 0), done))
        self.are_trained()

    def are_trained(self) -> None:
        """Take the weights as trained, by a policy for example; processes go on by themselves."""
        self._trained = True
        self.team.leave()

    @property
    def trained(self) -> Supernet:
        """The supernet, trained now unless it has been."""
        if not self._trained:
            self.train()
        return self.training.supernet

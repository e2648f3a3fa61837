"""Descent: a policy and its supernet, trained together; then the policy's best architecture within the bounds.

In each step the supernet's weights follow a batch of training pictures. After a warm-up, in which all options are
equally likely, the policy follows a batch of pictures held out of them, with the bounds and the entropy in its loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from nas.cost.cost import latencies_of
from nas.cost.factors import Factor, Factors
from nas.errors import NasError
from nas.policies.bound import TWO_SIDED, Bounds
from nas.policies.policy import Policy
from nas.solvers.exact import WORK, Solution, solve
from nas.space.space import Space
from nas.supernet.rules import uniform
from nas.supernet.supernet import Genotype
from nas.supernet.training import WeightTraining
from nas.system.interrupt import Signals
from nas.system.teller import Teller

FLOOR = 0.95
"""Share of the latency bound that the derived architecture uses at least, where the space allows it."""
SOLVE_WORK = WORK // 2
RECORDS = 200
"""Rows of the record at most."""
SKIPS_TOLD = 0.7
"""Chance of skipping, over all layers that can be skipped, from which on it is told."""


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """How a policy is trained: Adam on its parameters, as in the papers."""

    warm_up: float = 0.3
    """Share of the steps in which only weights are trained, every option equally likely."""
    reach: float = 12.0
    """How far a parameter can move over the whole search: it sets the learning rate, within the two below."""
    least_rate: float = 0.003
    most_rate: float = 0.15
    betas: tuple[float, float] = (0.5, 0.999)
    """Of ProxylessNAS and DARTS."""
    hot: float = -0.05
    """Weight of the entropy, summed over decisions, in the loss when learning starts: below 0 keeps options open."""
    cold: float = 0.2
    """At the end: above 0 decides. In between it rises with the square of the progress."""


@dataclass(frozen=True)
class Record:
    """How a search stood at one step."""

    step: int
    loss: float
    expected_ms: float
    """On the first target."""
    multiplier: float
    entropy: float
    skips: float
    """Mean chance that a layer which can be skipped is; 0 where none can."""


class Descent:
    """A policy and a supernet in training."""

    def __init__(self, training: WeightTraining, policy: Policy, bounds: Bounds) -> None:
        """Continues from the training's checkpoint, if there is one. Raises `RunError` as `Stepper.restore` does."""
        self.training = training
        self.policy = policy
        self.bounds = bounds
        self.settings = PolicySettings()
        self.records: list[Record] = []
        first = int(self.settings.warm_up * training.planned)
        self.first = first if first < training.planned else 0
        rate = self.settings.reach * policy.every / max(1, training.planned - self.first)
        self._parameters = [p for p in policy.parameters() if p.requires_grad]
        self._optimiser = torch.optim.Adam(
            self._parameters or [torch.zeros(1, requires_grad=True)],
            lr=min(max(rate, self.settings.least_rate), self.settings.most_rate),
            betas=self.settings.betas,
        )
        self._skipping = _skipping(policy.space, training)
        stepper = training.stepper
        stepper.modules["policy/"] = policy
        stepper.optimisers["adam/"] = self._optimiser, {str(index): p for index, p in enumerate(self._parameters)}
        stepper.restore(self._take)

    def run(self, teller: Teller, interrupted: Signals) -> float:
        """Train to the planned step; returns seconds. Raises `Interrupted`, with everything kept, where it is asked to
        stop, and `NasError` where the loss diverges or the memory does not suffice."""
        stepper = self.training.stepper
        with stepper.memory_told():
            for step in stepper.steps(teller, interrupted, self._state):
                self.advance(step)
        skips = self.records[-1].skips if self.records else 0.0
        if skips > SKIPS_TOLD:
            teller.say(
                f"the policy has come to skip nearly everything it can ({skips:.0%} on average), as happens while the "
                "weights are hardly trained: a larger --budget, or another --controller, may tell more."
            )
        return stepper.clock.seconds

    def advance(self, step: int) -> None:
        """Make this step."""
        training, policy = self.training, self.policy
        x, y = training.batch(step)
        if step < self.first:  # a multi-path supernet trains the branches of one network a step
            loss = training.step(step, partial(uniform, training.supernet, x, y, training.rng(step, 0)))
        else:
            policy.begin_step((step - self.first) / max(1, training.planned - self.first - 1))
            loss = training.step(step, lambda: self._weights(step, x, y))
            if not policy.joint and (step - self.first) % policy.every == 0:
                self._learn(step)
        if (step + 1) % max(1, training.planned // RECORDS) == 0 or step + 1 == training.planned:
            self.records.append(self._record(step + 1, loss))

    def _weights(self, step: int, x: torch.Tensor, y: torch.Tensor) -> float:
        loss = self.policy.weights_loss(self.training.supernet, x, y, self.training.rng(step, 0))
        if not self.policy.joint:
            torch.autograd.backward(loss)
            return loss.item()
        self._optimiser.zero_grad()
        self._follow(loss, self._constrained(step, loss))
        return loss.item()

    def _learn(self, step: int) -> None:
        training = self.training
        x, y = training.batch(step, training.data.validation)
        self._optimiser.zero_grad()
        frozen = [p for p in training.supernet.parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)  # the weights' gradients are not wanted here
        loss = self.policy.policy_loss(training.supernet, x, y, training.rng(step, 1))
        excesses = self._constrained(step, loss)
        for parameter in frozen:
            parameter.requires_grad_(True)
        self._follow(loss, excesses)

    def _follow(self, loss: torch.Tensor, excesses: Mapping[str, torch.Tensor]) -> None:
        """A step of the policy and of the bounds' multipliers, along the mean of all processes' gradients."""
        self.training.stepper.expect_finite(self.training.team.mean(self._parameters, loss.item()))
        self._optimiser.step()
        self.bounds.ascend(excesses)

    def _constrained(self, step: int, loss: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Backward of a loss with the bounds' term and the entropy's; returns the excesses over the bounds."""
        excesses = self.bounds.excesses(self.policy.probabilities())
        done = (step - self.first) / max(1, self.training.planned - self.first)
        weight = self.settings.hot + (self.settings.cold - self.settings.hot) * done**2
        decisions = int((self.policy.space.cardinalities > 1).sum())
        entropy = weight * decisions * self.policy.entropy()
        term = self.bounds.term(excesses).float()
        torch.autograd.backward(loss + (entropy.cpu() + term).to(loss.device))
        return excesses

    @torch.no_grad()
    def _record(self, step: int, loss: float) -> Record:
        chances = self.policy.probabilities()
        latency = self.bounds.costs[TWO_SIDED]
        skips = self._skipping.expected_cost([p.cpu() for p in chances])
        return Record(
            step,
            loss,
            float(latency.expected_cost([p.cpu() for p in chances])),
            self.bounds.multipliers[TWO_SIDED],
            float(self.policy.entropy()),
            float(skips),
        )

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds beside tensors."""
        return {"multipliers": self.bounds.multipliers, "records": [asdict(record) for record in self.records]}

    def _take(self, state: dict[str, Any]) -> None:
        self.bounds.multipliers = {name: float(state["multipliers"][name]) for name in self.bounds.multipliers}
        self.records = [Record(**record) for record in state["records"]]


@dataclass(frozen=True)
class Derived:
    """What a policy amounts to within the bounds, and what the bounds changed of it."""

    solution: Solution
    """Of the largest log-probability; its value is that logarithm."""
    argmax: Genotype
    """The likeliest options, whatever they cost."""
    argmax_ms: dict[str, float]
    """By the keys of latencies, as is `expected_ms`."""
    expected_ms: dict[str, float]
    changed: int
    """Decisions in which the two differ."""
    floored: bool
    """Whether at least 0.95 of a bound on latency was asked for; not where the space has no such network."""


def derive(space: Space, policy: Policy, costs: Mapping[str, Factors], bounds: Mapping[str, float]) -> Derived:
    """The likeliest architecture of a policy within all bounds, which uses at least 0.95 of one on latency.

    Raises `Unattainable` where nothing meets the bounds.
    """
    value = policy.log_probability()
    times = {name: costs[name] for name in latencies_of(bounds)}
    slow: list[Solution] = []
    for name, latency in times.items():
        if latency.bounds()[1] >= FLOOR * bounds[name]:
            floored_costs = {**costs, "floor": latency * -1.0}
            floored_bounds = {**bounds, "floor": -FLOOR * bounds[name]}
            with suppress(NasError):  # the other bounds leave nothing that slow, or nothing that is found in time
                slow.append(solve(space, value, floored_costs, floored_bounds, work=SOLVE_WORK))
    solution = max(slow, key=lambda found: found.value, default=None) or solve(
        space, value, costs, bounds, work=SOLVE_WORK
    )
    argmax = policy.argmax()
    canonical = space.canonical(np.stack([argmax, solution.genotype]))
    chances = [p.detach().cpu() for p in policy.probabilities()]
    return Derived(
        solution,
        canonical[0],
        {name: float(latency(canonical[:1])[0]) for name, latency in times.items()},
        {name: float(latency.expected_cost(chances)) for name, latency in times.items()},
        int((canonical[0] != canonical[1]).sum()),
        bool(slow),
    )


def _skipping(space: Space, training: WeightTraining) -> Factors:
    """Mean over the slots that can be left out or skipped of whether they are, as Factors."""
    skips = [
        np.array([float(all(layer.kind == "identity" for layer in chain)) for chain in choice.chains])
        for choice in training.supernet.choices
    ]
    able = [(c, s) for c, s in zip(training.supernet.choices, skips, strict=True) if 0 < s.sum() < len(s)]
    terms = [Factor(choice.decisions, skip[choice.code] / len(able)) for choice, skip in able]
    return Factors.of([int(n) for n in space.cardinalities], 0.0, terms)

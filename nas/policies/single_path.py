"""Single-Path NAS (arXiv:1904.02877): options are chosen by the norms of what they add to a superkernel.

A kernel of 5 is one of 3 and the ring around it; an expansion of 6 is one of 3 and as many channels more; a layer that
is not skipped is its smallest slice and nothing. Each addition stays where its norm is over a learned threshold (eq. 2
to 6 of the paper). Where several layers share a decision, as in a stage, their norms are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.random import Generator
from torch import nn
from torch.nn.functional import cross_entropy, logsigmoid

from nas.blocks.convolution import Conv, SqueezeExcite
from nas.blocks.layer import Layer
from nas.policies.bound import Latency
from nas.policies.policy import Policy
from nas.space.candidates import Candidates
from nas.space.space import Space
from nas.supernet.shares import shares_of
from nas.supernet.superkernel import Superkernel
from nas.supernet.supernet import Supernet

SHARPNESS = 5.0
"""Logit of a gate per unit of norm over its norm at first."""
LEAST_SHARE = 0.02
"""Forms of a slot with less chance than this are not computed where they are not chosen."""

Slice = Callable[[], torch.Tensor]
"""The weights that a gate is about, as they are now."""


class SinglePath(Policy):
    """Nested gates on the norms of superkernels, learned with their weights by one loss.

    A gate is open with chance `σ(κ (n - t))`: n the mean square of what it adds, over that at first, and t its
    threshold, 1 at first. Chances are relative to those at first, so that all options begin alike. What is no slice of
    anything (the kind of a block, groups, an activation) has free logits beside. In the paper indicators are hard and
    perturbed by dropout; here they are drawn by their chance, so that every option is trained as long as it is likely,
    and the gradient is that of the chance.
    """

    joint: ClassVar[bool] = True

    def __init__(self, space: Space, supernet: Superkernel) -> None:
        super().__init__(space)
        self._gates: list[list[_Gate]] = [
            list(_gates_of(decision, len(space.decisions[decision].options), supernet))
            for decision in range(len(space.decisions))
        ]
        self.thresholds = nn.ParameterList(torch.ones(sum(gate.levels for gate in gates)) for gates in self._gates)
        self.free = nn.ParameterList(
            torch.zeros(len(decision.options)) if _ambiguous(gates, len(decision.options)) else torch.zeros(0)
            for gates, decision in zip(self._gates, space.decisions, strict=True)
        )
        self.first = nn.ParameterList(nn.Parameter(norms, requires_grad=False) for norms in self._norms())

    @classmethod
    def of(cls, space: Space, supernet: Supernet, latency: Latency, target_ms: float) -> SinglePath:
        return cls(space, cast(Superkernel, supernet))

    def logits(self) -> list[torch.Tensor]:
        """Differentiable in the thresholds and in the supernet's weights."""
        result = []
        for decision, norms in enumerate(self._norms()):
            options = len(self.space.decisions[decision].options)
            total = norms.new_zeros(options) if not len(self.free[decision]) else self.free[decision]
            open_ = SHARPNESS * (norms / self.first[decision].clamp_min(1e-12) - self.thresholds[decision])
            start = 0
            for gate in self._gates[decision]:
                own = open_[start : start + gate.levels]
                total = total + gate.log_chances(own) - gate.log_chances(torch.zeros_like(own))
                start += gate.levels
            result.append(total)
        return result

    def weights_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        """Cross-entropy of a sampled network, differentiable in weights and thresholds."""
        chances = self.probabilities()
        shares = [shares_of(choice, chances) for choice in supernet.choices]
        return cross_entropy(cast(Superkernel, supernet).gated(x, self.sample(rng), shares, LEAST_SHARE), y)

    def policy_loss(self, supernet: Supernet, x: torch.Tensor, y: torch.Tensor, rng: Generator) -> torch.Tensor:
        return torch.zeros(())

    def _norms(self) -> list[torch.Tensor]:
        """Of each decision, the mean square of what each of its gates' levels adds: float32[levels]."""
        return [torch.cat([gate.norms() for gate in gates]) if gates else torch.zeros(0) for gates in self._gates]


@dataclass(frozen=True, eq=False)
class _Gate:
    """Nested additions that options differ in: option o has the first `reach[o]`, or they do not matter (-1)."""

    reach: tuple[int, ...]
    slices: tuple[tuple[Slice, ...], ...]
    """For each addition, its weights in every layer that shares the decision."""

    @property
    def levels(self) -> int:
        """Number of additions."""
        return len(self.slices)

    def norms(self) -> torch.Tensor:
        """Mean square of each addition, averaged over layers: float32[levels]."""
        return torch.stack([torch.stack([part().square().mean() for part in parts]).mean() for parts in self.slices])

    def log_chances(self, opens: torch.Tensor) -> torch.Tensor:
        """Of the options, up to a constant: float32[options]. Every addition needs the one before it."""
        passed = torch.cat([opens.new_zeros(1), logsigmoid(opens).cumsum(0)])
        stopped = torch.cat([logsigmoid(-opens), opens.new_zeros(1)])
        reached = passed + stopped
        return torch.stack([reached[r] if r >= 0 else opens.new_zeros(()) for r in self.reach])


def _gates_of(decision: int, options: int, supernet: Superkernel) -> Iterator[_Gate]:
    """Gates of one decision: additions that depend on its options in the same way, in several slots or in one, are one
    gate."""
    found: dict[tuple[int, ...], list[tuple[Slice, ...]]] = {}
    for slot, choice in enumerate(supernet.choices):
        if decision in choice.decisions:
            for reach, parts in _additions(decision, options, slot, choice, supernet):
                found.setdefault(reach, []).append(parts)
    for reach, layers in found.items():
        yield _Gate(reach, tuple(zip(*layers, strict=True)))


def _additions(
    decision: int, options: int, slot: int, choice: Candidates, supernet: Superkernel
) -> Iterator[tuple[tuple[int, ...], tuple[Slice, ...]]]:
    """Features of a slot that the options of a decision change: the reach of each option, and slices by level."""
    codes = np.moveaxis(choice.code, choice.decisions.index(decision), 0).reshape(options, -1)
    largest = [_largest(choice, set(codes[option].tolist())) for option in range(options)]
    sizes: dict[str, list[int | None]] = {
        "keep": [0 if layer is None else 1 for layer in largest],
        "kernel": [None if layer is None else layer.kernel for layer in largest],
        "width": [None if layer is None else layer.mid_channels or layer.out_channels for layer in largest],
        "se": [None if layer is None else int(layer.se_channels > 0) for layer in largest],
    }
    slices = _slices(slot, choice, supernet)
    for feature, values in sizes.items():
        steps = sorted({value for value in values if value is not None})
        if len(steps) > 1 and feature in slices:
            reach = tuple(-1 if value is None else steps.index(value) for value in values)
            parts = slices[feature]
            yield reach, tuple(parts(low, high) for low, high in pairwise(steps))


def _largest(choice: Candidates, candidates: set[int]) -> Layer | None:
    """The largest layer among candidates by each field; None where all are skips."""
    layers = [layer for index in candidates for layer in choice.chains[index] if layer.kind != "identity"]
    return max(layers, key=lambda la: (la.mid_channels or la.out_channels, la.kernel, la.se_channels), default=None)


def _slices(slot: int, choice: Candidates, supernet: Superkernel) -> Mapping[str, Callable[[int, int], Slice]]:
    """For each feature, the weights between two of its sizes; of the operation that mixes pixels, as in the paper."""
    banks = [
        (bank, op)
        for index, candidate in enumerate(choice.chains)
        if candidate and candidate[0].kind != "identity"
        for bank, op in supernet.banks_of(slot, index)
    ]
    convolutions = [(bank, op) for bank, op in banks if isinstance(op, Conv)]
    if not convolutions:
        return {}
    main = max(convolutions, key=lambda pair: (pair[1].kernel, pair[1].groups))[0]
    weight = main["conv.weight"]
    least = min(op.kernel for bank, op in convolutions if bank is main)
    narrowest = min(op.out_channels for bank, op in convolutions if bank is main)
    found: dict[str, Callable[[int, int], Slice]] = {
        "keep": lambda low, high: lambda: _ring(weight[:narrowest], 0, least),
        "kernel": lambda low, high: lambda: _ring(weight, low, high),
        "width": lambda low, high: lambda: weight[low:high] if high <= len(weight) else weight,
    }
    excitations = [bank for bank, op in banks if isinstance(op, SqueezeExcite)]
    if excitations:
        squeeze = excitations[0]["squeeze.weight"]
        found["se"] = lambda low, high: lambda: squeeze
    return found


def _ring(weight: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """The places of kernels that one of size `high` has and one of size `low` has not: float32[any]."""
    size = weight.shape[2]
    reach = (torch.arange(size, device=weight.device) - size // 2).abs()
    ring = torch.maximum(reach[:, None], reach[None, :])
    inside = (ring <= high // 2) & (ring > low // 2 if low else ring >= 0)
    return weight[:, :, inside]


def _ambiguous(gates: list[_Gate], options: int) -> bool:
    """Whether the gates leave two options alike."""
    return len({tuple(gate.reach[option] for gate in gates) for option in range(options)}) < options

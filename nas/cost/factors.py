"""Factors: a cost of a space that is a sum over slots, or their maximum, compiled to a few small dense arrays.

`cost(g) = constant + Σ_f array_f[g[axes_f]]`, or the largest of these. The same arrays give the cost of a population
(gather and fold), its expectation under independent decisions and the gradient of that (contraction, of sums), and its
exact least and largest value (variable elimination).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nas.blocks.layer import Layer
from nas.cost.cost import Fold
from nas.errors import NasError

if TYPE_CHECKING:
    import torch

    from nas.space.space import Space

FOLDS: dict[str, np.ufunc] = {"sum": np.add, "max": np.maximum}
NEUTRAL = {"sum": 0.0, "max": -np.inf}
"""What changes nothing: the value of a slot without layers."""
MAX_ELIMINATION = 20_000_000
CHUNK = 16_384
"""Genotypes gathered at once: their codes and sums stay in the processor's cache."""


@dataclass(frozen=True)
class Factor:
    """One term: a dense array with one axis per decision in `axes` (ascending indices)."""

    axes: tuple[int, ...]
    array: NDArray[np.float64]


@dataclass(frozen=True)
class Factors:
    """A compiled cost. Calling it on `uint8[N, D]` gives `float64[N]`."""

    cardinalities: tuple[int, ...]
    constant: float
    terms: tuple[Factor, ...]
    fold: Fold = "sum"

    @classmethod
    def compile(
        cls, space: Space, cost: Callable[[Sequence[Layer]], NDArray[np.float64]], fold: Fold = "sum"
    ) -> Factors:
        """Compile a cost per layer, `cost(layers) -> float64[len(layers)]`, over every slot of a space."""
        terms = []
        for slot, candidates in zip(space.slots, space.candidates, strict=True):
            chains = candidates.chains
            owners = np.repeat(np.arange(len(chains)), [len(chain) for chain in chains])
            values = np.full(len(chains), NEUTRAL[fold])
            FOLDS[fold].at(values, owners, cost([layer for chain in chains for layer in chain]))
            terms.append(Factor(slot.decisions, values[candidates.code]))
        return cls.of([int(n) for n in space.cardinalities], NEUTRAL[fold], terms, fold)

    @classmethod
    def of(cls, cardinalities: Iterable[int], constant: float, terms: Iterable[Factor], fold: Fold = "sum") -> Factors:
        """Factors with terms merged: those without axes into the constant, those within another's axes into it."""
        join = FOLDS[fold]
        merged: list[Factor] = []
        for term in sorted(terms, key=lambda term: -len(term.axes)):
            if not term.axes:
                constant = float(join(constant, term.array))
                continue
            for index, host in enumerate(merged):
                if set(term.axes) <= set(host.axes):
                    merged[index] = Factor(host.axes, join(host.array, _spread(term, host.axes)))
                    break
            else:
                merged.append(term)
        return cls(tuple(cardinalities), float(constant), tuple(sorted(merged, key=lambda term: term.axes)), fold)

    def __call__(self, population: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The cost of each genotype: `uint8[N, D]` to `float64[N]`."""
        total = np.full(len(population), self.constant, dtype=np.float64)
        for start in range(0, len(population), CHUNK):
            self._gather(population[start : start + CHUNK], total[start : start + CHUNK])
        return total

    cost = __call__

    def _gather(self, population: NDArray[np.uint8], total: NDArray[np.float64]) -> None:
        join = FOLDS[self.fold]
        codes = {group: _code(population, group, self.cardinalities) for group in self._groups}
        for term, groups in zip(self.terms, self._grouping, strict=True):
            index = codes[groups[0]]
            for group in groups[1:]:
                index = index * prod(self.cardinalities[axis] for axis in group) + codes[group]
            join(total, term.array.ravel().take(index), out=total)

    @cached_property
    def _grouping(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Each term's axes cut into runs that other terms share whole, so that their codes are computed once."""
        cuts = {axis for term in self.terms for axis in (term.axes[0], term.axes[-1] + 1)}
        grouping = []
        for term in self.terms:
            groups: list[list[int]] = []
            for previous, axis in zip((None, *term.axes), term.axes, strict=False):
                if previous is None or axis in cuts or axis != previous + 1:
                    groups.append([])
                groups[-1].append(axis)
            grouping.append(tuple(map(tuple, groups)))
        return tuple(grouping)

    @cached_property
    def _groups(self) -> tuple[tuple[int, ...], ...]:
        return tuple(dict.fromkeys(group for groups in self._grouping for group in groups))

    def expected_cost(self, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        """Exact expected cost under independent decisions, differentiable in the probabilities.

        `probabilities[d]` is a tensor of the options' probabilities of decision d; the result is a scalar.
        The expectation is of the sum itself, not of its logarithm (cf. Single-Path NAS, arXiv:1904.02877, eq. 10).
        Raises `NasError` for a maximum, whose expectation is no such contraction.
        """
        import torch

        if self.fold == "max":
            raise NasError("The expectation of a maximum is not compiled, only that of a sum. Take that of `excess`.")
        given = tuple(len(p) for p in probabilities)
        if given != self.cardinalities:
            raise NasError(f"`expected_cost` takes one probability per option, {self.cardinalities}, got {given}.")
        total = torch.tensor(self.constant, dtype=torch.float64)
        for term in self.terms:
            value = torch.from_numpy(term.array)
            for axis in reversed(term.axes):
                value = value @ probabilities[axis].to(torch.float64)
            total = total + value
        return total

    def bounds(self) -> tuple[float, float]:
        """The exact least and largest attainable cost."""
        if self.fold == "max":  # each entry is attained by some genotype
            largest = max((float(term.array.max()) for term in self.terms), default=-np.inf)
            return max(self.constant, self._least()[0]), max(self.constant, largest)
        largest = -Factors(self.cardinalities, 0.0, tuple(Factor(t.axes, -t.array) for t in self.terms))._least()[0]
        return self.constant + self._least()[0], self.constant + largest

    def cheapest(self) -> NDArray[np.uint8]:
        """A genotype `uint8[D]` of least cost."""
        return self._least()[1]

    def _least(self) -> tuple[float, NDArray[np.uint8]]:
        """Min-sum or min-max variable elimination: the least value of the terms and a genotype that attains it.

        Raises `NasError` where the terms entangle too many decisions for it (over 20 million entries at once).
        """
        pending = dict(enumerate(self.terms))
        holders: dict[int, set[int]] = {}
        for number, term in pending.items():
            for axis in term.axes:
                holders.setdefault(axis, set()).add(number)

        def scope_of(axis: int) -> tuple[int, ...]:
            return _union(pending[number].axes for number in holders[axis])

        def size(axis: int) -> int:
            return prod(self.cardinalities[b] for b in scope_of(axis))

        choosers: list[tuple[int, Factor]] = []
        join, value = FOLDS[self.fold], NEUTRAL[self.fold]
        sizes = {axis: size(axis) for axis in holders}
        while sizes:
            axis = min(sizes, key=lambda a: (sizes[a], a))
            scope = scope_of(axis)
            if sizes[axis] > MAX_ELIMINATION:
                raise NasError(
                    f"These factors entangle {len(scope)} decisions ({sizes[axis]:.1e} entries); "
                    f"exact bounds by elimination stop at {MAX_ELIMINATION:,}."
                )
            joint = np.full([self.cardinalities[b] for b in scope], NEUTRAL[self.fold])
            for number in sorted(holders[axis]):
                term = pending.pop(number)
                joint = join(joint, _spread(term, scope))
                for other in term.axes:
                    if other != axis:
                        holders[other].remove(number)
            place = scope.index(axis)
            rest = scope[:place] + scope[place + 1 :]
            choosers.append((axis, Factor(rest, joint.argmin(axis=place))))
            message = joint.min(axis=place)
            del sizes[axis]
            if rest:
                pending[len(self.terms) + len(choosers)] = Factor(rest, message)
                for other in rest:
                    holders[other].add(len(self.terms) + len(choosers))
                    sizes[other] = size(other)
            else:
                value = float(join(value, message))
        genotype = np.zeros(len(self.cardinalities), dtype=np.uint8)
        for axis, chooser in reversed(choosers):
            genotype[axis] = chooser.array[tuple(genotype[list(chooser.axes)])]
        return value, genotype

    def restricted(self, maxima: Iterable[tuple[Factors, float]]) -> Factors:
        """The same cost, infinite for genotypes with one of these maxima over its bound."""
        terms = list(self.terms)
        for cost, bound in maxima:
            allowed = [Factor(t.axes, np.where(t.array <= bound, NEUTRAL[self.fold], np.inf)) for t in cost.terms]
            terms += allowed if cost.constant <= bound else [Factor((), np.array(np.inf))]
        return (
            self if len(terms) == len(self.terms) else Factors.of(self.cardinalities, self.constant, terms, self.fold)
        )

    def excess(self, bound: float) -> Factors:
        """Of a maximum: in how many places it is over a bound, as a sum; 0 where it is within it."""
        over = [Factor(term.axes, (term.array > bound).astype(np.float64)) for term in self.terms]
        return Factors.of(self.cardinalities, float(self.constant > bound), over)

    def __add__(self, other: Factors) -> Factors:
        if "max" in (self.fold, other.fold):
            raise NasError("Sums of costs can be added, maxima cannot.")
        return Factors.of(self.cardinalities, self.constant + other.constant, self.terms + other.terms)

    def __mul__(self, scale: float) -> Factors:
        if self.fold == "max" and scale <= 0:
            raise NasError(f"A maximum can be scaled by a positive number, got {scale}.")
        terms = tuple(Factor(term.axes, term.array * scale) for term in self.terms)
        return Factors(self.cardinalities, self.constant * scale, terms, self.fold)


def _spread(term: Factor, axes: tuple[int, ...]) -> NDArray[np.float64]:
    """A term's array with length-1 axes where `axes` has decisions that it does not depend on."""
    return term.array.reshape([term.array.shape[term.axes.index(a)] if a in term.axes else 1 for a in axes])


def _union(groups: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({axis for group in groups for axis in group}))


def _code(population: NDArray[np.uint8], group: tuple[int, ...], cardinalities: Sequence[int]) -> NDArray[np.int64]:
    """Place of each genotype's options in a C array over the axes of `group`: int64[N]."""
    code = population[:, group[0]].astype(np.int64)
    for axis in group[1:]:
        code *= cardinalities[axis]
        code += population[:, axis]
    return code

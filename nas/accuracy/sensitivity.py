"""Sensitivity: what each option costs alone, added up (`--accuracy sensitivity`).

The largest network of a trained supernet is changed in one decision at a time; how far that moves its outputs is the
option's loss. A network's loss is taken for the sum of those of its options: a sum of arrays, so that the best network
has a proof. How well the sum stands for networks is found out on some that are really evaluated.

sensitivity.jsonl  each measurement as soon as it is made    sensitivity.json  all of them, when none is lacking
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import kendalltau

from nas.accuracy.pieces import Pieces
from nas.accuracy.shared import Shared
from nas.cost.counts import macs
from nas.cost.factors import Factor, Factors
from nas.data.batches import picture_tensor
from nas.errors import Interrupted, NasError, RunError
from nas.space.canonical import Effect
from nas.space.space import MAX_COMBINATIONS, Population
from nas.supernet.moved import moved
from nas.supernet.supernet import Genotype
from nas.system.atomic import write_atomic
from nas.system.files import read_json, read_model
from nas.system.interrupt import interruptible

VERSION = "sensitivity/1"
FILE = "sensitivity.json"
PICTURES, BATCH = 256, 128
"""That losses are measured on: held out, or of training where fewer are."""
CHECKED = 16
"""Networks that are evaluated beside the largest one, to hold the sum against."""
SHARES = (0.2, 0.9)
"""Of the largest network's MACs that the smallest and the largest of them have."""
LEAST_SLOPE = 1e-3
"""Points that a nat costs at least, so that less loss is better where nothing was learnt."""

Place = tuple[int, int, int]
"""Of a loss: batch, decision, option."""


class Kept(BaseModel):
    """What was measured, as a run's folder keeps it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    fingerprint: str
    losses: list[list[float]]
    """Of each option of each decision, in nats."""
    checked: list[list[int]]
    """Genotypes."""
    top1: list[float]
    """In percent, of each of them."""


class Sensitivity(Shared):
    """Top-1 as a straight line over the sum of single losses; calling it gives `float64[N]`, in percent.

    The weights are trained, and the losses measured, when they are first asked for.
    """

    label: ClassVar[str] = "sensitivity top-1"

    @property
    def provenance(self) -> str:
        tau, plain = self._tau(-self._loss(self._checked)), self._tau(macs(self.space)(self._checked))
        return (
            f"sum of what each option costs alone, with {super().provenance}; on {len(self._kept.checked)} networks "
            f"evaluated whole Kendall's tau {tau:.2f}, of MACs alone {plain:.2f}"
        )

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr((VERSION, super().fingerprint)).encode()).hexdigest()

    def __call__(self, population: Population) -> NDArray[np.float64]:
        return self.factors(self.space.canonical(population))

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """Standard deviation of the networks that were evaluated around the line, in points, `float64[N]`."""
        losses = self._loss(self._checked)
        start, slope = self._line
        residual = np.array(self._kept.top1) - (start - slope * losses)
        return np.full(len(population), np.sqrt(np.sum(residual**2) / max(1, len(residual) - 2)))

    @cached_property
    def factors(self) -> Factors:
        """Top-1 as Factors. Measures what is not known yet; raises `Interrupted` after a signal."""
        start, slope = self._line
        order = float(slope * sum(term.array.max() for term in self._loss.terms)) + 1.0
        top1 = self._loss * -slope
        terms = [*top1.terms, *(Factor(axes, -order * breaks) for axes, breaks in self._disorder())]
        return Factors.of(top1.cardinalities, start, terms)

    @cached_property
    def _line(self) -> tuple[float, float]:
        """Top-1 of no loss, and the points that a nat costs: least squares over the evaluated networks."""
        losses, top1 = self._loss(self._checked), np.array(self._kept.top1)
        spread = float(losses.var())
        slope = LEAST_SLOPE if spread == 0 else -float(np.cov(losses, top1, bias=True)[0, 1]) / spread
        slope = max(slope, LEAST_SLOPE)
        return float(top1.mean() + slope * losses.mean()), slope

    def _tau(self, estimates: NDArray[np.float64]) -> float:
        """Kendall's, of estimates of the networks that were evaluated; 0 where all are the same."""
        tau = float(kendalltau(estimates, self._kept.top1).statistic)
        return 0.0 if np.isnan(tau) else tau

    @cached_property
    def _loss(self) -> Factors:
        return self._summed(self._kept.losses)

    @property
    def _checked(self) -> Population:
        return np.array(self._kept.checked, dtype=np.uint8)

    @cached_property
    def _kept(self) -> Kept:
        """What was measured, now or by this run before."""
        file = None if self.shared.folder is None else self.shared.folder / FILE
        if file is not None and file.is_file():
            return self._read(file)
        _ = self.shared.trained
        begun = None if file is None else file.with_suffix(".jsonl")
        pieces = Pieces(begun, self.fingerprint)
        with interruptible() as interrupted:

            def watch(done: int, total: int, what: str) -> None:
                self.shared.teller.progress(done, total, what)
                if interrupted():
                    raise Interrupted(f"{len(pieces)} measurements of sensitivity are kept.")

            losses = [[0.0] * int(options) for options in self.space.cardinalities]
            changes = [(d, o) for d, own in enumerate(self.largest) for o in range(len(losses[d])) if o != own]
            places = [(batch, *change) for batch in range(len(self._pictures)) for change in changes]
            moves = pieces.complete(places, self._moves, partial(watch, what="options"))
            for (_, decision, option), moved_by in zip(places, moves, strict=True):
                losses[decision][option] += moved_by / sum(map(len, self._pictures))
            checked = self._to_check(self._summed(losses)).tolist()
            top1 = pieces.complete(checked, self._top1, partial(watch, what="networks"))
        kept = Kept(fingerprint=self.fingerprint, losses=losses, checked=checked, top1=top1)
        if file is not None and begun is not None:
            write_atomic(file, kept.model_dump_json() + "\n")
            begun.unlink()
        return kept

    def _moves(self, places: Sequence[Place]) -> Iterator[float]:
        """How far single options move what the largest network says, in nats, summed over the pictures of a batch."""
        for batch, of in groupby(places, key=lambda place: place[0]):
            others = []
            for _, decision, option in of:
                others.append(self.largest.copy())
                others[-1][decision] = option
            yield from moved(self.shared.trained, self.largest, self._pictures[batch], others)

    def _top1(self, genotypes: Sequence[list[int]]) -> Iterator[float]:
        """Of networks evaluated whole, in percent."""
        for genotype in genotypes:
            yield float(super().__call__(np.array([genotype], dtype=np.uint8))[0])

    def _read(self, path: Path) -> Kept:
        rule = "what was measured of each option of a search"
        kept = read_model(Kept, read_json(path, RunError), path, RunError, rule=rule, page="docs/search.md")
        options = self.space.cardinalities.tolist()
        if kept.fingerprint != self.fingerprint:
            raise RunError(f"{path}: this was measured for another request. Start a new run in another --out.")
        fits = list(map(len, kept.losses)) == options and len(kept.top1) == len(kept.checked) > 0
        for genotype in kept.checked:
            fits &= len(genotype) == len(options) and all(0 <= i < n for i, n in zip(genotype, options, strict=False))
        if not fits:
            raise RunError(f"{path}: a loss for each option, and a top-1 for each network; these are not.")
        return kept

    @cached_property
    def largest(self) -> Genotype:
        """The network of the most MACs, `uint8[D]`, around which losses are measured."""
        return cast(Genotype, self.space.canonical((macs(self.space) * -1.0).cheapest()[None])[0])

    @cached_property
    def _pictures(self) -> list[torch.Tensor]:
        held_out = self.data.validation.pictures[:PICTURES]
        pictures = np.concatenate([held_out, self.data.train.pictures[: PICTURES - len(held_out)]])
        starts = range(0, max(1, len(pictures) - 1), BATCH)  # never a batch of one picture
        device = self.shared.training.device
        return [picture_tensor(self.data, pictures[i : i + BATCH]).to(device) for i in starts]

    def _summed(self, losses: list[list[float]]) -> Factors:
        """Sum of single losses: of decisions that make a difference, given the others."""
        effects = {effect.decision: effect for effect in self.space.canonical_form.effects}
        terms = [self._term(decision, np.array(loss), effects.get(decision)) for decision, loss in enumerate(losses)]
        return Factors.of(self.space.cardinalities.tolist(), 0.0, terms)

    def _term(self, decision: int, loss: NDArray[np.float64], effect: Effect | None) -> Factor:
        """One decision's losses: of what its options come to given the others, and nothing where all are the same."""
        if effect is None:
            return Factor((decision,), loss)
        read = {axis for _, conditions in effect.alike for condition in conditions for axis in condition.decisions}
        axes = tuple(sorted({decision, *read}))
        shape = [int(self.space.cardinalities[axis]) for axis in axes]
        if prod(shape) > MAX_COMBINATIONS:
            name = self.space.decisions[decision].name
            raise NasError(f"Whether `{name}` makes a difference depends on too many decisions for a sum of arrays.")
        options = np.broadcast_to(_spread(np.arange(len(loss)), (decision,), axes), shape)
        for first, conditions in effect.alike:
            same = options > first
            for condition in conditions:
                same = same & _spread(condition.holds, condition.decisions, axes)
            options = np.where(same, first, options)
        differ = options.any(axis=axes.index(decision), keepdims=True)
        return Factor(axes, np.where(differ, loss[options], 0.0))

    def _disorder(self) -> Iterator[tuple[tuple[int, ...], NDArray[np.float64]]]:
        """Where a layer that is left out stands before one of the same kind that is not: the same network is written
        with skips at the end, with other losses."""
        for exchange in self.space.canonical_form.exchanges:
            for skip, after in zip(exchange.skips, exchange.skips[1:], strict=False):
                axes = tuple(sorted({*skip.decisions, *after.decisions}))
                earlier = _spread(skip.holds, skip.decisions, axes)
                yield axes, (earlier & ~_spread(after.holds, after.decisions, axes)).astype(np.float64)

    def _to_check(self, loss: Factors) -> Population:
        """The largest network, then others as a search would meet them: each has, for its MACs, little of a loss that
        is the measured one but for a random factor a decision; their MACs are spread over `SHARES`."""
        work, rng = macs(self.space), np.random.default_rng(self.shared.seed)
        most = float(work(self.largest[None])[0])
        found = [self.largest]
        for share in np.linspace(*SHARES, CHECKED):
            terms = [Factor(term.axes, term.array * np.exp(rng.normal())) for term in loss.terms]
            drawn = Factors(loss.cardinalities, 0.0, tuple(terms))
            found.append(_within(drawn, work, share * most))
        more = [np.stack(found), self.space.sample(8 * CHECKED, rng)]
        genotypes = self.space.canonical(np.concatenate(more))
        first = np.sort(np.unique(genotypes, axis=0, return_index=True)[1])
        return genotypes[first[: 1 + CHECKED]]


def _within(loss: Factors, cost: Factors, most: float) -> Genotype:
    """A genotype of little loss whose cost is at most so much, or is the least: the weight of the cost is halved into
    place."""
    scale = max(loss.bounds()[1], 1e-9) / max(cost.bounds()[1], 1e-9)
    low, high, found = -7.0, 7.0, cost.cheapest()
    for _ in range(12):
        middle = (low + high) / 2
        genotype = (loss + cost * (scale * np.exp(middle))).cheapest()
        if cost(genotype[None])[0] <= most:
            high, found = middle, genotype
        else:
            low = middle
    return found


def _spread(array: NDArray[Any], axes: tuple[int, ...], onto: tuple[int, ...]) -> NDArray[Any]:
    """An array over some decisions with axes of length 1 for the others of `onto`."""
    order = np.argsort(axes)
    shape = iter(np.array(array.shape)[order].tolist())
    return array.transpose(order).reshape([next(shape) if axis in axes else 1 for axis in onto])

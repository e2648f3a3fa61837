"""Surrogate: Bayesian optimisation with a Gaussian process, for evaluators that cost seconds or hours.

Values are modelled by `nas.controllers.gaussian_process`, after a warp that is finest around the best one; violations
by a second process. Proposals maximise expected improvement times the probability of meeting the bounds (Gardner et
al. 2014, Bayesian optimization with inequality constraints, ICML). Improvement is over the best posterior mean, not
the luckiest value. A batch is filled by believing the model (Ginsbourger et al. 2010, doi:10.1007/978-3-642-10701-6_6).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtr
from threadpoolctl import ThreadpoolController

from nas.controllers.controller import Values, ranking
from nas.controllers.gaussian_process import Array, Encoding, Posterior, Process, default_kernel, fit_kernel
from nas.space.index import GenotypeIndex
from nas.space.space import Population, Space

ROUNDS = 8
"""A batch is chosen in at most so many rounds."""
BELIEVED = 32
"""After each round the model believes what it expects of the best so many of its picks."""
CONSIDERED = 4
"""Candidates considered for each place in a batch: those of largest acquisition at first."""
MANY = 2_000
"""A budget of so many evaluations says that each is cheap."""
CENSOR_STEPS = 20
"""Half-steps of unknown violations to their predictions; the change left is then far below the noise."""
SMALL = 20_000
"""Genotypes of a space in which every candidate is scored."""


@dataclass(frozen=True, kw_only=True)
class SurrogateConfig:
    """Settings of `Surrogate`."""

    start: int = 10
    """Evaluations before the first fit: the initial genotypes, then random ones."""
    points: int = 500
    """The model rests on all evaluations up to so many; beyond, on the best half, the newest quarter, random others."""
    fitted: int = 250
    """Points that the kernel is fitted to, chosen alike."""
    growth: float = 0.2
    """The kernel is fitted again when there are more evaluations by this share."""
    generations: int = 5
    """Of candidates in a large space, evolved under the acquisition."""
    candidates: int = 500
    """New ones a generation, or more where that would not fill two batches."""
    parents: int = 64
    """That have children, drawn from the best candidates."""


class Surrogate:
    """Proposes what is expected to improve most on the best so far, within the bounds.

    The kernels are fitted to the first L evaluations, L the last of a fixed series of lengths, from a fixed start:
    so the model is a function of the history, whether it was lived through or replayed.
    """

    def __init__(self, space: Space, initial: Population, config: SurrogateConfig | None = None) -> None:
        self._space = space
        self._config = config or SurrogateConfig()
        self._initial = initial
        self._encoding = Encoding(space.cardinalities)
        self._index = GenotypeIndex(space.cardinalities)
        self._values = np.zeros(0)
        self._violations = np.zeros(0)
        self._ends: list[int] = []  # evaluations after each tell
        self._asked = 0
        self._model: _Model | None = None  # a cache: what `_build` gives for the history

    @classmethod
    def sized(cls, space: Space, initial: Population, budget: int | None) -> Surrogate:
        """With a start that leaves most of a small budget to the model, and a smaller model for a large one.

        The initial genotypes all belong to the start, as the cheapest may be the only one within the bounds. Who asks
        for thousands of evaluations waits for the model rather than for them.
        """
        start = SurrogateConfig.start
        if budget is not None:
            start = max(2, len(initial), min(start, budget // 4))
        if budget is not None and budget >= MANY:
            return cls(space, initial, SurrogateConfig(start=start, points=250, fitted=125, candidates=250))
        return cls(space, initial, SurrogateConfig(start=start))

    def ask(self, n: int, rng: Generator) -> Population:
        """Start-up genotypes, then the largest acquisition; random ones where nothing new is left."""
        if len(self._index) < self._config.start:
            start = self._initial[self._asked : self._asked + n]
            return self._filled(self._space.canonical(start), n, rng)
        with _one_thread().limit(limits=1, user_api="blas"):
            return self._filled(self._proposed(n, rng), n, rng)

    def _proposed(self, n: int, rng: Generator) -> Population:
        model = self._model = self._build(self._model)
        if self._space.size <= SMALL:
            fresh = np.flatnonzero(self._index.find(self._everything) < 0)
            return self._everything[model.batch(model.beliefs, fresh, n)]
        pool = self._evolve(model, n, rng)
        return pool[model.batch(model.beliefs.over(self._encoding(pool)), np.arange(len(pool)), n)]

    def tell(self, population: Population, values: Values, violations: Values) -> None:
        """Of a genotype told twice the first value stays; the first column counts."""
        before = len(self._index)
        rows = self._index.add(population)
        _, first = np.unique(rows, return_index=True)
        first = first[rows[first] >= before]
        self._values = np.concatenate([self._values, values[first, 0]])
        self._violations = np.concatenate([self._violations, violations[first]])
        self._ends.append(len(self._index))
        self._asked += len(population)

    def _build(self, model: _Model | None) -> _Model:
        """The model for the history told; goes on from one for a shorter history."""
        told, config = len(self._index), self._config
        level = config.start
        while (longer := level + max(1, min(int(level * config.growth), config.points // 2))) <= told:
            level = longer
        if model is None or model.level != level:
            model = self._fitted(level)
        for end in self._ends:
            if end > model.told:
                points = self._encoding(self._index.genotypes(slice(model.told, end)))
                model = model.extended(points)
        return model.judged(self._values, self._violations)

    def _fitted(self, level: int) -> _Model:
        """Kernels fitted to the first `level` evaluations, conditioned on them."""
        values, violations = self._values[:level], self._violations[:level]
        order, config = ranking(values, violations), self._config
        rows, few = _subset(order, config.points), _subset(order, config.fitted)
        points, sample = (self._encoding(self._index.genotypes(part)) for part in (rows, few))
        owners = self._encoding.owners
        pool = self._encoding(self._everything if self._space.size <= SMALL else self._initial[:0])
        kernel = fit_kernel(sample, warped(values[few], violations[few]), owners)
        value = Posterior.of(Process.prior(kernel).extended(points), pool)
        if not violations.any():
            return _Model(level, rows, _Beliefs(value, None))
        prior = Process.prior(default_kernel(owners)).extended(sample)
        kernel = fit_kernel(sample, censored(prior, violations[few]), owners)
        violation = Posterior.of(Process.prior(kernel).extended(points), pool)
        return _Model(level, rows, _Beliefs(value, violation))

    def _evolve(self, model: _Model, n: int, rng: Generator) -> Population:
        """New candidates of a large space, bred for their acquisition: `uint8[P, D]`, P at least n as a rule."""
        space, config = self._space, self._config
        size = max(config.candidates, -(-2 * n // config.generations))
        parents = self._index.genotypes(ranking(self._values, self._violations)[: config.parents])
        pool, scores = GenotypeIndex(space.cardinalities), np.zeros(0)
        for _ in range(config.generations):
            children = parents[rng.integers(len(parents), size=size)]
            crossed = np.flatnonzero(rng.random(size) < 0.5)
            fathers = parents[rng.integers(len(parents), size=len(crossed))]
            children[crossed] = space.crossover(children[crossed], fathers, rng)
            drafts = np.concatenate([space.mutate(children, rng), space.sample(size // 5, rng)])
            drafts = space.canonical(drafts)
            before = len(pool)
            pool.add(drafts[self._index.first_new(drafts)])
            born = model.beliefs.over(self._encoding(pool.genotypes(slice(before, None))))
            scores = np.concatenate([scores, model.acquisition(born, model.incumbent)])
            best = np.argsort(-scores, kind="stable")
            parents = pool.genotypes(best[: config.parents]) if len(best) else parents
        return pool.genotypes(best[: max(CONSIDERED * n, config.parents)])

    def _filled(self, chosen: Population, n: int, rng: Generator) -> Population:
        """Exactly `n`, with random canonical genotypes for those that lack."""
        random = self._space.canonical(self._space.sample(n - len(chosen), rng))
        return np.concatenate([chosen, random])

    @cached_property
    def _everything(self) -> Population:
        return self._space.enumerate()


@cache
def _one_thread() -> ThreadpoolController:
    """Holds BLAS to one thread: faster for matrices of this size, and the same result on any machine."""
    return ThreadpoolController()


@dataclass(frozen=True)
class _Beliefs:
    """What is thought of a pool: its values, and its violations where any were seen."""

    value: Posterior
    violation: Posterior | None

    def over(self, pool: Array) -> _Beliefs:
        """The same about another pool `float64[P, F]`."""
        violation = self.violation and Posterior.of(self.violation.process, pool)
        return _Beliefs(Posterior.of(self.value.process, pool), violation)

    def among(self, candidates: NDArray[np.int64]) -> _Beliefs:
        """About some of the pool only."""
        return _Beliefs(self.value.among(candidates), self.violation and self.violation.among(candidates))

    def extended(self, points: Array) -> _Beliefs:
        """Surer around further points `float64[n, F]`."""
        return _Beliefs(self.value.extended(points), self.violation and self.violation.extended(points))


@dataclass(frozen=True)
class _Model:
    """Fitted kernels, conditioned on a history and, once judged, on its values."""

    level: int
    """Evaluations that the kernels were fitted to."""
    rows: NDArray[np.int64]
    """Evaluations that the processes are conditioned on, in the order of their points."""
    beliefs: _Beliefs
    """About every genotype of a small space; about an empty pool otherwise."""
    values: Array = field(default_factory=lambda: np.zeros(0))
    """Warped, by row."""
    violations: Array = field(default_factory=lambda: np.zeros(0))
    """Censored, by row."""
    incumbent: float | None = None
    """Largest posterior mean among what meets the bounds, warped; None where nothing does."""

    @property
    def told(self) -> int:
        """Evaluations taken in."""
        return int(self.rows[-1]) + 1

    def extended(self, points: Array) -> _Model:
        """With the next evaluations, at `points`."""
        rows = np.concatenate([self.rows, self.told + np.arange(len(points))])
        return replace(self, rows=rows, beliefs=self.beliefs.extended(points))

    def judged(self, values: Array, violations: Array) -> _Model:
        """With the values and violations of the whole history."""
        values, violations = values[self.rows], violations[self.rows]
        worth = warped(values, violations)
        means = self.beliefs.value.process.smoothed(worth)
        incumbent = float(means[violations == 0].max()) if (violations == 0).any() else None
        bounds = self.beliefs.violation
        excess = censored(bounds.process, violations) if bounds else violations
        return replace(self, values=worth, violations=excess, incumbent=incumbent)

    def acquisition(self, beliefs: _Beliefs, incumbent: float | None) -> Array:
        """Log of expected improvement times chance of meeting the bounds, `float64[P]`; the chance alone at first."""
        score = np.zeros(len(beliefs.value.pool))
        if beliefs.violation:
            bounds = beliefs.violation
            score = score + log_ndtr(-bounds.mean(self.violations) / np.sqrt(bounds.variance))
        if incumbent is not None:
            score = score + log_improvement(
                beliefs.value.mean(self.values) - incumbent, np.sqrt(beliefs.value.variance)
            )
        return score

    def batch(self, beliefs: _Beliefs, among: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """At most `n` of the candidates `among`, as indices into the pool of `beliefs`, best first.

        A chosen one is taken to be worth its mean: that leaves all means alone, and makes the model sure there.
        """
        score = self.acquisition(beliefs, self.incumbent)[among]
        among = among[np.argsort(-score, kind="stable")[: 1 if n == 1 else CONSIDERED * n]]
        if n == 1:
            return among
        beliefs, left = beliefs.among(among), np.arange(len(among))
        chosen, incumbent = left[:0], self.incumbent
        share = -(-n // ROUNDS)
        while len(chosen) < n and len(left):
            score = self.acquisition(beliefs, incumbent)[left]
            best = np.argsort(-score, kind="stable")[: min(share, n - len(chosen))]
            picked = left[best]
            chosen, left = np.concatenate([chosen, picked]), np.delete(left, best)
            if len(chosen) < n:
                beliefs = beliefs.extended(beliefs.value.pool[picked[:BELIEVED]])
        return np.asarray(among[chosen], dtype=np.int64)


def warped(values: Array, violations: Array) -> Array:
    """Values `float64[N]` on a scale of mean 0 and variance 1 that is logarithmic in the distance from the best.

    The best is the best feasible one, and the unit of distance that to the upper quartile: what is far below (a
    network that hardly learns) counts little.
    """
    feasible = values[violations == 0] if (violations == 0).any() else values
    best = feasible.max()
    unit = max(best - np.quantile(feasible, 0.75), 1e-3 * (best - values.min()), 1e-12)
    scaled = (values - best) / unit
    logarithm = np.sign(scaled) * np.log1p(np.abs(scaled))
    return np.asarray((logarithm - logarithm.mean()) / max(logarithm.std(), 1e-9), dtype=np.float64)


def censored(process: Process, violations: Array) -> Array:
    """Violations `float64[N]` in units of their size, where 0 stands for an unknown value below it.

    The unknown ones move to what the process predicts for them from all the others, or 0 if that is above:
    iterated conditional modes of the Tobit model (Tobin 1958, doi:10.2307/1907382; Besag 1986).
    """
    excess = violations / np.sqrt(np.mean(violations**2)) if violations.any() else violations
    met = violations == 0
    residual = process.residual[met]
    for _ in range(CENSOR_STEPS):
        predicted = excess[met] - residual @ excess
        excess[met] = np.minimum(0.5 * (excess[met] + predicted), 0)
    return excess


def log_improvement(ahead: Array, deviation: Array) -> Array:
    """Log of the expected improvement of a normal variable `ahead` of the incumbent by its mean, `float64[P]`.

    Its logarithm keeps its slope where the improvement itself is too small for a float (Ament et al. 2023,
    arXiv:2310.20708, eq. 9).
    """
    u = ahead / deviation
    above, below = np.maximum(u, -1), np.minimum(u, -1)
    high = np.log(np.exp(-0.5 * above**2) / np.sqrt(2 * np.pi) + above * ndtr(above))
    mills = np.sqrt(np.pi / 2) * erfcx(-below / np.sqrt(2))  # Phi(u) / phi(u)
    rest = np.where(below > -1e4, 1 + below * mills, 1 / below**2)  # beyond, the difference is all rounding
    low = -0.5 * below**2 - 0.5 * np.log(2 * np.pi) + np.log(rest)
    return np.asarray(np.log(deviation) + np.where(u < -1, low, high), dtype=np.float64)


def _subset(order: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """At most `size` of the evaluations that `order` ranks, ascending: the best half, a quarter newest, others.

    The last evaluation is always among them.
    """
    if len(order) <= size:
        return np.arange(len(order))
    taken = np.zeros(len(order), dtype=bool)
    taken[order[: size // 2]] = True
    taken[-(size // 4) :] = True
    left = np.flatnonzero(~taken)
    taken[np.random.default_rng(len(order)).permutation(left)[: size - int(taken.sum())]] = True
    return np.flatnonzero(taken)

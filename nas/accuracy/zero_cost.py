"""Zero-cost: how a network ranks by figures that need no training, for spaces without trained networks.

`--accuracy zero-cost` combines the proxies in `DEFAULT`, `--accuracy zero-cost:naswot,macs` those it names; a name
given twice counts twice. docs/search.md says how well this ranks trained networks beside counting MACs.

A rank is relative to others, an evaluator's answer is not. So every proxy is put on a scale given once and for all by
a fixed sample of the space: its value among those of the sample, as a normal score. The k-th of R has
`z = Φ⁻¹((k - ½) / R)` (van der Waerden's scores), values between are interpolated, and beyond both ends the line goes
on with the mean slope of the sample, so that a network better than the whole sample is still told from a better one.

    score = 50 + 10 · mean of z over the proxies

A score of 50 is that of the middle of the space, 10 is a standard deviation; it is not an accuracy in percent.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from statistics import NormalDist
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.cost import counts
from nas.cost.factors import Factors
from nas.errors import NasError
from nas.space.index import GenotypeIndex
from nas.space.space import Population, Space
from nas.system.atomic import write_atomic
from nas.system.teller import Silent, Teller
from nas.system.user_folders import NoHome, cache_folder
from nas.workers import Here, Workers

VERSION = "zero-cost/1"
UNTRAINED = ("naswot", "synflow", "zico", "expressivity", "progressivity", "trainability")
"""Those of an untrained network: `nas.accuracy.proxies.PROXIES`."""
COUNTED = ("macs", "params")
"""Logarithms of counts."""
DEFAULT = ("naswot", "synflow", "zico", "trainability", "macs")
"""All with equal weight. Why these, and how a choice that fitted one space failed on another, is said in
`experiments/zero_cost.py`."""

PICTURES = 16
MOST_PIXELS = 64
"""Height of the proxy picture; the space's largest resolution is scaled down to it, its others alongside."""
SAMPLE = 32
REPEATED = 8
"""Networks of the sample that are measured with a second draw of weights."""
SEED = 0

_TITLES = {
    "naswot": "NASWOT",
    "zico": "ZiCo",
    "expressivity": "AZ-NAS expressivity",
    "progressivity": "AZ-NAS progressivity",
    "trainability": "AZ-NAS trainability",
    "macs": "log MACs",
    "params": "log parameters",
}
_LOWEST = -5.0  # normal score of a proxy that is not defined, and the least there is: scores are not negative


class ZeroCost:
    """Scores networks of a space by zero-cost proxies; calling it gives `float64[N]`.

    A genotype's score depends on the genotype alone, never on who else is asked for. The sample of the space is
    measured at the first call, and kept in the user's cache folder.
    """

    label: ClassVar[str] = "zero-cost score"
    unit: ClassVar[str] = ""

    def __init__(
        self,
        space: Space,
        names: Sequence[str] = DEFAULT,
        workers: Workers | None = None,
        teller: Teller = Silent(),  # noqa: B008  # has no state
    ) -> None:
        self.space = space
        self.names = tuple(names)
        self._workers = workers or Here()
        self._teller = teller
        self._index = GenotypeIndex(space.cardinalities)
        self._rows: list[NDArray[np.float64]] = []
        self._columns = tuple(dict.fromkeys(names))
        self._untrained = tuple(name for name in self._columns if name in UNTRAINED)

    @property
    def provenance(self) -> str:
        counted = Counter(self.names)
        names = [_TITLES.get(name, name) + (f" ×{n}" if n > 1 else "") for name, n in counted.items()]
        return (
            f"no training: {', '.join(names)}, by rank among {SAMPLE} networks of this space (50: its middle, "
            f"10: a standard deviation); {PICTURES} digits of at most {MOST_PIXELS} px, random weights"
        )

    @cached_property
    def fingerprint(self) -> str:
        settings = (VERSION, self.names, PICTURES, MOST_PIXELS, SAMPLE, REPEATED, SEED, version("torch"))
        return hashlib.sha256(repr((settings, self.space.fingerprint)).encode()).hexdigest()

    def __call__(self, population: Population) -> NDArray[np.float64]:
        return self._score(self.raw(population))

    def uncertainty(self, population: Population) -> NDArray[np.float64]:
        """Standard deviation of the score over draws of the random weights, in its points, `float64[N]`.

        One figure for the whole space, from `REPEATED` networks; it says nothing of how well scores predict accuracy.
        """
        sample, again = self.sample
        differences = self._score(again) - self._score(sample[: len(again)])
        return np.full(len(population), np.sqrt(np.mean(differences**2) / 2))

    def raw(self, population: Population) -> NDArray[np.float64]:
        """The proxies themselves, `float64[N, P]`, a column each name once; NaN where one is not defined."""
        canonical = self.space.canonical(population)
        new = canonical[self._index.first_new(canonical)]
        self._rows += list(self._measure(new, SEED))
        self._index.add(new)
        rows = self._index.find(canonical)
        return np.array([self._rows[row] for row in rows]).reshape(-1, len(self._columns))

    def _measure(self, genotypes: Population, seed: int) -> NDArray[np.float64]:
        """float64[N, P]: the proxies of canonical genotypes `uint8[N, D]`, by the workers."""
        columns = {name: np.log(count(genotypes)) for name, count in self._counts.items()}
        if self._untrained:
            items = [(self.space.decode(genotype), _stream(genotype, seed)) for genotype in genotypes]
            figures = np.empty((len(genotypes), len(self._untrained)))
            with closing(self._workers.map(self._proxies, items)) as measured:
                for done, (row, values) in enumerate(measured, 1):
                    figures[row] = values
                    if len(items) > 1:
                        self._teller.progress(done, len(items), "networks")
            columns |= dict(zip(self._untrained, figures.T, strict=True))
        return np.stack([columns[name] for name in self._columns], axis=1)

    @cached_property
    def _proxies(self) -> _Proxies:
        return _Proxies(self._untrained, self._scale)

    @property
    def at_once(self) -> int:
        return self._workers.at_once(gpu=False)

    def _score(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Proxies `float64[N, P]` → scores `float64[N]`."""
        sample, _ = self.sample
        scores = {name: normal_scores(raw[:, column], sample[:, column]) for column, name in enumerate(self._columns)}
        mean: NDArray[np.float64] = np.mean([scores[name] for name in self.names], axis=0)
        return 50 + 10 * mean

    @cached_property
    def sample(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Proxies of the sample, `float64[R, P]`, and once more of its first networks with other weights."""
        drawn = self.space.canonical(self.space.sample(8 * SAMPLE, np.random.default_rng(SEED)))
        first = np.sort(np.unique(drawn, axis=0, return_index=True)[1])[:SAMPLE]
        genotypes = drawn[first]
        repeated = genotypes[:REPEATED]
        shape = (len(genotypes) + len(repeated), len(self._columns))
        cache = self._cache
        rows = None if cache is None else _read(cache, shape)
        if rows is None:
            rows = np.concatenate([self.raw(genotypes), self._measure(repeated, SEED + 1)])
            if cache is not None:
                _keep(cache, rows)
        return rows[: len(genotypes)], rows[len(genotypes) :]

    @property
    def _cache(self) -> Path | None:
        """Where the sample is kept; None where there is no such place."""
        try:
            return cache_folder() / "zero-cost" / f"{self.fingerprint}.npy"
        except NoHome:
            return None

    @cached_property
    def _scale(self) -> float:
        """Size of the proxy picture over the size of the network's own."""
        first = self.space.slots[0]
        stems = [layers[0] for options in self.space.combinations(first) if (layers := first.layers(*options))]
        return min(1.0, MOST_PIXELS / max(max(stem.height, stem.width) for stem in stems))

    @cached_property
    def _counts(self) -> dict[str, Factors]:
        make = {"macs": counts.macs, "params": counts.params}
        return {name: make[name](self.space) for name in self._columns if name in COUNTED}


@dataclass(frozen=True)
class _Proxies:
    """Measures an untrained network: Architecture and seed → `float64[len(names)]`."""

    names: tuple[str, ...]
    scale: float
    """Of the pictures, to the network's own."""

    def __call__(self, item: tuple[Architecture, int]) -> NDArray[np.float64]:
        from nas.accuracy.proxies import measure

        architecture, seed = item
        height, width = (max(1, round(size * self.scale)) for size in (architecture.height, architecture.width))
        return measure(architecture, self.names, shape=(height, width), pictures=PICTURES, seed=seed)


def _stream(genotype: NDArray[np.uint8], seed: int) -> int:
    """The seed of one network's weights."""
    digest = hashlib.sha256(f"{seed}/".encode() + genotype.tobytes()).digest()
    return int.from_bytes(digest[:7], "big")


def load_zero_cost(space: Space, argument: str, workers: Workers, teller: Teller) -> ZeroCost:
    """The evaluator of `zero-cost`, or of `zero-cost:NAME,NAME,…`. Raises `NasError` for a name that is not known."""
    names = tuple(argument.split(",")) if argument else DEFAULT
    for name in names:
        if name not in UNTRAINED + COUNTED:
            raise NasError(f"No zero-cost proxy named {name[:60]!r}; known: {', '.join(UNTRAINED + COUNTED)}.")
    return ZeroCost(space, names, workers, teller)


def normal_scores(values: NDArray[np.float64], sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where values `float64[N]` stand among those of a sample `float64[R]`, as normal scores `float64[N]`.

    Strictly increasing in the value, beyond the sample too, down to -5; NaN is taken for worse than all others.
    """
    known = sample[~np.isnan(sample)]
    if not len(known):
        return np.where(np.isnan(values), _LOWEST, 0.0)
    knots, repeats = np.unique(known, return_counts=True)
    middles = (np.cumsum(repeats) - repeats / 2) / len(known)  # of equal values: their mean rank
    scores = np.array([NormalDist().inv_cdf(middle) for middle in middles])
    slope = (scores[-1] - scores[0]) / (knots[-1] - knots[0]) if len(knots) > 1 else 1.0
    beyond = np.maximum(values - knots[-1], 0) + np.minimum(values - knots[0], 0)
    placed: NDArray[np.float64] = np.interp(values, knots, scores) + slope * beyond
    return np.where(np.isnan(values), _LOWEST, np.maximum(placed, _LOWEST))


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float64] | None:
    """What is kept there, if it is whole."""
    try:
        rows = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.shape == shape and rows.dtype == np.float64 else None


def _keep(path: Path, rows: NDArray[np.float64]) -> None:
    """Written if it can be; it costs seconds to find out again."""
    buffer = io.BytesIO()
    np.save(buffer, rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue())
    except OSError:
        return

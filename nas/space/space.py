"""Space: what may be chosen, as arrays of option indices, and the layers that a choice stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from typing import cast

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.blocks.precision import PRECISIONS
from nas.errors import SpaceError
from nas.space.candidates import Candidates
from nas.space.canonical import Canonical

Option = int | float | str | bool
Population = NDArray[np.uint8]

MAX_COMBINATIONS = 1_000_000
"""Of the options that a slot depends on, and of all slots together."""
MAX_SIZE = 1e300
"""Genotypes; further, their number is none that a float could hold."""
MAX_ENUMERATED = 2_000_000


@dataclass(frozen=True)
class Decision:
    """One thing to choose: a name such as `stage2.kernel` and its options, at most 255."""

    name: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Slot:
    """A place in the network and the few decisions that settle what stands there.

    `layers` takes one option per decision in `decisions` (indices into the space's) and returns the Layers.
    """

    name: str
    decisions: tuple[int, ...]
    layers: Callable[..., tuple[Layer, ...]]


@dataclass(frozen=True)
class Space:
    """An ordered list of decisions, and slots that turn their options into layers.

    A genotype is `uint8[D]`, one option index a decision; a population is `uint8[N, D]`.
    """

    name: str
    decisions: tuple[Decision, ...]
    slots: tuple[Slot, ...]
    references: Mapping[str, Mapping[str, Option]] = field(default_factory=dict)
    """Known networks of the space, by name; the first sets the default latency bound of a search."""
    source: str = ""
    strides: str = ""
    """What became of its strides at another resolution, where there was a choice."""
    precision: str = PRECISIONS[0]
    """Of all layers of its networks."""

    def __post_init__(self) -> None:
        names = [decision.name for decision in self.decisions]
        if len(set(names)) < len(names):
            raise SpaceError(f"{self.name}: decisions have different names, got {_first_repeat(names)!r} twice.")
        for decision in self.decisions:
            if not 1 <= len(decision.options) <= 255:
                raise SpaceError(f"{self.name}: `{decision.name}` has 1 to 255 options, got {len(decision.options)}.")
            if len(set(decision.options)) < len(decision.options):
                raise SpaceError(
                    f"{self.name}: options of `{decision.name}` differ, got {_first_repeat(decision.options)!r} twice."
                )
        if self.size > MAX_SIZE:
            raise SpaceError(f"{self.name}: a space has at most {MAX_SIZE:.0e} genotypes, these decisions give more.")
        total = 0
        for slot in self.slots:
            if len(set(slot.decisions)) < len(slot.decisions):
                raise SpaceError(f"{self.name}: `{slot.name}` names a decision once, got {slot.decisions}.")
            combinations = prod(len(self.decisions[axis].options) for axis in slot.decisions)
            if combinations > MAX_COMBINATIONS:
                raise SpaceError(
                    f"{self.name}: `{slot.name}` depends on {combinations:,} combinations of options; "
                    f"at most {MAX_COMBINATIONS:,} compile. Offer fewer options there."
                )
            total += combinations
        if total > MAX_COMBINATIONS:
            raise SpaceError(
                f"{self.name}: its {len(self.slots):,} slots have {total:,} combinations of options in all; "
                f"at most {MAX_COMBINATIONS:,} compile. Offer fewer options."
            )
        for reference, choices in self.references.items():
            try:
                self.encode([choices])
            except SpaceError as error:
                raise SpaceError(f"{self.name}: references.{reference}: {error}") from None

    @cached_property
    def cardinalities(self) -> NDArray[np.int64]:
        """int64[D]: options of each decision."""
        return np.array([len(decision.options) for decision in self.decisions], dtype=np.int64)

    @property
    def size(self) -> int:
        """Number of genotypes; several may stand for one network (see `canonical`)."""
        return prod(len(decision.options) for decision in self.decisions)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the decisions and the layers of every slot: equal for spaces that mean the same."""
        digest = hashlib.sha256(repr(self.decisions).encode())
        known: dict[Layer, str] = {}
        for slot, candidates in zip(self.slots, self.candidates, strict=True):
            digest.update(repr(slot.decisions).encode())
            texts = [_chain_text(chain, known).encode() for chain in candidates.chains]
            for code in candidates.code.ravel():
                digest.update(texts[code])
        return digest.hexdigest()

    def combinations(self, slot: Slot) -> Iterator[tuple[Option, ...]]:
        """Every combination of a slot's options, in the order of a C array over its axes."""
        return product(*(self.decisions[axis].options for axis in slot.decisions))

    @cached_property
    def candidates(self) -> tuple[Candidates, ...]:
        """What each slot can be."""
        return tuple(
            Candidates.of(
                slot.name,
                slot.decisions,
                (slot.layers(*options) for options in self.combinations(slot)),
                tuple(len(self.decisions[axis].options) for axis in slot.decisions),
            )
            for slot in self.slots
        )

    def layers(self) -> tuple[Layer, ...]:
        """Every layer that a network of the space can have, once, in the order of first appearance."""
        chains = (chain for candidates in self.candidates for chain in candidates.chains)
        return tuple(dict.fromkeys(layer for chain in chains for layer in chain))

    @cached_property
    def picture(self) -> tuple[int, int, int]:
        """Channels, height and width of the largest picture that a network of the space is for."""
        first = next(found for c in self.candidates if (found := [layers[0] for layers in c.chains if layers]))
        stem = max(first, key=lambda layer: layer.height * layer.width)
        return stem.in_channels, stem.height, stem.width

    @cached_property
    def resolution(self) -> int:
        """Pixels that the largest picture of a network of the space is wide."""
        return max(layer.width for layer in self.layers())

    @cached_property
    def shrinkage(self) -> int:
        """Pixels of the picture, in one direction, that may become one of the last feature map: product of strides."""
        return prod(
            max(prod(layer.stride for layer in chain) for chain in candidates.chains) for candidates in self.candidates
        )

    def encode(self, choices: Sequence[Mapping[str, Option]]) -> Population:
        """Options by decision name → `uint8[N, D]`. Raises `SpaceError` for unknown, missing or foreign ones."""
        return np.array([self._encode_one(choice) for choice in choices], dtype=np.uint8).reshape(-1, self._width)

    def _encode_one(self, choice: Mapping[str, Option]) -> list[int]:
        known = {decision.name for decision in self.decisions}
        for name in choice:
            if name not in known:
                raise SpaceError(f"{self.name} has no decision {name!r}; it has {_some(sorted(known))}.")
        indices = []
        for decision in self.decisions:
            if decision.name not in choice:
                raise SpaceError(f"{self.name}: `{decision.name}` is missing; it is one of {_some(decision.options)}.")
            value = choice[decision.name]
            matches = [i for i, option in enumerate(decision.options) if _same(option, value)]
            if not matches:
                raise SpaceError(f"{self.name}: `{decision.name}` is one of {_some(decision.options)}, got {value!r}.")
            indices.append(matches[0])
        return indices

    def check(self, population: ArrayLike) -> Population:
        """The population as `uint8[N, D]`. Raises `SpaceError` where shape, type or an index is off."""
        array = np.asarray(population)
        if array.dtype != np.uint8 or array.ndim != 2 or array.shape[1] != self._width:
            raise SpaceError(
                f"A population of {self.name} is uint8[N, {self._width}], "
                f"got {array.dtype}[{', '.join(map(str, array.shape))}]."
            )
        if array.size and (array >= self.cardinalities).any():
            row, column = np.argwhere(array >= self.cardinalities)[0]
            raise SpaceError(
                f"{self.name}: `{self.decisions[column].name}` has {self.cardinalities[column]} options, "
                f"got index {array[row, column]}."
            )
        return array

    def choices(self, genotype: ArrayLike) -> dict[str, Option]:
        """The options of one genotype, by decision name: the inverse of `encode`."""
        row = self.check(np.asarray(genotype)[None])[0]
        return {decision.name: decision.options[index] for decision, index in zip(self.decisions, row, strict=True)}

    def decode(self, genotype: ArrayLike) -> Architecture:
        """The network that one genotype `uint8[D]` stands for."""
        row = self.check(np.asarray(genotype)[None])[0]
        layers: list[Layer] = []
        for slot in self.slots:
            layers += slot.layers(*(self.decisions[axis].options[row[axis]] for axis in slot.decisions))
        first = layers[0]
        return Architecture(first.in_channels, first.height, first.width, tuple(layers))

    def sample(self, n: int, rng: Generator) -> Population:
        """`n` genotypes, uniform over raw genotypes (not over canonical ones), `uint8[n, D]`."""
        return cast(Population, (rng.random((n, self._width)) * self.cardinalities).astype(np.uint8))

    def mutate(self, population: Population, rng: Generator) -> Population:
        """Each genotype with one decision, drawn uniformly, moved to another of its options."""
        children = population.copy()
        movable = np.flatnonzero(self.cardinalities > 1)
        if len(movable):
            rows = np.arange(len(children))
            columns = movable[rng.integers(len(movable), size=len(children))]
            options = self.cardinalities[columns]
            steps = 1 + (rng.random(len(children)) * (options - 1)).astype(np.int64)
            children[rows, columns] = (children[rows, columns] + steps) % options
        return children

    def crossover(self, mothers: Population, fathers: Population, rng: Generator) -> Population:
        """Uniform crossover: every decision from either parent with equal chance."""
        return np.where(rng.random(mothers.shape) < 0.5, mothers, fathers)

    def canonical(self, population: Population) -> Population:
        """One form of genotypes that decode to the same network: see `canonical_form`."""
        return self.canonical_form(population)

    @cached_property
    def canonical_form(self) -> Canonical:
        """What makes no difference to a network: options without effect, and which of equal slots are left out."""
        return Canonical.of(self.candidates, len(self.decisions))

    def enumerate(self) -> Population:
        """Every network once, as canonical genotypes in ascending order. Raises `SpaceError` for large spaces."""
        if self.size > MAX_ENUMERATED:
            raise SpaceError(
                f"{self.name} has {self.size:.1e} genotypes; at most {MAX_ENUMERATED:,} are enumerated. Sample instead."
            )
        columns = np.unravel_index(np.arange(self.size), tuple(self.cardinalities)) if self._width else ()
        population = np.array(columns, dtype=np.uint8).reshape(self._width, self.size).T.copy()
        stays: NDArray[np.bool_] = (self.canonical(population) == population).all(axis=1)
        return population[stays]

    @property
    def _width(self) -> int:
        return len(self.decisions)


def _chain_text(chain: tuple[Layer, ...], known: dict[Layer, str]) -> str:
    """`repr(chain)`, each layer's written once."""
    texts = [known[layer] if layer in known else known.setdefault(layer, repr(layer)) for layer in chain]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def _same(option: Option, value: object) -> bool:
    """Equal, and not a number standing for a truth value."""
    return isinstance(option, bool) == isinstance(value, bool) and option == value


def _first_repeat(values: Sequence[object]) -> object:
    return next(value for index, value in enumerate(values) if value in values[:index])


def _some(values: Sequence[object], most: int = 12) -> str:
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown}, … ({len(values)} in all)"

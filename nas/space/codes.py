"""Codes: genotypes as text, `22212220`, under which tables of whole networks have their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.errors import NasError
from nas.space.space import Population, Space


def format_code(genotype: NDArray[np.uint8], space: Space) -> str:
    """The code of one genotype `uint8[D]`: option indices in the order of the decisions, one digit each, or separated
    by `-` in a space where a decision has more than ten options."""
    return _separator(space).join(map(str, genotype.tolist()))


def parse_codes(path: Path, space: Space, codes: Sequence[str], error: Callable[[str], NasError]) -> Population:
    """uint8[N, D]: what the codes of a file's lines, from the second on, stand for. `error` makes the exception for one
    that is none of this space."""
    separator = _separator(space)
    parts = [code.split(separator) if separator else list(code) for code in codes]
    width = len(space.decisions)
    for line, (code, indices) in enumerate(zip(codes, parts, strict=True), 2):
        if len(indices) != width or not all(part.isascii() and part.isdigit() and len(part) < 4 for part in indices):
            form = f"{width} numbers separated by `-`" if separator else f"{width} digits"
            raise error(f"{path}: line {line}: `arch` is {form} for {space.name}, got {code[:60]!r}.")
    genotypes = np.array(parts, dtype=np.int64).reshape(-1, width)
    beyond = np.argwhere(genotypes >= space.cardinalities)
    if len(beyond):
        row, column = map(int, beyond[0])
        raise error(
            f"{path}: line {row + 2}: `{space.decisions[column].name}` has the options "
            f"0..{space.cardinalities[column] - 1}, got {genotypes[row, column]} in {codes[row][:60]!r}."
        )
    return genotypes.astype(np.uint8)


def _separator(space: Space) -> str:
    return "-" if (space.cardinalities > 10).any() else ""

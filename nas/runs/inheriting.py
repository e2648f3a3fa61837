"""Inheriting: an evaluator whose networks have weights to take along."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nas.formats.config import Pictures


@runtime_checkable
class Inheriting(Protocol):
    """Its networks begin with weights that are worth something."""

    @property
    def pictures(self) -> Pictures:
        """What the weights were made for."""

    def weights(self, genotype: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Of a genotype `uint8[D]`, under the names of its network's state."""

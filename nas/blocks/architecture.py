"""Architecture: a whole network as a chain of layers, with no knowledge of torch or of the space it came from."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nas.blocks import kinds
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError

MAX_LAYERS = 1_000
MAX_PARAMS = 250_000_000
"""1 GB as float32."""
MAX_VALUES = 250_000_000
"""Of what one layer gives for one picture."""


@dataclass(frozen=True)
class Architecture:
    """A decoded network: the size of its input picture and its layers, first to last.

    Raises `ArchitectureError` unless every layer takes what the one before it gives.
    """

    channels: int
    height: int
    width: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise ArchitectureError(f"An architecture has 1 to {MAX_LAYERS} layers, got {len(self.layers)}.")
        shape = (self.channels, self.height, self.width)
        for index, layer in enumerate(self.layers):
            kinds.check(layer)
            if kinds.KINDS[layer.kind].pools and index + 1 < len(self.layers):
                raise ArchitectureError(f"A {layer.kind} is the last layer, got one at {index} of {len(self.layers)}.")
            takes = (layer.in_channels, layer.height, layer.width)
            if takes != shape:
                raise ArchitectureError(
                    f"Layer {index} ({layer.kind}) takes channels × height × width {_by(takes)}, "
                    f"but what comes before it gives {_by(shape)}."
                )
            shape = kinds.output_shape(layer)
            if (size := prod(shape)) > MAX_VALUES:
                raise ArchitectureError(
                    f"A layer gives at most {MAX_VALUES:,} values, layer {index} ({layer.kind}) {size:,}."
                )
        if self.params > MAX_PARAMS:
            raise ArchitectureError(f"A network has at most {MAX_PARAMS:,} parameters, got {self.params:,}.")

    @property
    def num_classes(self) -> int:
        """Outputs of the last layer."""
        return self.layers[-1].out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all convolutions and linear layers, for one picture."""
        return sum(map(kinds.macs, self.layers))

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(map(kinds.params, self.layers))


def _by(shape: tuple[int, int, int]) -> str:
    return "×".join(map(str, shape))

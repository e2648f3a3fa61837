"""Architecture: a whole network of layers, with no knowledge of torch or of the space it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from nas.blocks.block import is_head
from nas.blocks.layer import Layer
from nas.blocks.op import Shape
from nas.errors import ArchitectureError

MAX_LAYERS = 1_000
MAX_PARAMS = 250_000_000
"""1 GB as float32."""
MAX_VALUES = 250_000_000
"""Of what one layer gives for one picture."""


@dataclass(frozen=True)
class Architecture:
    """A decoded network: the size of its input picture, its layers, the wires between them, and what it gives.

    Raises `ArchitectureError` unless every layer takes what its wires bring.
    """

    channels: int
    height: int
    width: int
    layers: tuple[Layer, ...]
    wires: tuple[tuple[int, ...], ...] | None = None
    """For each layer the places of the layers whose outputs it takes, -1 for the picture. None: a chain."""
    outputs: tuple[int, ...] | None = None
    """Places of the layers whose values the network gives, as a tuple. None: the last one's alone."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise ArchitectureError(f"An architecture has 1 to {MAX_LAYERS} layers, got {len(self.layers)}.")
        if self.wires is not None and len(self.wires) != len(self.layers):
            raise ArchitectureError(
                f"`wires` has an entry for each layer, got {len(self.wires)} for {len(self.layers)} layers."
            )
        shapes: dict[int, Shape] = {-1: (self.channels, self.height, self.width)}
        for index, layer in enumerate(self.layers):
            shapes[index] = layer.output
            if is_head(layer.kind) and self.wires is None and index + 1 < len(self.layers):
                raise ArchitectureError(f"A {layer.kind} is the last layer, got one at {index} of {len(self.layers)}.")
            sources = self.sources(index)
            if not sources or not all(-1 <= source < index for source in sources):
                raise ArchitectureError(
                    f"`wires` of layer {index} name layers before it, or -1 for the picture, got {list(sources)}."
                )
            takes, given = layer.inputs, tuple(shapes[source] for source in sources)
            if takes != given:
                raise ArchitectureError(
                    f"Layer {index} ({layer.kind}) takes channels × height × width {_by(takes)}, "
                    f"but what comes before it gives {_by(given)}."
                )
            if (size := prod(shapes[index])) > MAX_VALUES:
                raise ArchitectureError(
                    f"A layer gives at most {MAX_VALUES:,} values, layer {index} ({layer.kind}) {size:,}."
                )
        for place in self.outputs or ():
            if not 0 <= place < len(self.layers):
                raise ArchitectureError(f"`outputs` are places of layers, 0 to {len(self.layers) - 1}, got {place}.")
        if self.params > MAX_PARAMS:
            raise ArchitectureError(f"A network has at most {MAX_PARAMS:,} parameters, got {self.params:,}.")

    def sources(self, index: int) -> tuple[int, ...]:
        """Places of the layers that layer `index` takes its inputs from; -1 is the picture."""
        return (index - 1,) if self.wires is None else self.wires[index]

    @property
    def takes(self) -> dict[int, tuple[int, ...]]:
        """`wires` of those layers that do not take what the one before them gives."""
        wires = enumerate(self.wires or ())
        return {index: sources for index, sources in wires if sources != (index - 1,)}

    def resized(self, resolution: int, across: int | None = None) -> Architecture:
        """The same layers for pictures of this height, and as wide unless `across` says how wide. Raises
        `ArchitectureError` where some cannot."""
        across = across or resolution
        sizes: dict[int, Shape] = {-1: (self.channels, resolution, across)}
        layers: list[Layer] = []
        for index, layer in enumerate(self.layers):
            _, height, width = sizes[self.sources(index)[0]]
            layers.append(layer.changed(height=height, width=width))
            sizes[index] = layers[-1].output
        return replace(self, height=resolution, width=across, layers=tuple(layers))

    def in_precision(self, precision: str) -> Architecture:
        """The same network with every layer in this precision."""
        return replace(self, layers=tuple(layer.changed(precision=precision) for layer in self.layers))

    def for_training(self) -> Architecture:
        """The network as it is trained from random weights: see `Layer.for_training`."""
        return replace(self, layers=tuple(layer.for_training() for layer in self.layers))

    def classified(self, classes: int) -> Architecture:
        """The same network with a head for so many classes. Raises `ArchitectureError` where it ends in none."""
        *layers, last = self.layers
        if not is_head(last.kind):
            raise ArchitectureError(f"A network for {classes:,} classes ends in a head, this one in a {last.kind}.")
        return replace(self, layers=(*layers, last.changed(out_channels=classes)))

    @property
    def num_classes(self) -> int:
        """Outputs of the last layer."""
        return self.layers[-1].output[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all convolutions and linear layers, for one picture."""
        return sum(layer.macs for layer in self.layers)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(layer.params for layer in self.layers)


def _by(shapes: tuple[Shape, ...]) -> str:
    return " and ".join("×".join(map(str, shape)) for shape in shapes)

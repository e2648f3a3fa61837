"""Memory of a network on a device that has little: bytes of weights (`flash`), and of what is in between (`peak`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from nas.blocks.op import Shape

if TYPE_CHECKING:
    from nas.blocks.architecture import Architecture
    from nas.blocks.layer import Layer

BYTES = {"float32": 4, "float16": 2, "int8": 1}
"""Bytes of a number, by the precision of its layer."""
BIAS_BYTES = BYTES | {"int8": 4}
"""Bytes of a vector's number: biases of 8-bit layers are sums of products, kept in 32 bits (arXiv:1712.05877, 2.4)."""


def flash(layer: Layer) -> int:
    """Bytes of a layer's weights as they are deployed.

    Batch normalisation is folded into its convolution, of which a kernel and a bias are left; no statistics are.
    Numbers are of the layer's precision, but for the vectors of an 8-bit layer: see `BIAS_BYTES`. What a file has
    besides (names, operators, scales of 8-bit numbers) is not counted.
    """
    tensors = [shape for op in layer.graph.ops() for shape in op.deployed().values()]
    return sum(prod(shape) * (BYTES if len(shape) > 1 else BIAS_BYTES)[layer.precision] for shape in tensors)


@lru_cache(maxsize=1 << 16)
def peak(layer: Layer) -> int:
    """Bytes of activations held at once, at most, while a layer runs by itself: see `peak_of`."""
    places = tuple(-1 - place for place in range(len(layer.inputs)))
    return _most_held([layer], [places], dict(zip(places, layer.inputs, strict=True)))


def peak_of(architecture: Architecture) -> int:
    """Bytes of activations held at once, at most, while a network runs on one picture, op by op in its order.

    An op's value is there from when it is made to when it is last taken: an input of a block as long as its residual or
    its branches need it, an output of the network to the end. While an op runs, its inputs and its output are there
    together: what takes several values, such as a residual's sum, writes over none of them. Normalisation and
    activations are done in place, and a change of shape is none. Numbers are of the precision of the layer that makes
    them; while a layer runs, its inputs are of its own.

    So in a chain of layers nothing is there but the input of the one that runs, and this is the largest `peak` of one.
    """
    picture = {-1: (architecture.channels, architecture.height, architecture.width)}
    sources = [architecture.sources(index) for index in range(len(architecture.layers))]
    return _most_held(architecture.layers, sources, picture, architecture.outputs)


class _Step(NamedTuple):
    """One op as it is run; values are numbered by the steps that make them, inputs below 0."""

    takes: tuple[int, ...]
    around: tuple[int, ...]
    """The values that its layer takes."""
    size: int
    """Numbers of its value."""
    held: int
    width: int
    """Bytes of a number."""


def _most_held(
    layers: Sequence[Layer],
    sources: Sequence[tuple[int, ...]],
    inputs: Mapping[int, Shape],
    outputs: Collection[int] | None = None,
) -> int:
    steps: list[_Step] = []
    made = {place: place for place in inputs}  # value of each layer
    for index, (layer, places) in enumerate(zip(layers, sources, strict=True)):
        around = tuple(made[place] for place in places)
        own = {-1 - place: value for place, value in enumerate(around)}
        for position, node in enumerate(layer.graph.nodes):
            own[position] = len(steps)
            takes = tuple(own[place] for place in node.takes)
            held, width = node.op.held(*node.shapes), BYTES[layer.precision]
            steps.append(_Step(takes, around, prod(node.shape), held, width))
        made[index] = own[len(layer.graph.nodes) - 1]
    last = {value: number for number, step in enumerate(steps) for value in step.takes}
    last |= {made[place]: len(steps) for place in outputs or [len(layers) - 1]}
    live = {place: (prod(shape), BYTES[layers[0].precision]) for place, shape in inputs.items() if place in last}
    most = sum(size * width for size, width in live.values())
    for number, step in enumerate(steps):
        there = (size * (step.width if value in step.around else width) for value, (size, width) in live.items())
        most = max(most, sum(there) + step.held * step.width)
        live[number] = step.size, step.width
        live = {value: of for value, of in live.items() if last.get(value, -1) > number}
    return most

"""elastic_space(): the smaller networks that a network has in it, as a Space.

Slimmable widths (arXiv:1812.08928), and elastic depth, kernel and resolution (Once-for-All, arXiv:1908.09791, section
3.2), of any chain of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nas.blocks.architecture import Architecture
from nas.blocks.block import is_head
from nas.blocks.layer import Layer, shared_layer
from nas.errors import ArchitectureError, SpaceError
from nas.formats.network_file import read_network
from nas.space.space import Decision, Option, Slot, Space
from nas.system.places import elastic_name, network_file

WIDTHS = (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
"""Shares of the channels that a width may have left."""
MULTIPLE = 8
"""Of which widths are multiples, but for the full one, as runtimes are fastest there."""
LEAST_KERNEL = 3
LEAST_MAP = 2
"""Pixels that are left of the smallest picture at the end, or as many as the network itself has there."""
SIZES = 4
"""Resolutions, the network's own among them."""

Values = Mapping[int, Option]
"""The chosen option of each decision that a slot depends on."""


def elastic_space(network: Architecture, name: str, adapted: str = "") -> Space:
    """Every network that is left when a network's channels, blocks, kernels and picture shrink; the largest is itself.

    Decisions, their options in ascending order: `resolution`; of every stage (layers of one width, each after the first
    with a residual connection) `width` and `depth`, where blocks leave from its end; of every block `mid`, its inner
    width, and `kernel`, of depthwise convolutions; of the head its inner width. Layers in groups, and other kinds than
    convolutions and inverted bottlenecks, keep their widths. The only reference is the network itself, under its
    `name`; the space's is `name-elastic`, and what it was `adapted` to. Raises `SpaceError` where the layers are no
    chain.
    """
    if network.wires is not None or network.outputs is not None:
        raise SpaceError(f"{name}: an elastic space is of a chain of layers; this network has other wires.")
    return _Elastic(network, name).space(adapted)


@dataclass(frozen=True)
class _Place:
    """A layer of the network, and the decisions that change it; None stands for what is as it is."""

    index: int
    into: int | None
    out: int | None
    mid: int | None = None
    kernel: int | None = None
    depth: int | None = None
    """The layer is there where this decision's option is above its position."""
    position: int = 0


class _Elastic:
    """The decisions and slots of one network, built stage by stage."""

    def __init__(self, network: Architecture, name: str) -> None:
        self.network, self.name = network, name
        self.decisions: list[Decision] = []
        self.sizes: dict[Option, tuple[Layer, ...]]
        self.sizes = {size: network.resized(size).layers for size in _resolutions(network)} or {0: network.layers}
        self.resolution = self._decision("resolution", tuple(self.sizes))

    def space(self, adapted: str) -> Space:
        layers = self.network.layers
        slots, width = [], None
        for number, (start, stop) in enumerate(stages := list(_stages(layers))):
            stage = _stage_name(number, layers[start])
            head, ends = is_head(layers[start].kind), number + 1 == len(stages)
            out = None if head or ends else self._width(f"{stage}.width", layers, start, stop)
            depth = self._decision(f"{stage}.depth", tuple(range(1, stop - start + 1)))
            for position, index in enumerate(range(start, stop)):
                block = stage if head or (stop == start + 1 and number == 0) else f"{stage}.block{position + 1}"
                place = _Place(
                    index,
                    into=out if position else width,
                    out=out,
                    mid=self._mid(f"{block}.mid", layers[index]),
                    kernel=self._kernel(f"{block}.kernel", layers[index]),
                    depth=depth if position else None,
                    position=position,
                )
                slots.append(self._slot(block, place))
            width = out
        largest = {decision.name: decision.options[-1] for decision in self.decisions}
        return Space(
            name=f"{self.name}-elastic{adapted}",
            decisions=tuple(self.decisions),
            slots=tuple(slots),
            references={self.name: largest},
            source="what a network has in it (arXiv:1812.08928, arXiv:1908.09791)",
        )

    def _decision(self, name: str, options: Sequence[Option]) -> int | None:
        """A new decision, by its index; None where there is nothing to choose."""
        if len(options) < 2:
            return None
        self.decisions.append(Decision(name, tuple(options)))
        return len(self.decisions) - 1

    def _width(self, name: str, layers: Sequence[Layer], start: int, stop: int) -> int | None:
        """Of what a stage gives, where its layers and the one that takes it can have another width."""
        free = all(_gives_any_width(layer) for layer in layers[start:stop])
        free = free and all(_takes_any_width(layer) for layer in layers[start + 1 : stop + 1])
        return self._decision(name, _widths(layers[start].out_channels)) if free else None

    def _mid(self, name: str, layer: Layer) -> int | None:
        own = layer.kind in _INNER and layer.mid_channels and layer.groups == 1
        return self._decision(name, _widths(layer.mid_channels)) if own else None

    def _kernel(self, name: str, layer: Layer) -> int | None:
        own = layer.kind in _DEPTHWISE and layer.kernel % 2
        return self._decision(name, tuple(range(LEAST_KERNEL, layer.kernel + 1, 2))) if own else None

    def _slot(self, name: str, place: _Place) -> Slot:
        found = {self.resolution, place.into, place.out, place.mid, place.kernel, place.depth} - {None}
        axes = tuple(sorted(axis for axis in found if axis is not None))
        layers = self._layers(place)
        return Slot(name, axes, lambda *options: layers(dict(zip(axes, options, strict=True))))

    def _layers(self, place: _Place) -> Callable[[Values], tuple[Layer, ...]]:
        named = {"in_channels": place.into, "out_channels": place.out, "mid_channels": place.mid}
        changes = {**named, "kernel": place.kernel}
        decided = {setting: axis for setting, axis in changes.items() if axis is not None}

        def layers(values: Values) -> tuple[Layer, ...]:
            if place.depth is not None and values[place.depth] <= place.position:  # type: ignore[operator]
                return ()
            size = next(iter(self.sizes)) if self.resolution is None else values[self.resolution]
            layer = self.sizes[size][place.index]
            settings = layer.settings | {setting: values[axis] for setting, axis in decided.items()}
            if layer.kind == "sepconv":  # its inner width is that of what it takes
                settings["mid_channels"] = settings["in_channels"]
            return (shared_layer(**settings),)

        return layers


_INNER = ("mbconv", "fused", "tucker", "head", "pooled_head")
"""Kinds whose `mid_channels` are free."""
_DEPTHWISE = ("mbconv", "sepconv")
"""Kinds whose `kernel` is that of a depthwise convolution."""
_ANY_WIDTH = ("conv", *_DEPTHWISE, "fused", "tucker")


def _gives_any_width(layer: Layer) -> bool:
    return layer.kind in _ANY_WIDTH and layer.groups == 1


def _takes_any_width(layer: Layer) -> bool:
    return layer.groups == 1 and (layer.kind in _ANY_WIDTH or is_head(layer.kind))


def _stages(layers: Sequence[Layer]) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of layers in which all but the first have a residual connection."""
    start = 0
    for index in range(1, len(layers) + 1):
        if index == len(layers) or not layers[index].graph.residual:
            yield start, index
            start = index


def _stage_name(number: int, first: Layer) -> str:
    if is_head(first.kind):
        return "head"
    return f"stage{number}" if number else "stem"


def _widths(full: int) -> tuple[int, ...]:
    shares = {max(MULTIPLE, round(share * full / MULTIPLE) * MULTIPLE) for share in WIDTHS}
    return (*sorted(width for width in shares if width < full), full)


def _resolutions(network: Architecture) -> list[int]:
    """Of square pictures, in steps that keep sides multiples of 32, 16 or 8, and some of the last feature map."""
    side = network.height
    if side != network.width:
        return []
    step = next((step for step, least in ((32, 160), (16, 64), (8, 16)) if side >= least), side)
    found = [side]
    while len(found) < SIZES and found[-1] > step:
        smaller = (found[-1] - 1) // step * step
        try:
            last = network.resized(smaller).layers[-1]
        except ArchitectureError:
            break
        if last.height < min(LEAST_MAP, network.layers[-1].height):
            break
        found.append(smaller)
    return found[::-1]


def load_elastic(place: str, resolution: int | None, classes: int | None, strides: str | None = None) -> Space:
    """The elastic space of a network by its shipped name or of a file, for pictures of at most this resolution and so
    many classes. Raises `SpaceError`."""
    check_strides(strides)
    path = network_file(place)
    try:
        network = resized = read_network(path, resolution).architecture
        if resolution is not None:
            resized = network.resized(resolution)
        return elastic_of(resized, elastic_name(place), classes, changed=resized.height != network.height)
    except ArchitectureError as problem:
        raise SpaceError(f"{path}: {problem}") from None


def check_strides(strides: str | None) -> None:
    """Raise `SpaceError` where some are to be dropped."""
    if strides == "drop":
        raise SpaceError("--strides drop: a network keeps its strides, and with them what its weights have learned.")


def elastic_of(network: Architecture, name: str, classes: int | None, changed: bool = False) -> Space:
    """The elastic space of a network of this name, for so many classes; `changed` is whether its resolution is. Both
    are part of the space's name, as in `nas.space.adapt`."""
    adapted = f"-{network.height}px-keep" if changed else ""
    if classes is not None and classes != network.num_classes:
        network, adapted = network.classified(classes), f"{adapted}-{classes}c"
    return elastic_space(network, name, adapted)

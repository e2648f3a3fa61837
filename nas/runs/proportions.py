"""Proportions: a network with other widths, depths and pictures, and how the three go together.

Width is that of arXiv:1801.04381, section 5.2; depth and pictures go with it as in arXiv:2103.06877, table 4 (`fast`),
and arXiv:1905.11946, section 4 (`compound`).
"""

from __future__ import annotations

from dataclasses import replace
from math import floor, gcd, log
from typing import Any

from nas.blocks.architecture import Architecture
from nas.blocks.block import columns_of, expands, is_head
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError, NasError
from nas.formats.blockstring import make_divisible
from nas.space.elastic import LEAST_MAP

WAYS: dict[str, tuple[float, float]] = {
    "width": (0.0, 0.0),
    "fast": (0.1 / 0.4, 0.05 / 0.4),  # of s times the work: s^0.1 the depth, s^0.4 the width, s^0.05 the side (α = 0.8)
    "compound": (log(1.2, 1.1), log(1.15, 1.1)),  # 1.2^φ the depth, 1.1^φ the width, 1.15^φ the side
}
"""How depth and resolution go with the width: the powers of it that they are."""
EVEN = 8
"""Sides of pictures are multiples of this where the network's own is one; else of the power of 2 that its own is."""
LARGEST = 3.0
"""Times its own that a picture may become."""


def scaled(architecture: Architecture, width: float, depth: float = 1.0) -> Architecture:
    """The network with so many times as many channels and blocks; with 1 and 1 it is the same.

    Channels are multiples of 8 everywhere; inner widths and squeeze-and-excitation keep their ratios to what they come
    from. The last layer before the classifier is never narrower than it was, as in MobileNetV2; the picture and the
    classes stay, and a residual stays one. Each stage has the whole number of blocks that is nearest, at least one:
    blocks leave from its end, or its last one is repeated, which then adds its input where it did not. Raises
    `ArchitectureError`, with the layer, where a block's settings allow no other width.
    """
    for what, ratio in {"width": width, "depth": depth}.items():
        if not 0 < ratio < float("inf"):
            raise NasError(f"A {what} is a number above 0, such as 0.75, got {ratio}.")
    squeezed = [layer for layer in architecture.layers if layer.se_channels]
    in_eights = all(layer.se_channels == make_divisible(layer.mid_channels / 4) for layer in squeezed)
    if depth != 1:
        architecture = _deepened(architecture, depth, in_eights)
    return architecture if width == 1 else _widened(architecture, width, in_eights)


def sizes(architecture: Architecture) -> tuple[tuple[int, int], ...]:
    """Heights and widths of pictures that all layers take, up to `LARGEST` times its own: as even as its own, of its
    shape, and with as much of the last feature map as an elastic space leaves."""
    height, width = architecture.height, architecture.width
    step = gcd(EVEN, height, width)
    least = min(LEAST_MAP, architecture.layers[-1].height)
    found = []
    for side in range(step, floor(LARGEST * height) + 1, step):
        other = max(1, round(width * side / height / step)) * step
        try:
            if architecture.resized(side, other).layers[-1].height >= least:
                found.append((side, other))
        except ArchitectureError:
            continue
    return tuple(found)


def _widened(architecture: Architecture, width: float, in_eights: bool) -> Architecture:
    outputs = {-1: architecture.channels}
    layers: list[Layer] = []
    for index, layer in enumerate(architecture.layers):
        given = tuple(outputs[source] for source in architecture.sources(index))
        try:
            layers.append(_layer(layer, given, width, in_eights))
            outputs[index] = layers[-1].output[0]
        except ArchitectureError as problem:
            raise ArchitectureError(
                f"Layer {index} ({layer.kind}) cannot be made {width:g} times as wide: {problem}"
            ) from None
    return replace(architecture, layers=tuple(layers))


def _deepened(architecture: Architecture, depth: float, in_eights: bool) -> Architecture:
    chains = [[layer] for layer in architecture.layers]
    for stage in _stages(architecture):
        count, last = max(1, floor(depth * len(stage) + 0.5)), architecture.layers[stage[-1]]
        if count > len(stage) and (again := _again(last, in_eights)) is not None:
            chains[stage[-1]] += [again] * (count - len(stage))
        for index in stage[count:]:
            chains[index] = []
    layers: list[Layer] = []
    wires: list[tuple[int, ...]] = []
    places = {-1: -1}
    for index, chain in enumerate(chains):
        sources = tuple(places[source] for source in architecture.sources(index))
        for layer in chain:
            layers.append(layer)
            wires.append(sources)
            sources = (len(layers) - 1,)
        places[index] = sources[0]  # of what left, what it took: its shape is the same
    outputs = architecture.outputs and tuple(places[place] for place in architecture.outputs)
    given = None if architecture.wires is None else tuple(wires)
    return replace(architecture, layers=tuple(layers), wires=given, outputs=outputs)


def _stages(architecture: Architecture) -> list[list[int]]:
    """Places of the blocks of each stage: one that changes the shape, or follows the stem, and those behind it that do
    not. The stem, heads, and skips, which have no ops, are not among them."""
    stages: list[list[int]] = []
    ended = True
    for index, layer in enumerate(architecture.layers):
        sources = architecture.sources(index)
        if -1 in sources or is_head(layer.kind):
            ended = True
        elif not layer.graph.nodes:
            continue
        elif ended or sources != (index - 1,) or layer.inputs != (layer.output,):
            ended = False
            stages.append([index])
        else:
            stages[-1].append(index)
    return stages


def _again(layer: Layer, in_eights: bool) -> Layer | None:
    """The block that follows one in its stage, where another one can; a plain convolution is not repeated."""
    if layer.inputs == (layer.output,):
        return layer
    columns = columns_of(type(layer.block))
    if isinstance(layer.in_channels, tuple) or (layer.kind == "conv" and not layer.projection):
        return None
    channels, height, width = layer.output
    plain = {"stride": 1, "residual": False, "projection": False}
    changes = {name: value for name, value in plain.items() if name in columns}
    try:
        found = _layer(layer.changed(**changes), (channels,), 1.0, in_eights).changed(height=height, width=width)
        if "residual" in columns:
            found = found.changed(residual=True)
        return found if found.graph.nodes and found.inputs == (found.output,) else None
    except ArchitectureError:
        return None


def _layer(layer: Layer, given: tuple[int, ...], width: float, in_eights: bool) -> Layer:
    """A layer for inputs of `given` channels; with `in_eights` its squeeze is a quarter in multiples of 8."""
    taken = given if isinstance(layer.in_channels, tuple) else given[0]
    if is_head(layer.kind):
        kept = layer.mid_channels
        return layer.changed(in_channels=taken, mid_channels=max(kept, _times(kept, width)) if kept else 0)
    before, now = (n if isinstance(n, int) else sum(n) for n in (layer.in_channels, taken))
    columns, changes = columns_of(type(layer.block)), dict[str, Any]()
    depthwise = layer.groups == before > 1 and "mid_channels" not in columns
    if "out_channels" in columns:
        multiple, left = divmod(layer.out_channels, before)
        keeps = layer.residual or getattr(layer.block, "keeps_width", False)
        alike = keeps or (depthwise and not left)  # as the input, or a multiple of it
        changes["out_channels"] = now * multiple if alike else _times(layer.out_channels, width)
    if layer.mid_channels:
        changes["mid_channels"] = mid = _times(layer.mid_channels, now / before) if expands(layer.kind) else now
        if layer.se_channels:
            kept = round(mid * (layer.se_channels / layer.mid_channels))
            changes["se_channels"] = make_divisible(mid / 4) if in_eights else max(1, kept)
    for name in getattr(layer.block, "parts", ()):
        part, whole = getattr(layer, name), changes["out_channels"]
        most = whole - (part < layer.out_channels)  # what is less than all of it stays less
        changes[name] = min(most, max(1, round(part * whole / layer.out_channels))) if part else 0
    if layer.groups > 1:
        most, common = (now, now) if depthwise else (layer.groups, gcd(now, *changes.values()))
        changes["groups"] = max(n for n in range(1, most + 1) if common % n == 0)
    if layer.projection and layer.stride == 1 and changes.get("out_channels") == now:
        changes |= {"projection": False, "residual": True}  # what came in is now as wide as what is given
    return layer.changed(in_channels=taken, **changes)


def _times(channels: int, ratio: float) -> int:
    """So many times as many channels: a multiple of 8, but the same for 1, and never more for less or less for more."""
    rounded = make_divisible(channels * ratio)
    return min(channels, rounded) if ratio < 1 else max(channels, rounded) if ratio > 1 else channels

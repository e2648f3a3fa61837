"""The winner as a drawing: a box a layer, narrower as pictures get smaller."""

from __future__ import annotations

from math import log2

from markupsafe import Markup

from nas.blocks.block import columns_of, is_head
from nas.blocks.layer import Layer
from nas.report.markup import element, joined, number
from nas.report.material import Material
from nas.report.placed import MOST_LAYERS, Placed, placed_layers
from nas.tables.table import describe

BOX, GAP, HEADING = 44, 10, 24
"""Heights of a box, of the space under it and of a stage's name, in pixels."""
GATES = {"se": "SE", "eca": "ECA", "scse": "scSE"}
NARROWEST = 80.0
"""Percent of the width that the box of a single pixel has."""


def drawing_section(material: Material) -> Markup:
    """All layers from the picture to the classes."""
    layers = placed_layers(material)
    network = material.architecture
    picture = f"picture: {network.channels} channels, {network.height} × {network.width} px"
    drawing = draw(layers[:MOST_LAYERS], picture)
    left = len(layers) - MOST_LAYERS
    more = f" The last {left} are not drawn." if left > 0 else ""
    note = f"{len(layers)} layers; boxes narrow with the resolution, a line on the left adds a layer's input.{more}"
    return joined([drawing, element("p", note, class_="note")])


def draw(layers: list[Placed], picture: str) -> Markup:
    """Boxes under each other, with a heading a stage."""
    parts = [element("text", picture, x="0", y="14", class_="stage")]
    top, stage, largest = 24, "", max((placed.layer.width for placed in layers), default=1)
    for placed in layers:
        if placed.stage != stage:
            stage = placed.stage
            parts.append(element("text", stage, x="0", y=top + 15, class_="stage"))
            top += HEADING
        parts += box(placed, top, largest)
        top += BOX + GAP
    svg = element("svg", *parts, role="img", aria_label=f"The winner's {len(layers)} layers", height=str(top))
    return element("div", svg, class_="network")


def box(placed: Placed, top: int, largest: int) -> list[Markup]:
    """One layer, `top` pixels down."""
    layer = placed.layer
    width = NARROWEST + (100 - NARROWEST) * log2(max(layer.width, 1)) / max(log2(max(largest, 2)), 1)
    size = {"x": "0", "y": str(top), "height": str(BOX)}
    tip = element("title", f"{placed.name}: {describe(layer)}")
    parts = [
        element("rect", tip, width=f"{width:.1f}%", rx="4", class_=f"box k-{layer.kind}", **size),
        element("rect", width="5", rx="2", class_=f"edge k-{layer.kind}", **size),
        element("text", *what(layer), x="14", y=top + 18),
        element("text", shapes(layer), x="14", y=top + 35, class_="shapes"),
    ]
    if layer.residual or layer.projection:
        path = f"M0 {top - 5}H-9q-6 0-6 6V{top + BOX - 1}q0 6 6 6H0M-4 {top + BOX + 1}l4 4l-4 4"
        parts.append(element("path", element("title", "the input is added"), d=path, class_="residual"))
    return parts


def what(layer: Layer) -> list[Markup]:
    """Kind, kernel, expansion, squeeze-and-excitation and groups."""
    columns = columns_of(type(layer.block))
    name = layer.kind.replace("_", " ")
    if "kernel" in columns:
        name += f" {layer.kernel}×{layer.kernel}"
    rest = []
    if is_head(layer.kind):
        rest.append(f"{layer.mid_channels} wide" if layer.mid_channels else "no convolution")
    elif "mid_channels" in columns:
        rest.append(f"expansion {number((layer.mid_channels or layer.in_channels) / layer.in_channels)}")
    rest += [f"{GATES[layer.excitation]} {layer.se_channels or ''}".rstrip()] if layer.gated else []
    rest += [f"{layer.groups} groups"] if layer.groups > 1 else []
    return [element("tspan", name, class_="kind"), element("tspan", "".join(f" · {word}" for word in rest))]


def shapes(layer: Layer) -> str:
    """Channels, resolution, stride and whether the input is added."""
    if is_head(layer.kind):
        return f"{layer.in_channels} ch at {_size(layer.height, layer.width)} px → {layer.out_channels} classes"
    sizes = _size(layer.height, layer.width)
    if layer.stride > 1:
        sizes += f" → {_size(*layer.output[1:])}"
    ends = (f" · stride {layer.stride}" if layer.stride > 1 else "") + (
        " · residual" if layer.residual else " · projected shortcut" if layer.projection else ""
    )
    return f"{layer.in_channels} → {layer.out_channels} ch · {sizes} px{ends}"


def _size(height: int, width: int) -> str:
    return f"{height}²" if height == width else f"{height}×{width}"

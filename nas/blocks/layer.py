"""Layer: a block with the shapes of its inputs and its precision; no knowledge of torch, of spaces or of wiring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.blocks.block import (
    ACTIVATIONS,
    GATES,
    MAX_DIMENSION,
    STANDARD,
    Block,
    absent,
    block_class,
    check_names,
    columns_of,
    further_columns,
)
from nas.blocks.graph import Graph
from nas.blocks.op import Shape
from nas.errors import ArchitectureError

__all__ = ["ACTIVATIONS", "GATES", "KEY_COLUMNS", "MAX_DIMENSION", "Layer", "key_columns"]

PRECISION = "float32"
"""Of layers that are not told otherwise."""
KEY_COLUMNS = ("kind", "in_channels", *(column.name for column in STANDARD), "height", "width")
"""Key columns that every latency table has, and keys of every layer in a config.json, in order."""


def key_columns() -> tuple[str, ...]:
    """All that there can be: `KEY_COLUMNS`, the fields of registered blocks that are not among them, and precision."""
    return (*KEY_COLUMNS, *further_columns(), "precision")


class Layer:
    """One block of a network with every shape explicit: the key of a row in a latency table.

    Written flat, `Layer(kind="conv", in_channels=3, out_channels=16, kernel=3, height=32, width=32)`: the settings are
    the fields of the block. A layer of several inputs has a tuple of `in_channels`; all are of one height and width.
    Settings of other kinds are read at what they are where there are none, so that all layers have the same columns.
    Raises `ArchitectureError` for an unknown kind, and for a setting of the wrong type, of an absurd size or of another
    kind.
    """

    __slots__ = ("_graph", "_key", "block", "height", "in_channels", "kind", "precision", "width")
    block: Block
    kind: str
    in_channels: Any
    height: int
    """Of the input, in pixels; `width` likewise."""
    width: int
    precision: str

    def __init__(
        self,
        *,
        kind: str,
        in_channels: int | tuple[int, ...],
        height: int,
        width: int,
        precision: str = PRECISION,
        **settings: Any,
    ) -> None:
        found = block_class(kind)
        columns = columns_of(found)
        for name, value in settings.items():
            if name in columns:
                columns[name].check(kind, value)
            else:
                check_names(kind, [name])
                if value != absent(name):
                    raise ArchitectureError(f"A {kind} layer has no `{name}` (it stays {absent(name)!r}), got {value!r}.")
        widths = in_channels if isinstance(in_channels, tuple) else (in_channels,)
        for name, number in (*(("in_channels", width_) for width_ in widths), ("height", height), ("width", width)):
            _SIZE[name].check(kind, number)
        own = {name: settings[name] for name in columns if name in settings}
        try:
            block = found(**own)
        except TypeError:
            missing = [name for name, column in columns.items() if name not in own and column.default is MISSING]
            raise ArchitectureError(f"A {kind} layer needs `{missing[0]}` of at least 1.") from None
        if settings.get("residual") and (settings.get("stride", 1) != 1 or in_channels != settings["out_channels"]):
            raise ArchitectureError(
                f"A residual {kind} layer has stride 1 and equal widths, got stride {settings.get('stride', 1)}, "
                f"{in_channels} → {settings['out_channels']} channels."
            )
        key = (kind, in_channels, height, width, precision, *(getattr(block, name) for name in columns))
        for name, value in (
            ("block", block),
            ("kind", kind),
            ("in_channels", in_channels),
            ("height", height),
            ("width", width),
            ("precision", precision),
            ("_key", key),
            ("_graph", None),
        ):
            object.__setattr__(self, name, value)

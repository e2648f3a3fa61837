"""Plan: one layer of a stage, and what it is where its settings are chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nas.blocks.block import block_class, columns_of, expands, inside
from nas.blocks.layer import Layer, shared_layer
from nas.formats.blockstring import make_divisible
from nas.space.schema import Block, SpaceFile
from nas.space.space import Option

DEFAULTS: dict[str, Option] = {"kernel": 3, "expansion": 1, "se": 0, "residual": True}
"""Of settings; of all others the default is the block's own."""
OWN_DEFAULTS: dict[str, dict[str, Option]] = {
    "conv": {"residual": False},
    "dsa": {"residual": False},
    "ghost": {"projection": True},
}
"""Defaults of single kinds."""


@dataclass(frozen=True)
class Source:
    """Where a setting of one layer comes from: a constant, or a decision by its index."""

    constant: Option | tuple[int, int] | None = None
    decision: int | None = None
    times: Source | None = None
    """Of a width: what it is multiplied by."""
    divisor: int = 8
    """What a multiplied width is a multiple of."""

    @property
    def decisions(self) -> set[int]:
        """All that it depends on."""
        own = set() if self.decision is None else {self.decision}
        return own | self.times.decisions if self.times else own

    def value(self, chosen: Mapping[int, Option]) -> Any:
        value: Any = self.constant if self.decision is None else chosen[self.decision]
        return make_divisible(value * self.times.value(chosen), self.divisor) if self.times and value else value


@dataclass(frozen=True)
class Plan:
    """One layer of a stage: where each of its settings comes from."""

    file: SpaceFile
    blocks: Mapping[str, Block]
    sources: Mapping[str, Source]
    depth: Source | None
    """None: the layer is always there."""
    position: int
    in_width: Source
    out_width: Source
    resolution: Source
    stride: int
    shrink: int

    def origins(self) -> Iterator[Source]:
        yield from (*self.sources.values(), self.in_width, self.out_width, self.resolution)
        if self.depth is not None:
            yield self.depth

    def layers(self, chosen: Mapping[int, Option]) -> tuple[Layer, ...]:
        """The layer for these options; none where the depth leaves it out."""
        if self.depth is not None and self.depth.value(chosen) <= self.position:
            return ()
        block = self.blocks[self.sources["block"].value(chosen)]
        into, out = self.in_width.value(chosen), self.out_width.value(chosen)
        if block.kind == "identity" and self.stride == 1 and into == out:
            return ()
        settings = {name: source.value(chosen) for name, source in self.sources.items()}
        size = size_left(self.resolution.value(chosen), self.shrink)
        return (_layer(self.file, block, settings, into, out, self.stride, size),)


def _layer(
    file: SpaceFile,
    block: Block,
    settings: Mapping[str, Any],
    into: int,
    out: int,
    stride: int,
    size: tuple[int, int],
) -> Layer:
    """The layer that a candidate is where its stage has these settings."""
    kind, same = block.kind, stride == 1 and into == out
    base = out if inside(kind) else into
    given = {**DEFAULTS, "se_gate": file.se_gate, **OWN_DEFAULTS.get(kind, {}), **settings, **block.settings}
    if kind == "mbconv" and block.expand == "needed" and given["expansion"] == 1:
        kind = "sepconv"
    mid = _rounded(given["expansion"] * base, file.round_to) if expands(kind) else into
    given |= {
        "out_channels": out,
        "mid_channels": mid,
        "se_channels": _squeezed(file, given["se"], base, mid),
        "rank_channels": _rounded(given.get("rank", 0) * out, file.round_to),
        "residual": given["residual"] and same,
        "projection": given.get("projection", False) and not same,
    }
    if given.get("excitation") == "eca":
        given["se_channels"] = 0
    elif not given["se_channels"]:
        given.pop("se_gate", None)
        given.pop("excitation", None)
    if stride == 1:
        given.pop("anti_alias", None)
    if kind == "mqa" and given.get("key_stride", 1) == 1:
        given["kernel"] = 1
    fields = {name: given[name] for name in columns_of(block_class(kind)) if name in given}
    return shared_layer(kind=kind, in_channels=into, height=size[0], width=size[1], **{**fields, "stride": stride})


def _squeezed(file: SpaceFile, ratio: float, into: int, mid: int) -> int:
    """Inner width of squeeze-and-excitation."""
    if file.se_from == "mid" and ratio:
        return make_divisible(mid * ratio, file.round_to or 8)
    return make_divisible(into * ratio, file.round_to) if file.round_to and ratio else int(ratio * into)


def _rounded(width: float, divisor: int | None) -> int:
    return make_divisible(width, divisor) if divisor else round(width)


def size_left(resolution: int | tuple[int, int], shrink: int) -> tuple[int, int]:
    """Height and width that are left."""
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    return -(-height // shrink), -(-width // shrink)

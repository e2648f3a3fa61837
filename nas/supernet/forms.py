"""Forms: the candidates of a slot that are slices of one largest layer, and the masks that tell them apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from nas.blocks.layer import Layer
from nas.blocks.ops import Conv, Linear, Op, SqueezeExcite
from nas.supernet.banks import named_ops


@dataclass(frozen=True, eq=False)
class Masks:
    """What the members of a form use of one operation of its largest: indicators as products with `hot`."""

    channel_members: torch.Tensor | None
    """float[members, levels]: whether a member has the channels of a level; None where all have all."""
    channel_levels: torch.Tensor | None
    """int[channels]: the level of each channel."""
    kernel_members: torch.Tensor | None
    kernel_levels: torch.Tensor | None
    """int[K * K]: the ring of each place of the kernel."""
    has: torch.Tensor | None
    """float[members]: whether a member has the operation at all."""

    def channels(self, hot: torch.Tensor) -> torch.Tensor | None:
        """float[channels]."""
        if self.channel_members is None or self.channel_levels is None:
            return None
        return (hot @ self.channel_members.to(hot))[self.channel_levels.to(hot.device)]

    def kernel(self, hot: torch.Tensor) -> torch.Tensor | None:
        """float[K, K]."""
        if self.kernel_members is None or self.kernel_levels is None:
            return None
        flat = (hot @ self.kernel_members.to(hot))[self.kernel_levels.to(hot.device)]
        side = round(len(flat) ** 0.5)
        return flat.view(side, side)

    def share(self, hot: torch.Tensor) -> torch.Tensor | None:
        """Of the members that have the operation; a scalar."""
        return None if self.has is None else hot @ self.has.to(hot)


@dataclass(frozen=True, eq=False)
class Form:
    """Candidates of a slot that are slices of one largest layer."""

    members: list[int]
    in_channels: int
    """Of that layer."""
    chain: list[tuple[str, Op]]
    """The operations of that layer with their superkernels."""
    masks: list[Masks]


def forms_of(slot: int, candidates: tuple[tuple[Layer, ...], ...]) -> list[Form]:
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, candidate in enumerate(candidates):
        if candidate:
            groups.setdefault(_shape_of(candidate, index), []).append(index)
    return [_form_of(slot, members, [candidates[index] for index in members]) for members in groups.values()]


def _shape_of(candidate: tuple[Layer, ...], index: int) -> tuple[object, ...]:
    """Equal for candidates of one form."""
    layer = candidate[0]
    if len(candidate) > 1 or layer.kind == "identity":
        return (index,)
    widths = (layer.in_channels, layer.mid_channels, layer.out_channels) if layer.groups > 1 else ()
    return layer.kind, layer.stride, layer.groups, widths, layer.activation, layer.se_gate, layer.height, layer.width


def _form_of(slot: int, members: list[int], candidates: list[tuple[Layer, ...]]) -> Form:
    if len(members) == 1:
        chain = [step for place, layer in enumerate(candidates[0]) for step in named_ops(slot, place, layer)]
        return Form(members, candidates[0][0].in_channels, chain, [Masks(None, None, None, None, None)] * len(chain))
    layers = [candidate[0] for candidate in candidates]
    largest = replace(
        layers[0],
        residual=False,
        **{
            field: max(getattr(layer, field) for layer in layers)
            for field in ("in_channels", "out_channels", "mid_channels", "kernel", "se_channels")
        },
    )
    chain = named_ops(slot, 0, largest)
    own = [dict(named_ops(slot, 0, layer)) for layer in layers]
    followed = [isinstance(after, Conv) and after.groups > 1 for _, after in chain[1:]] + [False]
    masks = [
        _masks(op, [mine.get(name) for mine in own], skip_channels=before_depthwise)
        for (name, op), before_depthwise in zip(chain, followed, strict=True)
    ]
    return Form(members, largest.in_channels, chain, masks)


def _masks(largest: Op, own: list[Op | None], skip_channels: bool) -> Masks:
    """Channels before a depthwise convolution need no mask: it does not mix them, and has its own."""
    has = None if all(own) else torch.tensor([float(op is not None) for op in own])
    present = [op or largest for op in own]
    widths = [_width(op) for op in present]
    channel_members, channel_levels = (None, None) if skip_channels else _levels(widths, torch.arange(_width(largest)))
    kernel_members = kernel_levels = None
    if isinstance(largest, Conv):
        reach = (torch.arange(largest.kernel) - largest.kernel // 2).abs()
        rings = torch.maximum(reach[:, None], reach[None, :]).reshape(-1)
        halves = [op.kernel // 2 + 1 for op in present if isinstance(op, Conv)]
        kernel_members, kernel_levels = _levels(halves, rings)
    return Masks(channel_members, channel_levels, kernel_members, kernel_levels, has)


def _levels(sizes: list[int], places: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Members × levels, and the level of each place: place p is there for members of a size above p."""
    steps = sorted(set(sizes))
    if len(steps) == 1:
        return None, None
    members = torch.tensor([[float(size >= step) for step in steps] for size in sizes])
    return members, torch.bucketize(places, torch.tensor(steps), right=True)


def _width(op: Op) -> int:
    match op:
        case Conv():
            return op.out_channels
        case SqueezeExcite():
            return op.squeezed
        case Linear():
            return op.out_features
    return 0

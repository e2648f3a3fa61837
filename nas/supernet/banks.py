"""Banks: the largest weights of a place in a supernet, of which its operations are slices."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from nas.blocks.kinds import KINDS, ops
from nas.blocks.layer import Layer
from nas.blocks.ops import Conv, Linear, Op, SqueezeExcite
from nas.supernet.supernet import scale_of


class ConvBank(nn.Module):
    """The largest convolution of a place, and its normalisation."""

    def __init__(self, op: Conv) -> None:
        super().__init__()
        shape = (op.out_channels, op.in_channels // op.groups, op.kernel, op.kernel)
        scale = scale_of(shape[1] * op.kernel**2, op.activation != "none")
        self.weight = nn.Parameter(torch.randn(shape) * scale)
        self.scale = nn.Parameter(torch.ones(op.out_channels))
        self.shift = nn.Parameter(torch.zeros(op.out_channels))


class SqueezeExciteBank(nn.Module):
    """The largest squeeze-and-excitation of a place."""

    def __init__(self, op: SqueezeExcite) -> None:
        super().__init__()
        self.squeeze = nn.Parameter(torch.randn(op.squeezed, op.channels, 1, 1) * scale_of(op.channels, True))
        self.squeeze_bias = nn.Parameter(torch.zeros(op.squeezed))
        self.excite = nn.Parameter(torch.randn(op.channels, op.squeezed, 1, 1) * scale_of(op.squeezed, False))
        self.excite_bias = nn.Parameter(torch.zeros(op.channels))


class LinearBank(nn.Module):
    """The largest fully connected layer of a place."""

    def __init__(self, op: Linear) -> None:
        super().__init__()
        scale = scale_of(op.in_features, op.activation != "none")
        self.weight = nn.Parameter(torch.randn(op.out_features, op.in_features) * scale)
        self.bias = nn.Parameter(torch.zeros(op.out_features))


def bank_of(op: Op) -> nn.Module:
    """First weights for an operation and all that are slices of it."""
    match op:
        case Conv():
            return ConvBank(op)
        case SqueezeExcite():
            return SqueezeExciteBank(op)
        case Linear():
            return LinearBank(op)
    raise AssertionError(op)


def slices(bank: nn.Module, op: Op) -> dict[str, torch.Tensor]:
    """What an operation uses of its superkernel, under the names of its own module's parameters."""
    match bank, op:
        case ConvBank(), Conv():
            wide, ring = op.in_channels // op.groups, (bank.weight.shape[2] - op.kernel) // 2
            inner = slice(ring, ring + op.kernel)
            return {
                "conv.weight": bank.weight[: op.out_channels, :wide, inner, inner],
                "norm.weight": bank.scale[: op.out_channels],
                "norm.bias": bank.shift[: op.out_channels],
            }
        case SqueezeExciteBank(), SqueezeExcite():
            return {
                "squeeze.weight": bank.squeeze[: op.squeezed, : op.channels],
                "squeeze.bias": bank.squeeze_bias[: op.squeezed],
                "excite.weight": bank.excite[: op.channels, : op.squeezed],
                "excite.bias": bank.excite_bias[: op.channels],
            }
        case LinearBank(), Linear():
            return {
                "linear.weight": bank.weight[: op.out_features, : op.in_features],
                "linear.bias": bank.bias[: op.out_features],
            }
    raise AssertionError(op)


def named_ops(slot: int, place: int, layer: Layer) -> list[tuple[str, Op]]:
    """The operations of a layer with the names of the superkernels that they are slices of.

    Operations of one type are counted from the last one, so that a bottleneck without an expansion convolution shares
    the others'.
    """
    family = KINDS[layer.kind].family or layer.kind
    chain, named = ops(layer), []
    seen: dict[type[Op], int] = {}
    for op in reversed(chain):
        seen[type(op)] = seen.get(type(op), 0) + 1
        part = f"{type(op).__name__}{seen[type(op)]}"
        if isinstance(op, Conv) and op.groups > 1:
            part += "_depthwise" if op.groups == op.in_channels == op.out_channels else f"_groups{op.groups}"
        named.append((f"slot{slot}_{place}_{family.replace(' ', '_')}_{part}", op))
    return named[::-1]


def larger(one: Op, other: Op) -> Op:
    """An operation that both are slices of."""
    match one, other:
        case Conv(), Conv():
            depthwise = one.groups > 1 and one.groups == one.in_channels == one.out_channels
            wide = max(one.out_channels, other.out_channels)
            return replace(
                one,
                in_channels=wide if depthwise else max(one.in_channels, other.in_channels),
                out_channels=wide,
                groups=wide if depthwise else one.groups,
                kernel=max(one.kernel, other.kernel),
                activation=max(one.activation, other.activation),
            )
        case SqueezeExcite(), SqueezeExcite():
            return replace(one, channels=max(one.channels, other.channels), squeezed=max(one.squeezed, other.squeezed))
        case Linear(), Linear():
            return replace(
                one,
                in_features=max(one.in_features, other.in_features),
                out_features=max(one.out_features, other.out_features),
            )
    return one

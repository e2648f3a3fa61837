"""Kinds of layers: what each one is made of. The one place where a kind is registered.

A kind is a function from a Layer to the chain of operations it stands for. MACs, parameters, the torch
module, the ONNX nodes and the plain-torch export follow from that chain; a residual layer adds its input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from nas.blocks.layer import Layer
from nas.blocks.ops import Conv, Linear, Op, Pool, SqueezeExcite
from nas.errors import ArchitectureError


def conv(layer: Layer) -> tuple[Op, ...]:
    """A convolution, batch normalisation and an activation: stems and plain layers."""
    return (Conv(layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.groups, layer.activation),)


def sepconv(layer: Layer) -> tuple[Op, ...]:
    """Depthwise then linear pointwise convolution (arXiv:1801.04381, t = 1): also MBConv with expansion 1."""
    width = layer.in_channels
    depthwise = Conv(width, width, layer.kernel, layer.stride, width, layer.activation)
    return depthwise, *_squeeze_excite(layer, width), Conv(width, layer.out_channels)


def mbconv(layer: Layer) -> tuple[Op, ...]:
    """Inverted bottleneck (arXiv:1801.04381, section 3.3); groups are of its pointwise convolutions (FBNet)."""
    width = layer.mid_channels
    return (
        Conv(layer.in_channels, width, 1, 1, layer.groups, layer.activation),
        Conv(width, width, layer.kernel, layer.stride, width, layer.activation),
        *_squeeze_excite(layer, width),
        Conv(width, layer.out_channels, 1, 1, layer.groups),
    )


def fused(layer: Layer) -> tuple[Op, ...]:
    """Fused inverted bottleneck (arXiv:2003.02838, section 3.1): one full convolution expands."""
    width = layer.mid_channels
    return (
        Conv(layer.in_channels, width, layer.kernel, layer.stride, 1, layer.activation),
        *_squeeze_excite(layer, width),
        Conv(width, layer.out_channels),
    )


def identity(layer: Layer) -> tuple[Op, ...]:
    """A skip: nothing where shapes agree, else a 1×1 convolution and batch normalisation (NAS-Bench-Macro)."""
    if layer.stride == 1 and layer.in_channels == layer.out_channels:
        return ()
    return (Conv(layer.in_channels, layer.out_channels, 1, layer.stride),)


def head(layer: Layer) -> tuple[Op, ...]:
    """1×1 convolution to `mid_channels`, pooling, classifier."""
    return (
        Conv(layer.in_channels, layer.mid_channels, activation=layer.activation),
        Pool(),
        Linear(layer.mid_channels, layer.out_channels),
    )


def pooled_head(layer: Layer) -> tuple[Op, ...]:
    """Pooling first, then two fully connected layers (MobileNetV3, arXiv:1905.02244, section 5.1)."""
    return (
        Pool(),
        Linear(layer.in_channels, layer.mid_channels, layer.activation),
        Linear(layer.mid_channels, layer.out_channels),
    )


def _squeeze_excite(layer: Layer, width: int) -> tuple[Op, ...]:
    return (SqueezeExcite(width, layer.se_channels, layer.se_gate),) if layer.se_channels else ()


@dataclass(frozen=True)
class Kind:
    """What is registered of a kind of layer."""

    ops: Callable[[Layer], tuple[Op, ...]]
    uses: frozenset[str]
    """Fields of Layer beyond kind, channels and size that the kind reads; others must keep their defaults."""
    needs_mid: bool = False
    pools: bool = False
    family: str = ""
    """Kinds of one family are one superkernel in a supernet: their operations agree counted from the last one.
    Empty for a kind that shares its weights with no other."""


_BLOCK = frozenset({"mid_channels", "kernel", "stride", "se_channels", "se_gate", "activation", "residual"})

KINDS: dict[str, Kind] = {
    "conv": Kind(conv, frozenset({"kernel", "stride", "groups", "activation", "residual"})),
    "sepconv": Kind(sepconv, _BLOCK, family="inverted bottleneck"),
    "mbconv": Kind(mbconv, _BLOCK | {"groups"}, needs_mid=True, family="inverted bottleneck"),
    "fused": Kind(fused, _BLOCK, needs_mid=True),
    "identity": Kind(identity, frozenset({"stride"})),
    "head": Kind(head, frozenset({"mid_channels", "activation"}), needs_mid=True, pools=True),
    "pooled_head": Kind(pooled_head, frozenset({"mid_channels", "activation"}), needs_mid=True, pools=True),
}

_DEFAULTS = {
    field.name: field.default
    for field in fields(Layer)
    if field.name not in {"kind", "in_channels", "out_channels", "height", "width"}
}


def check(layer: Layer) -> None:
    """Raise `ArchitectureError` unless the layer's kind is known and its fields fit together."""
    if layer.kind not in KINDS:
        raise ArchitectureError(f"`kind` of a layer is one of {', '.join(KINDS)}, got {layer.kind!r}.")
    kind = KINDS[layer.kind]
    for name, default in _DEFAULTS.items():
        if name not in kind.uses and getattr(layer, name) != default:
            raise ArchitectureError(
                f"A {layer.kind} layer has no `{name}` (it stays {default!r}), got {getattr(layer, name)!r}."
            )
    if layer.se_gate != "sigmoid" and not layer.se_channels:
        raise ArchitectureError(f"Without `se_channels`, `se_gate` stays 'sigmoid', got {layer.se_gate!r}.")
    if kind.needs_mid and not layer.mid_channels:
        raise ArchitectureError(f"A {layer.kind} layer needs `mid_channels` of at least 1.")
    if layer.kind == "sepconv" and layer.mid_channels != layer.in_channels:
        raise ArchitectureError(
            f"`mid_channels` of a sepconv layer is its input width {layer.in_channels}, got {layer.mid_channels}."
        )
    for op in kind.ops(layer):
        if isinstance(op, Conv) and (op.in_channels % op.groups or op.out_channels % op.groups):
            raise ArchitectureError(
                f"`groups` of a {layer.kind} layer divides its widths, got {op.groups} groups for "
                f"{op.in_channels} → {op.out_channels} channels."
            )


def ops(layer: Layer) -> tuple[Op, ...]:
    """The chain of operations that a layer stands for."""
    return KINDS[layer.kind].ops(layer)


def macs(layer: Layer) -> int:
    """Multiply-accumulates of the layer's convolutions and linear layers, for one picture."""
    total, height, width = 0, layer.height, layer.width
    for op in ops(layer):
        total += op.macs(height, width)
        height, width = -(-height // op.stride), -(-width // op.stride)
    return total


def params(layer: Layer) -> int:
    """Trainable parameters of the layer."""
    return sum(op.params for op in ops(layer))


def output_shape(layer: Layer) -> tuple[int, int, int]:
    """Channels, height and width that the layer gives; a head gives 1 × 1 pixels."""
    if KINDS[layer.kind].pools:
        return layer.out_channels, 1, 1
    return layer.out_channels, layer.out_height, layer.out_width

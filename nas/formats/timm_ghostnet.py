"""GhostNet and GhostNetV2 as timm builds them, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nas.blocks.architecture import Architecture
from nas.formats.timm_network import Part, _activation_of, _conv, _only, _OtherModuleError, chained


def from_ghostnet(model: Any, size: int) -> Architecture:
    """The network, for square pictures of `size` pixels. Raises `ArchitectureError` as `from_timm` does."""
    return chained(model, size, _parts(model))


def _parts(model: Any) -> Iterator[Part]:
    yield "conv_stem", partial(_plain, model.conv_stem, model.act1)
    *stages, last = model.blocks
    for stage, run in enumerate(stages):
        for place, block in enumerate(run):
            yield f"blocks.{stage}.{place}", partial(_bottleneck, block)
    yield f"blocks.{len(stages)}.0", partial(_plain, last[0].conv, last[0].bn1.act)
    yield "conv_head", partial(_head, model)


def _plain(convolution: Any, activation: Any) -> dict[str, Any]:
    shape = {"kind": "conv", "out_channels": convolution.out_channels}
    return shape | _conv(convolution) | {"activation": _activation_of(activation)}


def _head(model: Any) -> dict[str, Any]:
    _only(type(model.classifier).__name__, "Linear", "a network without a classifier")
    widths = {"mid_channels": model.conv_head.out_channels, "out_channels": model.classifier.out_features}
    return {"kind": "pooled_head", "activation": _activation_of(model.act2), **widths}


def _bottleneck(block: Any) -> dict[str, Any]:
    kind = type(block).__name__
    if kind != "GhostBottleneck":
        raise _OtherModuleError(f"no block of nas is a {kind}.")
    first, last = block.ghost1, block.ghost2
    for module in (first, last):
        cheap = _conv(module.cheap_operation[0])
        _only((_conv(module.primary_conv[0])["kernel"], cheap["kernel"]), (1, 3), "a ghost module of other kernels")
    settings = {
        "kind": "ghost",
        "mid_channels": first.out_chs,
        "out_channels": last.out_chs,
        "activation": _activation_of(first.primary_conv[2]),
        "dfc": type(first).__name__ == "GhostModuleV2",
    }
    if block.se is not None:
        settings |= {"se_channels": block.se.conv_reduce.out_channels, "se_gate": _activation_of(block.se.gate)}
        settings |= {"se_activation": _activation_of(block.se.act1)}
    if not len(block.shortcut):
        return {**settings, "residual": True}
    depthwise = _conv(block.shortcut[0])
    return {**settings, "projection": True, "kernel": depthwise["kernel"], "stride": depthwise["stride"]}

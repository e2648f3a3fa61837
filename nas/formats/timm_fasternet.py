"""FasterNet as timm builds it, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

from nas.blocks.architecture import Architecture
from nas.errors import ArchitectureError
from nas.formats.timm_network import Part, _activation_of, _only, chained


def from_fasternet(model: Any, size: int) -> Architecture:
    """The network, for square pictures of `size` pixels. Raises `ArchitectureError` as `from_timm` does, and where
    timm's patches leave out pixels of the picture; ours would not."""
    merged = [stage.downsample.reduction.stride[0] for stage in model.stages if hasattr(stage.downsample, "reduction")]
    if size % (whole := prod([model.patch_embed.proj.stride[0], *merged])):
        raise ArchitectureError(f"Pictures of this timm network are multiples of {whole} pixels a side, got {size}.")
    return chained(model, size, _parts(model))


def _parts(model: Any) -> Iterator[Part]:
    yield "patch_embed", partial(_patch, model.patch_embed.proj, model.patch_embed.norm)
    for number, stage in enumerate(model.stages):
        if hasattr(merging := stage.downsample, "reduction"):
            yield f"stages.{number}.downsample", partial(_patch, merging.reduction, merging.norm)
        for place, block in enumerate(stage.blocks):
            yield f"stages.{number}.blocks.{place}", partial(_block, block)
    yield "conv_head", partial(_head, model)


def _patch(convolution: Any, norm: Any) -> dict[str, Any]:
    _only(type(norm).__name__, "BatchNorm2d", "patches without batch normalisation")
    side = convolution.kernel_size[0]
    _only(tuple(convolution.stride), (side, side), "patches that overlap")
    return {"kind": "patch", "out_channels": convolution.out_channels, "stride": side}


def _block(block: Any) -> dict[str, Any]:
    _only(block.layer_scale, None, "a scale by layer")
    mixing, (expand, _, activation, project) = block.spatial_mixing, block.mlp
    part = mixing.partial_conv3
    return {
        "kind": "pconv",
        "kernel": part.kernel_size[0],
        "n_div": expand.in_channels // part.in_channels,
        "mid_channels": expand.out_channels,
        "out_channels": project.out_channels,
        "activation": _activation_of(activation),
        "residual": True,
    }


def _head(model: Any) -> dict[str, Any]:
    _only(type(model.classifier).__name__, "Linear", "a network without a classifier")
    widths = {"mid_channels": model.conv_head.out_channels, "out_channels": model.classifier.out_features}
    return {"kind": "pooled_head", "activation": _activation_of(model.act), "head_bias": False, **widths}

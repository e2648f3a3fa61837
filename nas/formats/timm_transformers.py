"""Networks with attention that timm builds, as Architectures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError
from nas.formats.timm_network import ACTIVATIONS

Settings = dict[str, Any]
"""Of a layer, without its input."""


def efficientformer(model: Any, size: int) -> Architecture:
    """timm's EfficientFormer for pictures of size×size pixels. Raises `ArchitectureError` for a module that no layer
    stands for, and for a size that its attention has not learned the positions of."""
    network = _network(model, model.stem.conv1, size, _efficientformer(model))
    learned = {biases.shape[1] for name, biases in model.named_parameters() if name.endswith("attention_biases")}
    seen = {layer.height * layer.width for layer in network.layers if layer.kind == "mhsa"}
    if learned != seen:
        raise ArchitectureError(
            f"This timm network has learned positions of {max(learned)} pixels, and attends to {max(seen)} of a "
            f"picture of {size} px. Leave --resolution out."
        )
    return network


def shvit(model: Any, size: int) -> Architecture:
    """timm's SHViT for pictures of size×size pixels. Raises as `efficientformer` does."""
    return _network(model, model.patch_embed[0].c, size, _shvit(model))


def _efficientformer(model: Any) -> Iterator[Settings]:
    for n in (1, 2):
        yield _conv(getattr(model.stem, f"conv{n}"), getattr(model.stem, f"act{n}"))
    for stage in model.stages:
        if type(stage.downsample).__name__ != "Identity":
            yield _conv(stage.downsample.conv, None)
        for block in stage.blocks:
            match type(block).__name__:
                case "MetaBlock2d":
                    yield {
                        **_perceptron("poolformer", block.mlp.fc1, block.mlp.fc2, block.mlp.act),
                        "kernel": block.token_mixer.pool.kernel_size,
                        "layer_scale": True,
                        "conv_bias": True,
                    }
                case "MetaBlock1d":
                    yield {
                        **_perceptron("mhsa", block.mlp.fc1, block.mlp.fc2, block.mlp.act),
                        "heads": block.token_mixer.num_heads,
                        "key_channels": block.token_mixer.key_dim,
                        "value_channels": block.token_mixer.val_dim,
                        "positions": "distance",
                        "layer_scale": True,
                    }
                case "Flat":
                    pass
                case other:
                    raise ArchitectureError(f"No block of nas is a {other}, as this timm network has.")
    yield {"kind": "norm_head", "out_channels": model.head.out_features, "classifiers": 2}


def _shvit(model: Any) -> Iterator[Settings]:
    stem = list(model.patch_embed)
    for conv, act in zip(stem[::2], [*stem[1::2], None], strict=True):
        yield _conv(conv.c, act)
    for stage in model.stages:
        if type(stage.downsample).__name__ != "Identity":
            local, ffn, merging, local_after, ffn_after = stage.downsample
            yield _mixed(local.m.c, ffn.m)
            squeeze = merging.se
            gate = {"se_channels": squeeze.fc1.out_channels, "se_gate": _activation(squeeze.gate)}
            yield {
                **_perceptron("mbconv", merging.conv1.c, merging.conv3.c, merging.act1),
                "kernel": merging.conv2.c.kernel_size[0],
                "stride": merging.conv2.c.stride[0],
                **gate,
                "se_activation": _activation(squeeze.act),
            }
            yield _mixed(local_after.m.c, ffn_after.m)
        for block in stage.blocks:
            attention = getattr(block.mixer, "m", None)
            parts = {} if attention is None else {"part_channels": attention.pdim, "key_channels": attention.qk_dim}
            yield {**_mixed(block.conv.m.c, block.ffn.m), **parts}
    yield {"kind": "norm_head", "out_channels": model.head.l.out_features, "norm_kind": "batch", "pool_first": True}


def _mixed(depthwise: Any, ffn: Any) -> Settings:
    """A depthwise convolution and a perceptron."""
    return {**_perceptron("shsa", ffn.pw1.c, ffn.pw2.c, ffn.act), "kernel": depthwise.kernel_size[0]}


def _perceptron(kind: str, widen: Any, narrow: Any, act: Any) -> Settings:
    """Two layers, each a 1×1 convolution or fully connected, and what is between them."""
    mid, out = len(widen.weight), len(narrow.weight)
    return {"kind": kind, "out_channels": out, "mid_channels": mid, "activation": _activation(act)}


def _conv(conv: Any, act: Any) -> Settings:
    """A convolution with batch normalisation and perhaps an activation."""
    (kernel, _), (stride, _) = conv.kernel_size, conv.stride
    bias = {} if conv.bias is None else {"conv_bias": True}
    shape = {"out_channels": conv.out_channels, "kernel": kernel, "stride": stride}
    return {"kind": "conv", **shape, "activation": _activation(act), **bias}


def _activation(module: Any) -> str:
    name = type(module).__name__
    if name not in ACTIVATIONS:
        raise ArchitectureError(f"No activation of nas is a {name}, as this timm network has.")
    return ACTIVATIONS[name]


def _network(model: Any, first: Any, size: int, parts: Iterator[Settings]) -> Architecture:
    """Layers one after the other, each for what the one before gives."""
    if not model.num_classes:
        raise ArchitectureError("No layer of nas is the end of a network without a classifier, as this of timm is.")
    shape: tuple[int, ...] = (first.in_channels, size, size)
    layers = []
    for settings in parts:
        channels, height, width = shape
        layers.append(Layer(in_channels=channels, height=height, width=width, **settings))
        shape = layers[-1].output
    return Architecture(first.in_channels, size, size, tuple(layers))

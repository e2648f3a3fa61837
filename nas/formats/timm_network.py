"""A network that timm builds, as an Architecture: read off its modules, so that it is the one that is built."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Any

from nas.blocks.architecture import Architecture
from nas.blocks.block import is_head
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError
from nas.formats.dialects import IMAGENET
from nas.formats.state_dict import COMPUTED
from nas.system.lazy import load
from nas.system.text import one_line, short

ACTIVATIONS = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "SiLU": "swish",
    "Swish": "swish",
    "Identity": "none",
    "Hardswish": "hard-swish",
    "HardSwish": "hard-swish",
    "GELU": "gelu",
    "Sigmoid": "sigmoid",
    "Hardsigmoid": "hard-sigmoid",
    "HardSigmoid": "hard-sigmoid",
    "NoneType": "none",
}
"""By the names of their classes."""
READERS = {
    "ByobNet": "nas.formats.timm_rep:from_byobnet",
    "EfficientFormer": "nas.formats.timm_transformers:efficientformer",
    "SHViT": "nas.formats.timm_transformers:shvit",
    "GhostNet": "nas.formats.timm_ghostnet:from_ghostnet",
    "FasterNet": "nas.formats.timm_fasternet:from_fasternet",
}
"""Of other families, by the names of their classes: functions of the model and the size of its pictures."""


def timm_model(name: str, pretrained: bool) -> Any:
    """What `timm.create_model` gives, with its weights from the network where `pretrained`.

    Raises `ArchitectureError` where timm is not installed, does not know the name, or cannot fetch the weights.
    """
    timm = _timm()
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.partition('.')[0].partition('_')[0]}*")[:5]
        raise ArchitectureError(
            f"timm {timm.__version__} has no model {short(name, 60)}"
            f"{f'; some that it has: {chr(44).join(near)}' if near else ''}. List: timm.list_models()."
        )
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it tells every retry
    try:
        return timm.create_model(name, pretrained=pretrained).eval()
    except Exception as problem:  # hub, network and file errors have no common type
        if not pretrained:
            raise
        why = one_line(problem, 200).rstrip(".")
        raise ArchitectureError(
            f"timm does not give {name} with its weights ({type(problem).__name__}: {why}). "
            "Give a file of them: --weights FILE."
        ) from problem


def _timm() -> Any:
    """The package. It imports torchvision, whose build for CUDA beside a torch without ends in "operator
    torchvision::nms does not exist"; timm's networks need none of its operators, so they are declared then."""
    import torch

    try:
        try:
            return import_module("timm")
        except RuntimeError as problem:
            if "torchvision::" not in str(problem):
                raise
        for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _DECLARED.append(library)
        return import_module("timm")
    except ImportError:
        raise ArchitectureError("timm is not installed: pip install 'nas[timm]'.") from None


_DECLARED: list[Any] = []
"""Operators are there for as long as their library lives."""


def timm_pictures(model: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by colour that timm's weights want."""
    shown = getattr(model, "pretrained_cfg", None) or {}
    mean, std = (shown.get(name) or usual for name, usual in zip(("mean", "std"), IMAGENET, strict=True))
    return tuple(map(float, mean)), tuple(map(float, std))


def timm_tensors(model: Any) -> dict[str, Any]:
    """The weights of a model as float32 arrays, by timm's names."""
    found = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    return {name: array for name, array in found.items() if not name.endswith(COMPUTED)}


def from_timm(model: Any, resolution: int | None = None) -> Architecture:
    """The network of a timm model of the families EfficientNet and MobileNetV3 (which hold MobileNetV2, MnasNet, FBNet
    and the like), or of one of `READERS`, for square pictures: by default of the size that its configuration names.

    Raises `ArchitectureError` with the name of the first module that no layer stands for.
    """
    family = type(model).__name__
    size = resolution or (getattr(model, "pretrained_cfg", None) or {}).get("input_size", (3, 224, 224))[-1]
    if family in READERS:
        network: Architecture = load(READERS[family])(model, size)
        return network
    if family not in ("EfficientNet", "MobileNetV3"):
        raise ArchitectureError(
            "Networks of timm's EfficientNet and MobileNetV3, RepVGG and MobileOne, EfficientFormer, SHViT, GhostNet "
            f"and FasterNet are read, this is of {family}."
        )
    parts: list[Part] = [("conv_stem", partial(_stem, model))]
    for stage, run in enumerate(model.blocks):
        parts += [(f"blocks.{stage}.{place}", partial(_block, block)) for place, block in enumerate(run)]
    return chained(model, size, [*parts, ("conv_head", partial(_head, model, family == "MobileNetV3"))])


Part = tuple[str, Callable[[], dict[str, Any]]]
"""The name of a module that is a layer, and what reads its settings; that raises `_OtherModuleError`."""


def chained(model: Any, size: int, parts: Iterable[Part]) -> Architecture:
    """The network of these layers, with the conventions of the model; raises as `from_timm` does."""
    colours = next(module.in_channels for module in model.modules() if hasattr(module, "in_channels"))
    shape: tuple[int, ...] = (colours, size, size)
    conventions = _conventions(model)
    layers: list[Layer] = []
    for name, read in parts:
        channels, height, width = shape
        try:
            layers.append(Layer(in_channels=channels, height=height, width=width, **read(), **conventions))
            shape = shape if is_head(layers[-1].kind) else layers[-1].output
        except (_OtherModuleError, ArchitectureError) as problem:
            raise ArchitectureError(f"{name} of this timm network: {problem}") from None
    return Architecture(colours, size, size, tuple(layers))


class _OtherModuleError(Exception):
    """What no layer stands for."""


def _stem(model: Any) -> dict[str, Any]:
    return {
        "kind": "conv",
        "out_channels": model.conv_stem.out_channels,
        **_conv(model.conv_stem),
        "activation": _activation(model.bn1),
    }


def _head(model: Any, pooled: bool) -> dict[str, Any]:
    if pooled:
        _only(_activation(getattr(model, "norm_head", None)), "none", "a head with normalisation")
        settings: dict[str, Any] = {"kind": "pooled_head", "activation": _activation_of(model.act2)}
        settings |= {} if model.conv_head.bias is not None else {"head_bias": False}
    else:
        settings = {"kind": "head", "activation": _activation(model.bn2)}
        _only(_conv(model.conv_head)["kernel"], 1, "a head with a kernel")
    _only(type(model.classifier).__name__, "Linear", "a network without a classifier")
    return {**settings, "out_channels": model.classifier.out_features, "mid_channels": model.conv_head.out_channels}


def _block(block: Any) -> dict[str, Any]:
    kind = type(block).__name__
    match kind:
        case "ConvBnAct":
            settings = {"kind": "conv", "activation": _activation(block.bn1)}
            settings |= _conv(block.conv) | {"out_channels": block.conv.out_channels}
        case "DepthwiseSeparableConv":
            _only(block.has_pw_act, False, "an activation after the pointwise convolution")
            _only(block.conv_s2d, None, "space to depth")
            settings = _bottleneck("sepconv", block, block.conv_dw, block.bn1, block.conv_pw, block.bn2)
        case "InvertedResidual":
            _only(block.conv_s2d, None, "space to depth")
            settings = _bottleneck("mbconv", block, block.conv_dw, block.bn2, block.conv_pwl, block.bn3)
            _only(_activation(block.bn1), settings["activation"], "two activations in a block")
            expand = _conv(block.conv_pw)
            _only((expand["kernel"], expand["groups"]), (1, 1), "an expansion with a kernel or groups")
        case "EdgeResidual":
            settings = _bottleneck("fused", block, block.conv_exp, block.bn1, block.conv_pwl, block.bn2)
        case _:
            raise _OtherModuleError(f"no block of nas is a {kind}.")
    if "aa" in block._modules:
        _only(type(block.aa).__name__, "Identity", "anti-aliasing")
    return {**settings, "residual": bool(block.has_skip)}


def _bottleneck(kind: str, block: Any, spatial: Any, norm: Any, last: Any, last_norm: Any) -> dict[str, Any]:
    """Settings of a block with a convolution over pixels, and a projection."""
    _only(_activation(last_norm), "none", "an activation after the projection")
    project = _conv(last)
    _only((project["kernel"], project["stride"], project["groups"]), (1, 1, 1), "a projection with a kernel or groups")
    settings = _conv(spatial)
    depthwise = kind != "fused"
    _only(settings.pop("groups"), spatial.in_channels if depthwise else 1, "groups in a convolution over pixels")
    settings |= {
        "kind": kind,
        "activation": _activation(norm),
        "mid_channels": spatial.out_channels,
        "out_channels": last.out_channels,
    }
    if type(block.se).__name__ == "Identity":
        return settings
    _only(type(block.se).__name__, "SqueezeExcite", "attention of another kind")
    squeezed = block.se.conv_reduce.out_channels
    inner = _activation_of(block.se.act1)
    return {**settings, "se_channels": squeezed, "se_gate": _activation_of(block.se.gate), "se_activation": inner}


def _conv(conv: Any) -> dict[str, Any]:
    """Kernel, stride and groups of a convolution."""
    if type(conv).__name__ not in ("Conv2d", "Conv2dSame"):
        raise _OtherModuleError(f"no op of nas is a {type(conv).__name__}.")
    (kernel, other), (stride, beside) = conv.kernel_size, conv.stride
    _only((kernel, stride), (other, beside), "a kernel or stride that is not square")
    _only(conv.bias, None, "a bias beside normalisation")
    _only(tuple(conv.dilation), (1, 1), "dilation")
    if type(conv).__name__ == "Conv2d" and tuple(conv.padding) != (kernel // 2, kernel // 2):
        raise _OtherModuleError(f"padding is kernel // 2 or `same`, got {conv.padding} for kernel {kernel}.")
    return {"kernel": kernel, "stride": stride, "groups": conv.groups}


def _conventions(model: Any) -> dict[str, Any]:
    """How all of its layers normalise and pad."""
    modules = list(model.modules())
    # timm pads a convolution of stride 1 alike on all sides, where both ways agree
    padded = {type(m).__name__ == "Conv2dSame" for m in modules if getattr(m, "stride", 1) == (2, 2)}
    found: dict[str, set[Any]] = {
        "norm_eps": {float(module.eps) for module in modules if hasattr(module, "running_var")},
        "padding": {"same" if same else "symmetric" for same in padded},
    }
    for name, values in found.items():
        if len(values) != 1:
            raise ArchitectureError(f"Layers of a network share one `{name}`, this timm network has {sorted(values)}.")
    return {name: next(iter(values)) for name, values in found.items()}


def _activation(norm: Any) -> str:
    """That of a norm with an activation inside."""
    return "none" if norm is None else _activation_of(getattr(norm, "act", norm if not hasattr(norm, "eps") else None))


def _activation_of(module: Any) -> str:
    name = type(module).__name__
    if name not in ACTIVATIONS:
        raise _OtherModuleError(f"no activation of nas is a {name}.")
    return ACTIVATIONS[name]


def _only(value: object, wanted: object, what: str) -> None:
    if value != wanted:
        raise _OtherModuleError(f"no block of nas has {what}.")

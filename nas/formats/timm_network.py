"""A network that timm builds, as an Architecture: read off its modules, so that it is the one that is built."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from nas.blocks.architecture import Architecture
from nas.blocks.block import is_head
from nas.blocks.excitation import eca_kernel
from nas.blocks.layer import NORM_EPS, Layer
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
CONVOLUTIONS = ("Conv2d", "Conv2dSame")
MIXED = "MixedConv2d"
"""timm's class of convolutions with several kernels."""
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
        return _dropping(load(READERS[family])(model, size), model)
    if family not in ("EfficientNet", "MobileNetV3"):
        raise ArchitectureError(
            "Networks of timm's EfficientNet and MobileNetV3, RepVGG and MobileOne, EfficientFormer, SHViT, GhostNet "
            f"and FasterNet are read, this is of {family}."
        )
    parts: list[Part] = [("conv_stem", partial(_stem, model))]
    for stage, run in enumerate(model.blocks):
        parts += [(f"blocks.{stage}.{place}", partial(_block, block)) for place, block in enumerate(run)]
    parts.append(("conv_head", partial(_head, model, family == "MobileNetV3")))
    return _dropping(chained(model, size, parts), model)


def _dropping(network: Architecture, model: Any) -> Architecture:
    """The network with what the model drops before its classifier."""
    share: Any = getattr(model, "drop_rate", None) or getattr(getattr(model, "head_drop", None), "p", 0.0)
    return replace(network, layers=(*network.layers[:-1], network.layers[-1].changed(dropout=float(share))))


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
    settings: dict[str, Any]
    if pooled:
        normed = hasattr(model.norm_head, "eps")
        settings = {"kind": "pooled_head", "head_norm": normed}
        settings |= {"activation": _activation(model.norm_head) if normed else _activation_of(model.act2)}
        settings |= {"head_bias": False} if not normed and model.conv_head.bias is None else {}
    elif type(model.conv_head).__name__ == "Identity":
        settings = {"kind": "head"}
    else:
        settings = {"kind": "head", "activation": _activation(model.bn2)}
        _only(_conv(model.conv_head)["kernel"], 1, "a head with a kernel")
    _only(type(model.classifier).__name__, "Linear", "a network without a classifier")
    settings["mid_channels"] = getattr(model.conv_head, "out_channels", 0)
    return {**settings, "out_channels": model.classifier.out_features}


def _block(block: Any) -> dict[str, Any]:
    kind = type(block).__name__
    match kind:
        case "ConvBnAct":
            settings = {"kind": "conv", "activation": _activation(block.bn1)}
            settings |= _conv(block.conv) | {"out_channels": block.conv.out_channels}
        case "DepthwiseSeparableConv":
            kind = "s2d" if block.conv_s2d is not None else "dsa" if block.has_pw_act else "sepconv"
            settings = _bottleneck(kind, block, block.conv_dw, block.bn1, block.conv_pw, block.bn2)
            settings |= _unfolded(block, settings["activation"]) if kind == "s2d" else {}
        case "InvertedResidual":
            _only(block.conv_s2d, None, "space to depth")
            expand, project = _conv(block.conv_pw), _conv(block.conv_pwl)
            mixed = type(block.conv_dw).__name__ == MIXED or expand["groups"] != project["groups"]
            kind = "mixconv" if mixed else "mbconv"
            settings = _bottleneck(kind, block, block.conv_dw, block.bn2, block.conv_pwl, block.bn3)
            _only(_activation(block.bn1), settings["activation"], "two activations in a block")
            _only(expand["kernel"], 1, "an expansion with a kernel")
            settings |= {"groups": expand["groups"]} | ({"project_groups": project["groups"]} if mixed else {})
        case "EdgeResidual":
            settings = _bottleneck("fused", block, block.conv_exp, block.bn1, block.conv_pwl, block.bn2)
        case "UniversalInvertedResidual":
            settings = _universal(block)
        case "MobileAttention":
            settings = _attention(block)
        case _:
            raise _OtherModuleError(f"no block of nas is a {kind}.")
    return {**settings, **_filter(getattr(block, "aa", None)), "residual": bool(block.has_skip)}


def _bottleneck(kind: str, block: Any, spatial: Any, norm: Any, last: Any, last_norm: Any) -> dict[str, Any]:
    """Settings of a block with a convolution over pixels, and a projection."""
    activation = _activation(norm)
    _only(_activation(last_norm), activation if kind == "dsa" else "none", "such an activation after the projection")
    project = _conv(last)
    settings = _conv(spatial)
    _only((project["kernel"], project["stride"]), (1, 1), "a projection with a kernel")
    if kind not in ("mbconv", "mixconv"):
        _only(project["groups"], 1, "a projection in groups")
    if kind != "fused":
        _only(settings.pop("groups"), spatial.in_channels, "groups in a convolution over pixels")
    widths = {"mid_channels": spatial.out_channels, "out_channels": last.out_channels}
    return {**settings, **widths, "kind": kind, "activation": activation, **_squeeze(block, spatial.out_channels)}


def _unfolded(block: Any, activation: str) -> dict[str, Any]:
    """What a convolution over squares of pixels in front of a separable one changes of its settings."""
    first, own = block.conv_s2d, block.conv_dw
    _only((first.kernel_size, first.stride, type(first).__name__), ((2, 2), (2, 2), "Conv2dSame"), "such a first part")
    _only((_activation(block.bn_s2d), tuple(own.stride)), (activation, (1, 1)), "a second stride or activation")
    return {"kernel": 2 * own.kernel_size[0] - 1, "stride": 2}


def _universal(block: Any) -> dict[str, Any]:
    _only(type(block.dw_end).__name__, "Identity", "a depthwise convolution after the projection")
    expand, project = block.pw_exp, block.pw_proj
    found = {"kind": "uir", "activation": _activation(expand.bn), **_squeeze(block, expand.conv.out_channels)}
    found |= {"mid_channels": expand.conv.out_channels, "out_channels": project.conv.out_channels}
    for name, part, activation in (
        ("kernel", block.dw_mid, found["activation"]),
        ("start_kernel", block.dw_start, "none"),
    ):
        if type(part).__name__ == "Identity":
            continue
        settings = _conv(part.conv)
        _only(settings["groups"], part.conv.in_channels, "groups in a convolution over pixels")
        _only(_activation(part.bn), activation, "such an activation of a depthwise convolution")
        found[name] = settings["kernel"]
        filtered = _filter(part.aa)
        if settings["stride"] > 1 or filtered:
            found |= {"stride": settings["stride"], **filtered}
    _only((_conv(expand.conv)["groups"], _conv(project.conv)["groups"]), (1, 1), "groups in a projection")
    return found | {"layer_scale": _scaled(block)}


def _attention(block: Any) -> dict[str, Any]:
    _only(block.conv_cpe_dw, None, "positions by a convolution")
    _only(type(block.attn).__name__, "MultiQueryAttention2d", "attention of another kind")
    attention = block.attn
    _only(attention.value_dim, attention.key_dim, "values of another width than keys")
    _only(block.has_query_stride, False, "queries of fewer pixels")
    down = {"kernel": _conv(attention.key.down_conv)["kernel"]} if attention.kv_stride > 1 else {}
    heads = {"heads": attention.num_heads, "key_dim": attention.key_dim, "key_stride": attention.kv_stride}
    width = attention.output.proj.out_channels
    return {"kind": "mqa", "out_channels": width, **down, **heads, "layer_scale": _scaled(block)}


def _scaled(block: Any) -> bool:
    return type(block.layer_scale).__name__ == "LayerScale2d"


def _filter(module: Any) -> dict[str, Any]:
    """Settings of anti-aliasing, which takes the stride; none where there is none."""
    match type(module).__name__:
        case "NoneType" | "Identity":
            return {}
        case "AvgPool2d":
            return {"anti_alias": "average", "stride": module.stride}
        case "BlurPool2d":
            found = (module.filt_size, module.stride, module.pad_mode)
            _only(found, (3, 2, "constant"), "blurring of another kind")
            return {"anti_alias": "blur", "stride": 2}
        case name:
            raise _OtherModuleError(f"no op of nas is a {name}.")


def _squeeze(block: Any, width: int) -> dict[str, Any]:
    """Settings of squeeze-and-excitation, or of what stands in its place, for so many channels."""
    if type(block.se).__name__ == "Identity":
        return {}
    if type(block.se).__name__ == "EcaModule":
        _only((block.se.conv.out_channels, block.se.conv2), (1, None), "an inner width of an eca")
        _only(block.se.conv.kernel_size[0], eca_kernel(width), "such a kernel of an eca")
        return {"excitation": "eca", "se_gate": _activation_of(block.se.gate)}
    _only(type(block.se).__name__, "SqueezeExcite", "attention of another kind")
    squeezed = block.se.conv_reduce.out_channels
    inner = _activation_of(block.se.act1)
    return {"se_channels": squeezed, "se_gate": _activation_of(block.se.gate), "se_activation": inner}


def _conv(conv: Any) -> dict[str, Any]:
    """Kernel, stride and groups of a convolution; of several also how many `kernels` there are."""
    if type(conv).__name__ == MIXED:
        return _mixed(conv)
    if type(conv).__name__ not in CONVOLUTIONS:
        raise _OtherModuleError(f"no op of nas is a {type(conv).__name__}.")
    (kernel, other), (stride, beside) = conv.kernel_size, conv.stride
    _only((kernel, stride), (other, beside), "a kernel or stride that is not square")
    _only(conv.bias, None, "a bias beside normalisation")
    _only(tuple(conv.dilation), (1, 1), "dilation")
    if type(conv).__name__ == "Conv2d" and tuple(conv.padding) != (kernel // 2, kernel // 2):
        raise _OtherModuleError(f"padding is kernel // 2 or `same`, got {conv.padding} for kernel {kernel}.")
    return {"kernel": kernel, "stride": stride, "groups": conv.groups}


def _mixed(conv: Any) -> dict[str, Any]:
    """Of a convolution in parts: equal ones are groups, depthwise ones have kernels that grow by 2."""
    parts = [_conv(part) for part in conv.values()]
    widths = {(part.in_channels, part.out_channels) for part in conv.values()}
    kernels, count = [part["kernel"] for part in parts], len(parts)
    found = {"stride": parts[0]["stride"], "kernel": kernels[-1]}
    if {part["groups"] for part in parts} == {1} and set(kernels) == {1} and len(widths) == 1:
        return found | {"groups": count}
    depthwise = all(part["groups"] == own.in_channels for part, own in zip(parts, conv.values(), strict=True))
    _only(depthwise and kernels, list(range(kernels[0], kernels[0] + 2 * count, 2)), "a mixed convolution of that kind")
    return found | {"groups": conv.in_channels, "kernels": count}


def _conventions(model: Any) -> dict[str, Any]:
    """How all of its layers normalise and pad."""
    modules = list(model.modules())
    # timm pads a convolution of stride 1 alike on all sides, where both ways agree
    strided = [m for m in modules if getattr(m, "stride", 1) == (2, 2) and type(m).__name__ in CONVOLUTIONS]
    padded = {type(m).__name__ == "Conv2dSame" for m in strided if m.kernel_size != (2, 2)}  # those are of s2d
    found: dict[str, set[Any]] = {
        "norm_eps": {float(module.eps) for module in modules if hasattr(module, "running_var")} or {NORM_EPS},
        "padding": {"same" if same else "symmetric" for same in padded or {False}},
    }
    for name, values in found.items():
        if len(values) != 1:
            raise ArchitectureError(f"Layers of a network share one `{name}`, this timm network has {sorted(values)}.")
    return {name: next(iter(values)) for name, values in found.items()}


def _activation(norm: Any) -> str:
    """That of a norm with an activation inside."""
    if hasattr(norm, "eps") and not hasattr(norm, "running_var"):
        raise _OtherModuleError(f"no normalisation of nas is a {type(norm).__name__}.")
    return "none" if norm is None else _activation_of(getattr(norm, "act", norm if not hasattr(norm, "eps") else None))


def _activation_of(module: Any) -> str:
    name = type(module).__name__
    if name not in ACTIVATIONS:
        raise _OtherModuleError(f"no activation of nas is a {name}.")
    return ACTIVATIONS[name]


def _only(value: object, wanted: object, what: str) -> None:
    if value != wanted:
        raise _OtherModuleError(f"no block of nas has {what}.")

"""Networks of timm's `ByobNet` whose blocks are re-parameterized: RepVGG and MobileOne."""

from __future__ import annotations

from typing import Any

from nas.blocks.architecture import Architecture
from nas.blocks.layer import NORM_EPS, Layer
from nas.errors import ArchitectureError
from nas.formats.timm_network import ACTIVATIONS


def from_byobnet(model: Any, size: int) -> Architecture:
    """The network, merged, for square pictures of `size` pixels. Raises `ArchitectureError` as `from_timm` does."""
    blocks = [("stem", model.stem)]
    blocks += [(f"stages.{n}.{place}", block) for n, run in enumerate(model.stages) for place, block in enumerate(run)]
    epsilons = {float(module.eps) for module in model.modules() if hasattr(module, "running_var")} or {NORM_EPS}
    if len(epsilons) > 1:
        raise ArchitectureError(f"Layers of a network share one `norm_eps`, this timm network has {sorted(epsilons)}.")
    (norm_eps,) = epsilons
    layers: list[Layer] = []
    for name, block in blocks:
        channels, height, width = layers[-1].output if layers else (model.in_chans, size, size)
        settings = _block(name, block, norm_eps)
        layers.append(Layer(in_channels=channels, height=height, width=width, **settings))
    _only("final_conv", type(model.final_conv).__name__, "Identity")
    _only("head", type(model.head).__name__, "ClassifierHead")
    _only("head.global_pool", model.head.global_pool.pool_type, "avg")
    _only("head.fc", type(model.head.fc).__name__, "Linear")
    channels, height, width = layers[-1].output
    head: dict[str, Any] = {
        "out_channels": model.head.fc.out_features,
        "mid_channels": 0,
        "height": height,
        "width": width,
    }
    layers.append(Layer(kind="head", in_channels=channels, classifier_bias=model.head.fc.bias is not None, **head))
    return Architecture(model.in_chans, size, size, tuple(layers))


def _block(name: str, block: Any, norm_eps: float) -> dict[str, Any]:
    kind = type(block).__name__
    if kind not in ("MobileOneBlock", "RepVggBlock"):
        raise ArchitectureError(f"{name} of this timm network: no block of nas is a {kind} of ByobNet.")
    conv, branches = block.reparam_conv, 1
    if conv is None:
        alike = block.conv_kxk if kind == "MobileOneBlock" else [block.conv_kxk]
        conv, branches = alike[0].conv, len(alike)
    if type(conv).__name__ != "Conv2d" or conv.kernel_size[0] != conv.kernel_size[1] or conv.dilation != (1, 1):
        raise ArchitectureError(f"{name} of this timm network: a kernel is square and not dilated, got {conv}.")
    found: dict[str, Any] = {
        "kind": "rep",
        "out_channels": conv.out_channels,
        "kernel": conv.kernel_size[0],
        "stride": conv.stride[0],
        "groups": conv.groups,
        "activation": ACTIVATIONS.get(type(block.act).__name__, type(block.act).__name__),
        "branches": branches,
        "norm_eps": norm_eps,
    }
    if type(block.attn).__name__ == "Identity":
        return found
    _only(f"{name}.attn", type(block.attn).__name__, "SEModule")
    _only(f"{name}.attn.bn", type(block.attn.bn).__name__, "Identity")
    _only(f"{name}.attn.add_maxpool", block.attn.add_maxpool, False)
    gate, inner = (ACTIVATIONS.get(type(part).__name__, "") for part in (block.attn.gate, block.attn.act))
    squeezed = block.attn.fc1.out_channels
    return {**found, "se_channels": squeezed, "se_gate": gate, "se_activation": inner}


def _only(name: str, value: object, wanted: object) -> None:
    if value != wanted:
        raise ArchitectureError(f"{name} of this timm network: it is {wanted} where blocks merge, got {value}.")

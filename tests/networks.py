"""Random networks and random weights for the tests of blocks and exports."""

from __future__ import annotations

from math import gcd

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from nas.blocks import Architecture, Layer
from nas.blocks.layer import ACTIVATIONS, GATES, PADDINGS

CONVENTIONS = st.fixed_dictionaries(
    {
        "norm_eps": st.sampled_from((1e-5, 1e-3)),
        "padding": st.sampled_from(PADDINGS),
        "se_activation": st.sampled_from(("relu", "swish", "hard-swish")),
    }
)
WIDTHS = st.integers(1, 12)
BLOCKS = ("conv", "sepconv", "mbconv", "fused", "identity", "dsa", "uir", "mqa", "mixconv", "s2d")
HEADS = ("head", "pooled_head")


@st.composite
def layers(draw: st.DrawFn, kind: str, channels: int, height: int, width: int) -> Layer:
    """A layer of this kind for an input of this shape."""
    shape = {"kind": kind, "in_channels": channels, "height": height, "width": width}
    activation = draw(st.sampled_from(ACTIVATIONS))
    if kind in HEADS:
        mid = draw(WIDTHS if kind == "pooled_head" else st.integers(0, 12))
        if kind == "pooled_head":
            shape |= draw(st.sampled_from(({}, {"head_bias": False}, {"head_norm": True})))
        shape |= {"mid_channels": mid, "activation": activation if mid else "relu"}
        return Layer(**shape, out_channels=draw(WIDTHS), classifier_bias=draw(st.booleans()))
    if kind == "s2d":
        own = {"out_channels": draw(WIDTHS), "mid_channels": draw(WIDTHS), "kernel": draw(st.sampled_from((3, 5)))}
        return Layer(**shape, **own, stride=2, activation=activation, projection=draw(st.booleans()))
    if kind == "mqa":
        shape["out_channels"] = out = channels if draw(st.booleans()) else draw(WIDTHS)
        down = {"key_stride": draw(st.integers(2, 3)), "kernel": draw(st.sampled_from((1, 3, 5)))}
        own = {"heads": draw(st.integers(1, 3)), "key_dim": draw(st.integers(1, 5)), "layer_scale": draw(st.booleans())}
        residual = out == channels and draw(st.booleans())
        return Layer(**shape, **own, **(down if draw(st.booleans()) else {}), residual=residual)
    shape["stride"] = draw(st.sampled_from((1, 1, 2, 3)))
    shape["out_channels"] = out = channels if draw(st.booleans()) else draw(WIDTHS)
    if kind == "identity":
        return Layer(**shape)
    shape |= {"kernel": draw(st.sampled_from((1, 3, 5, 7))), "activation": activation}
    same = shape["stride"] == 1 and out == channels
    shape["residual" if same else "projection"] = draw(st.booleans())
    if shape["stride"] == 2:
        odd = min(height, width) == 1 or shape.get("projection")  # an average drops the last of odd sides
        shape["anti_alias"] = draw(st.sampled_from(("none", "blur") if odd else ("none", "blur", "average")))
    common = gcd(channels, out)
    groups = draw(st.sampled_from([n for n in range(1, common + 1) if common % n == 0]))
    if kind == "conv":
        return Layer(**shape, groups=groups)
    shape["se_channels"] = draw(st.integers(0, 3))
    if shape["se_channels"]:
        shape["se_gate"] = draw(st.sampled_from(GATES))
    if kind in ("sepconv", "dsa"):
        return Layer(**shape, mid_channels=channels)
    if kind == "fused":
        return Layer(**shape, mid_channels=groups * draw(st.integers(1, 4)), groups=groups)
    if kind == "uir":
        inside = shape["stride"] > 1 or draw(st.booleans())
        shape["kernel"] *= inside
        start, scaled = draw(st.sampled_from((0, 1, 3, 5))), draw(st.booleans())
        if start and shape["stride"] > 1 and draw(st.booleans()):
            shape["kernel"] = 0  # the stride is then of the first
        return Layer(**shape, mid_channels=draw(WIDTHS), start_kernel=start, layer_scale=scaled)
    if kind == "mixconv":
        kernels = draw(st.integers(1, min(4, shape["kernel"] // 2 + 1)))
        ends = {"groups": groups, "project_groups": 1}
        if kernels == 1 and groups == 1:
            return Layer(**shape | {"kind": "mbconv"}, mid_channels=draw(WIDTHS))
        mid = groups * draw(st.integers(-(-kernels // groups), 4))
        return Layer(**shape, mid_channels=mid, kernels=kernels, **ends)
    return Layer(**shape, mid_channels=groups * draw(st.integers(1, 4)), groups=groups)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """A chain of one to five layers of any kinds, with or without a head."""
    start = draw(WIDTHS), draw(st.integers(1, 11)), draw(st.integers(1, 11))
    kinds = draw(st.lists(st.sampled_from(BLOCKS), max_size=4))
    kinds += draw(st.lists(st.sampled_from(HEADS), min_size=0 if kinds else 1, max_size=1))
    chain: list[Layer] = []
    for kind in kinds:
        chain.append(draw(layers(kind, *(chain[-1].output if chain else start))))
    shared = draw(CONVENTIONS)
    return Architecture(*start, tuple(layer.changed(**shared) for layer in chain))


def randomize(network: nn.Module, seed: int) -> nn.Module:
    """Random weights, biases and normalisation statistics, in evaluation mode."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                values = rng.uniform(0.5, 2, tuple(tensor.shape))
            elif tensor.is_floating_point():
                values = rng.normal(0, 1 / np.sqrt(np.prod(tensor.shape[1:])), tuple(tensor.shape))
            else:
                continue
            tensor.copy_(torch.from_numpy(np.asarray(values)))
    return network.eval()


def picture(architecture: Architecture, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """A random input, N,C,H,W."""
    shape = (batch, architecture.channels, architecture.height, architecture.width)
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))

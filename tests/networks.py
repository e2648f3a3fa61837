"""Random networks and random weights for the tests of blocks and exports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import gcd
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from nas.blocks import Architecture, Layer
from nas.blocks.cell import EDGES, MOST_NODES, edges
from nas.blocks.layer import ACTIVATIONS, GATES, PADDINGS
from nas.errors import ArchitectureError
from nas.runs.proportions import scaled

CONVENTIONS = st.fixed_dictionaries(
    {
        "norm_eps": st.sampled_from((1e-5, 1e-3)),
        "padding": st.sampled_from(PADDINGS),
        "se_activation": st.sampled_from(("relu", "swish", "hard-swish")),
    }
)
WIDTHS = st.integers(1, 12)
ATTENTION = ("mhsa", "moat", "shsa", "poolformer")
PLAIN = ("conv", "sepconv", "mbconv", "fused", "tucker", "identity", "rep", "ghost", "pconv", "patch", "pool", "shift")
MOBILE = ("dsa", "uir", "mqa", "mixconv", "s2d")
PREACTIVATED = ("cell", "preact", "norm")
BLOCKS = (*PLAIN, *MOBILE, *ATTENTION, *PREACTIVATED)
HEADS = ("head", "pooled_head", "norm_head")
HEADS_OF = {
    "heads": st.integers(1, 3),
    "key_channels": st.integers(1, 5),
    "value_channels": st.integers(1, 5),
    "window": st.integers(0, 4),
    "positions": st.sampled_from(("none", "distance", "offset")),
}


def _attending(kind: str, out: int) -> st.SearchStrategy[dict[str, Any]]:
    """Settings of a block with attention, or with pooling in its place, for an output of this width."""
    common: dict[str, st.SearchStrategy[Any]] = {"mid_channels": WIDTHS}
    if kind == "mhsa":
        return st.fixed_dictionaries({**common, **HEADS_OF, "layer_scale": st.booleans()})
    common["kernel"] = st.sampled_from((1, 3, 5, 7))
    if kind == "poolformer":
        return st.fixed_dictionaries({**common, "layer_scale": st.booleans(), "conv_bias": st.booleans()})
    if kind == "moat":
        common["se_channels"] = st.integers(0, 3)
    if kind == "shsa" and out < 3:  # one value by itself is normalised to nothing but its rounding
        return st.fixed_dictionaries(common)
    some = HEADS_OF if kind == "moat" else {"part_channels": st.integers(2, out - 1), "key_channels": WIDTHS}
    return st.fixed_dictionaries({**common, **some}) | st.fixed_dictionaries(common)


@st.composite
def _preactivated(draw: st.DrawFn, shape: dict[str, Any], activation: str) -> Layer:
    """A layer whose activations stand before its convolutions."""
    shape |= {"out_channels": shape["in_channels"], "activation": activation}
    if shape["kind"] == "cell":
        nodes = draw(st.integers(2, MOST_NODES))
        return Layer(**shape, nodes=nodes, **{edge: draw(st.sampled_from(EDGES)) for edge in edges(nodes)})
    if shape["kind"] == "preact":
        stride = draw(st.sampled_from((1, 1, 2, 3)))
        whole = shape["height"] % stride == shape["width"] % stride == 0
        shape |= {"stride": stride if whole else 1, "out_channels": draw(WIDTHS)}
        return Layer(**shape, kernel=draw(st.sampled_from((1, 3))))
    return Layer(**shape)


@st.composite
def layers(draw: st.DrawFn, kind: str, channels: int, height: int, width: int) -> Layer:
    """A layer of this kind for an input of this shape."""
    shape = {"kind": kind, "in_channels": channels, "height": height, "width": width}
    some = height * width > 80  # a few values are near each other
    evolved = some and kind not in ("pooled_head", "rep", *ATTENTION, *PREACTIVATED)
    activation = draw(st.sampled_from([name for name in ACTIVATIONS if evolved or name != "evonorm"]))
    if kind == "norm_head":
        words = {"norm_kind": draw(st.sampled_from(("layer", "batch"))), "pool_first": draw(st.booleans())}
        return Layer(**shape, **words, out_channels=draw(WIDTHS), classifiers=draw(st.integers(1, 3)))
    if kind in HEADS:
        mid = draw(WIDTHS if kind == "pooled_head" else st.integers(0, 12))
        if kind == "pooled_head":
            shape |= draw(st.sampled_from(({}, {"head_bias": False}, {"head_norm": True})))
        shape |= {"mid_channels": mid, "activation": activation if mid else "relu"}
        return Layer(**shape, out_channels=draw(WIDTHS), classifier_bias=draw(st.booleans()))
    if kind in PREACTIVATED:
        return draw(_preactivated(shape, activation))
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
    if kind in ("identity", "patch"):
        return Layer(**shape)
    if kind == "pconv":
        stride = shape.pop("stride")
        residual = stride == 1 and out == channels and draw(st.booleans())
        n_div = draw(st.integers(1, min(channels, 4)))
        shape |= {"kernel": draw(st.sampled_from((1, 3, 5))), "n_div": n_div, "mid_channels": draw(WIDTHS)}
        return Layer(**shape, activation=activation, residual=residual)
    if kind in ATTENTION:
        return Layer(**shape, **draw(_attending(kind, out)), activation=activation)
    if kind == "rep":
        return draw(reps(shape))
    shape |= {"kernel": draw(st.sampled_from((1, 3, 5, 7))), "activation": activation}
    same = shape["stride"] == 1 and out == channels
    shape["residual" if same else "projection"] = draw(st.booleans())
    if kind == "tucker":
        return Layer(**shape, mid_channels=draw(WIDTHS), rank_channels=draw(WIDTHS))
    if shape["stride"] == 2 and kind not in ("ghost", "pool", "shift"):
        odd = min(height, width) == 1 or shape.get("projection")  # an average drops the last of odd sides
        shape["anti_alias"] = draw(st.sampled_from(("none", "blur") if odd else ("none", "blur", "average")))
    common = gcd(channels, out)
    groups = draw(st.sampled_from([n for n in range(1, common + 1) if common % n == 0]))
    if kind == "conv":
        return Layer(**shape, groups=groups)
    shape["se_channels"] = draw(st.integers(0, 3))
    if shape["se_channels"]:
        shape["excitation"] = draw(st.sampled_from(("se", "scse")))
    elif draw(st.booleans()):
        shape["excitation"] = "eca"
    if shape["se_channels"] or "excitation" in shape:
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
    if kind == "ghost":
        shape["dfc"] = min(height, width) > 1 and draw(st.booleans())
    if kind == "pool":
        shape["pooling"] = draw(st.sampled_from(("max", "average")))
    if kind == "shift":
        shape["kernel"] = draw(st.sampled_from((3, 5)))
        return Layer(**shape, mid_channels=shape["kernel"] ** 2 + draw(st.integers(0, 12)))
    if kind in ("ghost", "pool"):
        return Layer(**shape, mid_channels=draw(WIDTHS))
    return Layer(**shape, mid_channels=groups * draw(st.integers(1, 4)), groups=groups)


@st.composite
def reps(draw: st.DrawFn, shape: dict[str, Any]) -> Layer:
    """A re-parameterized layer of this input, width and stride."""
    depthwise, squeezed = draw(st.booleans()), draw(st.integers(0, 2))
    common = gcd(shape["in_channels"], shape["out_channels"])
    groups = 1 if depthwise else draw(st.sampled_from([n for n in range(1, common + 1) if common % n == 0]))
    return Layer(
        **shape,
        kernel=draw(st.sampled_from(range(1, 14, 2))),
        groups=groups,
        depthwise=depthwise,
        se_channels=squeezed,
        se_gate=draw(st.sampled_from(GATES)) if squeezed else "sigmoid",
        activation=draw(st.sampled_from([name for name in ACTIVATIONS if name != "evonorm"])),
        branches=draw(st.integers(1, 3)),
        small_kernel=draw(st.sampled_from((1, 3, 5))),
        identity=draw(st.booleans()),
    )


@st.composite
def architectures(draw: st.DrawFn, within: Sequence[str] = BLOCKS, heads: Sequence[str] = HEADS) -> Architecture:
    """A chain of one to five layers of these kinds, with or without a head."""
    start = draw(WIDTHS), draw(st.integers(1, 11)), draw(st.integers(1, 11))
    kinds = draw(st.lists(st.sampled_from(within), max_size=4))
    kinds += draw(st.lists(st.sampled_from(heads), min_size=0 if kinds else 1, max_size=1))
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


def scaled_or_told(whole: Architecture, width: float, depth: float = 1.0) -> Architecture | None:
    """The network scaled; None where it says that one of two kinds has no such width: a shift needs a channel for each
    place of its kernel, and a mixconv of one kernel has other groups at its ends."""
    try:
        return scaled(whole, width, depth)
    except ArchitectureError as problem:
        told = re.match(r"Layer \d+ \((shift|mixconv)\) cannot .*: A (shift moves|mixconv layer of one)", str(problem))
        if told is None:
            raise
        found = [layer for layer in whole.layers if layer.kind == told[1]]
        if told[1] == "shift":
            assert any(width * layer.mid_channels < layer.kernel**2 + 8 for layer in found)
        else:
            assert any(layer.groups > 1 or layer.project_groups > 1 for layer in found)
        return None

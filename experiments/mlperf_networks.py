"""The networks of MLPerf Inference's open edge results as ours: MobileNetV1, V2, V3 and EfficientNet-Lite.

MobileNets are TF-slim's (1001 classes; tensorflow/models research/slim/nets/mobilenet), EfficientNet-Lite is
tensorflow/tpu's. A network is an arch-def, at any width and resolution that its rows have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil
from typing import Any

from nas.blocks.architecture import Architecture
from nas.formats.archdef import parse_archdef
from nas.formats.blockstring import make_divisible

MOBILENET_V1 = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024))
"""Strides and channels."""
MOBILENET_V2 = (
    "ds_r1_k3_s1_e1_c16", "ir_r2_k3_s2_e6_c24", "ir_r3_k3_s2_e6_c32", "ir_r4_k3_s2_e6_c64", "ir_r3_k3_s1_e6_c96",
    "ir_r3_k3_s2_e6_c160", "ir_r1_k3_s1_e6_c320",
)  # fmt: skip
MOBILENET_V3 = {
    "large": (
        "ds_r1_k3_s1_e1_c16_nre", "ir_r1_k3_s2_e4_c24_nre ir_r1_k3_s1_e3_c24_nre", "ir_r3_k5_s2_e3_c40_se0.25_nre",
        "ir_r1_k3_s2_e6_c80 ir_r1_k3_s1_e2.5_c80 ir_r2_k3_s1_e2.3_c80", "ir_r2_k3_s1_e6_c112_se0.25",
        "ir_r3_k5_s2_e6_c160_se0.25", "cn_r1_k1_s1_c960",
    ),
    "small": (
        "ds_r1_k3_s2_e1_c16_se0.25_nre", "ir_r1_k3_s2_e4.5_c24_nre ir_r1_k3_s1_e3.67_c24_nre",
        "ir_r1_k5_s2_e4_c40_se0.25 ir_r2_k5_s1_e6_c40_se0.25", "ir_r2_k5_s1_e3_c48_se0.25",
        "ir_r3_k5_s2_e6_c96_se0.25", "cn_r1_k1_s1_c576",
    ),
}  # fmt: skip
FEATURES_V3 = {"large": 1280, "small": 1024}
EFFICIENTNET_LITE = (
    "ds_r1_k3_s1_e1_c16", "ir_r2_k3_s2_e6_c24", "ir_r2_k5_s2_e6_c40", "ir_r3_k3_s2_e6_c80", "ir_r3_k5_s1_e6_c112",
    "ir_r4_k5_s2_e6_c192", "ir_r1_k3_s1_e6_c320",
)  # fmt: skip
SCALES_LITE = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "lite3": (1.2, 1.4), "lite4": (1.4, 1.8)}
"""Width and depth; the first and the last stage keep their depth, stem and head their width."""


def network(family: str, variant: str, width: float, resolution: int) -> Architecture:
    """The network that a row names."""
    return parse_archdef(archdef(family, variant, width, resolution))


def archdef(family: str, variant: str, width: float, resolution: int) -> dict[str, Any]:
    """The same as the content of an arch-def file."""
    return _FAMILIES[family](variant, width) | {"resolution": resolution, "padding": "same", "norm_eps": 0.001}


def _v1(variant: str, width: float) -> dict[str, Any]:
    blocks = [[f"ds_r1_k3_s{stride}_e1_c{int(channels * width)}_noskip"] for stride, channels in MOBILENET_V1]
    ends = {"stem": int(32 * width), "head": 0, "num_classes": 1001}
    return ends | {"activation": "relu6", "round_to": 1, "blocks": blocks}


def _v2(variant: str, width: float) -> dict[str, Any]:
    ends = {"stem": make_divisible(32 * width, 8), "head": make_divisible(1280 * max(1, width), 8)}
    return ends | {"activation": "relu6", "num_classes": 1001, "blocks": _widened(MOBILENET_V2, width)}


def _v3(variant: str, width: float) -> dict[str, Any]:
    """Minimalistic ones have kernel 3, ReLU and no squeeze-and-excitation."""
    size, _, minimalistic = variant.partition("-")
    stages: Sequence[str] = MOBILENET_V3[size]
    if minimalistic:
        stages = [re.sub("_se0.25|_nre", "", stage).replace("_k5_", "_k3_") for stage in stages]
    ends = {"stem": make_divisible(16 * width, 8), "head": FEATURES_V3[size], "num_classes": 1001}
    ends |= {"se_gate": "hard-sigmoid", "se_from": "mid", "head_after_pool": True}
    return ends | {"activation": "relu" if minimalistic else "hard-swish", "blocks": _widened(stages, width)}


def _lite(variant: str, width: float) -> dict[str, Any]:
    wide, deep = SCALES_LITE[variant]
    first, *inner, last = EFFICIENTNET_LITE
    inner = [re.sub(r"_r(\d)", lambda repeats: f"_r{ceil(int(repeats[1]) * deep)}", stage) for stage in inner]
    ends = {"stem": 32, "head": 1280, "num_classes": 1000}
    return ends | {"activation": "relu6", "blocks": _widened([first, *inner, last], wide)}


def _widened(stages: Sequence[str], width: float) -> list[list[str]]:
    """Block strings of stages, their channels times a width."""

    def channels(found: re.Match[str]) -> str:
        return f"_c{make_divisible(int(found[1]) * width, 8)}"

    return [re.sub(r"_c(\d+)", channels, stage).split() for stage in stages]


_FAMILIES = {"mobilenet_v1": _v1, "mobilenet_v2": _v2, "mobilenet_v3": _v3, "efficientnet_lite": _lite}

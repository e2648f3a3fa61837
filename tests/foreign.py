"""Networks and lookup tables as once-for-all, ProxylessNAS and MCUNet publish them, written small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MCUNET_IN2 = (
    *((16, 8, 3, 1, 1, None), (8, 16, 5, 2, 3, 24), (16, 16, 7, 1, 6, 96), (16, 16, 3, 1, 5, 80)),
    *((16, 16, 5, 1, 5, 80), (16, 24, 3, 2, 5, 80), (24, 24, 7, 1, 6, 144), (24, 24, 5, 1, 6, 144)),
    *((24, 40, 7, 2, 4, 96), (40, 40, 5, 1, 5, 200), (40, 48, 3, 1, 5, 200), (48, 48, 5, 1, 5, 240)),
    *((48, 48, 3, 1, 4, 192), (48, 96, 5, 2, 6, 288), (96, 96, 5, 1, 4, 384), (96, 96, 5, 1, 3, 288)),
    *((96, 96, 3, 1, 4, 384), (96, 160, 5, 1, 5, 480)),
)
"""mcunet-256kb-1mb_imagenet.json of mit-han-lab/tinyml @e899b1b (MIT): input and output channels, kernel, stride,
expansion and inner channels of its blocks."""


def conv(width: int, out: int, kernel: int, stride: int = 1, act_func: str = "relu6", **keys: Any) -> dict[str, Any]:
    """A ConvLayer with every key that the older dialects write."""
    shape = {"in_channels": width, "out_channels": out, "kernel_size": kernel, "stride": stride, "act_func": act_func}
    plain = {"dilation": 1, "groups": 1, "bias": False, "has_shuffle": False, "use_bn": True, "dropout_rate": 0}
    return {"name": "ConvLayer", **plain, "ops_order": "weight_bn_act", **shape, **keys}


def identity(width: int) -> dict[str, Any]:
    """An IdentityLayer, its widths in lists as supernets write them."""
    return {"name": "IdentityLayer", "in_channels": [width], "out_channels": [width], "use_bn": False, "act_func": None}


def linear(width: int, out: int) -> dict[str, Any]:
    return {"name": "LinearLayer", "in_features": width, "out_features": out, "bias": True, "dropout_rate": 0.2}


def block(width: int, out: int, kernel: int, stride: int, expansion: float, mid: int | None) -> dict[str, Any]:
    """As ProxylessNAS and MCUNet write one."""
    shape = {"in_channels": width, "out_channels": out, "kernel_size": kernel, "stride": stride}
    inner = {"name": "MBInvertedConvLayer", **shape, "expand_ratio": expansion, "mid_channels": mid}
    shortcut = identity(width) if stride == 1 and width == out else None
    return {"name": "MobileInvertedResidualBlock", "mobile_inverted_conv": inner, "shortcut": shortcut}


def mcunet(blocks: Sequence[tuple[Any, ...]] = MCUNET_IN2, resolution: int | None = 160) -> dict[str, Any]:
    """MCUNet-in2, or a network of other blocks: pooling and the classifier follow the last one."""
    return {
        "name": "ProxylessNASNets",
        "bn": {"momentum": 0.1, "eps": 1e-5, "ws_eps": None},
        "first_conv": conv(3, 16, 3, 2),
        "blocks": [block(*row) for row in blocks],
        "feature_mix_layer": None,
        "classifier": linear(blocks[-1][1], 1000),
        **({} if resolution is None else {"resolution": resolution}),
    }


def mobilenet_v3() -> dict[str, Any]:
    """A network of once-for-all's MobileNetV3, as it writes one today, which does not tell its resolution."""

    def residual(
        width: int, out: int, kernel: int, stride: int, expansion: float, se: bool, act: str
    ) -> dict[str, Any]:
        shape = {"in_channels": width, "out_channels": out, "kernel_size": kernel, "stride": stride}
        inner = {"name": "MBConvLayer", **shape, "expand_ratio": expansion, "mid_channels": None, "groups": None}
        shortcut = identity(width) if stride == 1 and width == out else None
        return {"name": "ResidualBlock", "conv": {**inner, "use_se": se, "act_func": act}, "shortcut": shortcut}

    return {
        "name": "MobileNetV3",
        "bn": {"momentum": 0.1, "eps": 1e-5, "ws_eps": None},
        "first_conv": conv(3, 16, 3, 2, "h_swish", use_se=False),
        "blocks": [
            residual(16, 16, 3, 1, 1, False, "relu"),
            residual(16, 24, 5, 2, 4, True, "relu"),
            {"name": "ResidualBlock", "conv": {"name": "ZeroLayer"}, "shortcut": identity(24)},
            residual(24, 24, 7, 1, 6, True, "h_swish"),
        ],
        "final_expand_layer": conv(24, 144, 1, 1, "h_swish", use_se=False),
        "feature_mix_layer": conv(144, 192, 1, 1, "h_swish", use_bn=False, use_se=False),
        "classifier": linear(192, 10),
    }


def entry(mean: float, std: float = 0.25, count: int = 79) -> dict[str, float]:
    return {"mean": mean, "std": std, "count": count}


LOOKUP_V3 = {
    "Conv-input:33x33x3-output:17x17x16": entry(0.5254268537074148),
    "expanded_conv-input:17x17x16-output:17x17x16-expand:16-kernel:3-stride:1-idskip:1-se:0-hs:0": entry(0.8487194389),
    "expanded_conv-input:17x17x16-output:9x9x24-expand:64-kernel:5-stride:2-idskip:0-se:1-hs:0": entry(1.3160851780553),
    "expanded_conv-input:9x9x24-output:9x9x24-expand:144-kernel:7-stride:1-idskip:1-se:1-hs:1": entry(1.40019083798901),
    "Conv_1-input:9x9x24-output:9x9x144": entry(0.5312164328657315),
    "AvgPool2D-input:9x9x144-output:1x1x144": entry(0.01143866943866944, 0.0, 481),
    "Conv_2-input:1x1x144-output:1x1x192": entry(0.7511462925851703),
    "Logits-input:1x1x192-output:10": entry(0.6588316633266532),
}
"""Of `mobilenet_v3()` for pictures of 33 pixels, in the words of UoS-EEC/DynamicOFA's and once-for-all's tables."""

LOOKUP_PROXYLESS = {
    "Conv-input:32x32x3-output:16x16x16": {"mean": 1.5, "count": 50},
    "expanded_conv-input:16x16x16-output:16x16x8-expand:1-kernel:3-stride:1-idskip:0": {"mean": 2.25, "count": 50},
    "expanded_conv-input:16x16x8-output:8x8x16-expand:3-kernel:5-stride:2-idskip:0": {"mean": 3.125, "count": 40},
    "Conv_1-input:8x8x16-output:8x8x64": {"mean": 0.5, "count": 30},
    "Logits-input:8x8x64-output:1000": {"mean": 0.75, "count": 50},
}
"""In the words of ProxylessNAS's mobile_trim.yaml."""

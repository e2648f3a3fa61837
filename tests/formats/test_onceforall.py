"""Networks of once-for-all, ProxylessNAS and MCUNet: what they are here, and what is refused by name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from foreign import MCUNET_IN2, conv, mcunet, mobilenet_v3

from nas.blocks import Layer
from nas.blocks.architecture import Architecture
from nas.errors import ArchitectureError
from nas.formats.onceforall import parse_onceforall

SMALL = MCUNET_IN2[:2]


def read(document: Any, resolution: int | None = None) -> Architecture:
    return parse_onceforall(document, Path("net.json"), resolution)


def test_mcunet_has_the_macs_and_parameters_that_are_published() -> None:
    network = read(mcunet())
    assert (network.macs, network.params, network.height) == (67_287_200, 729_392, 160)
    assert network.layers[-1] == Layer(kind="head", in_channels=160, out_channels=1000, height=5, width=5, dropout=0.2)
    assert {layer.activation for layer in network.layers[:-1]} == {"relu6"}
    assert read(mcunet(), 96).params == 729_392


def test_a_proxyless_network_ends_in_a_convolution_and_zero_layers_are_skips() -> None:
    document = mcunet(SMALL)
    zero = {"name": "ZeroLayer", "stride": 1}
    document["blocks"].append({**document["blocks"][0], "mobile_inverted_conv": zero, "shortcut": identity_of(16)})
    document["feature_mix_layer"] = conv(16, 64, 1)
    document["classifier"]["in_features"] = 64
    *_, skip, head = read(document).layers
    assert skip == Layer(kind="identity", in_channels=16, out_channels=16, height=40, width=40)
    shape = {"in_channels": 16, "out_channels": 1000, "height": 40, "width": 40}
    assert head == Layer(kind="head", mid_channels=64, activation="relu6", dropout=0.2, **shape)


def identity_of(width: int) -> dict[str, Any]:
    return {"name": "IdentityLayer", "in_channels": width, "out_channels": width}


def test_once_for_alls_mobilenet_v3() -> None:
    network = read(mobilenet_v3(), 33)
    stem, first, second, skip, third, last, head = network.layers
    assert (stem.activation, first.kind, first.residual, second.kind, skip.kind) == (
        *("hard-swish", "sepconv", True, "mbconv", "identity"),
    )
    assert (second.mid_channels, second.se_channels, second.se_gate) == (64, 16, "hard-sigmoid")
    assert (third.mid_channels, third.se_channels, third.activation) == (144, 40, "hard-swish")  # 144 // 4 = 36 → 40
    assert (last.kind, last.out_channels, head.kind, head.mid_channels) == ("conv", 144, "pooled_head", 192)
    assert (head.height, head.in_channels, head.out_channels) == (9, 144, 10)
    assert (head.head_bias, head.classifier_bias) == (False, True)
    assert head.params == 144 * 192 + (192 + 1) * 10


def test_keys_that_came_later_have_their_defaults() -> None:
    """The first ProxylessNAS files tell neither activation nor squeeze-and-excitation of a block."""
    bare = mcunet(SMALL)
    for one in bare["blocks"]:
        assert one["mobile_inverted_conv"].keys().isdisjoint({"act_func", "use_se"})
    told = copy.deepcopy(bare)
    for one in told["blocks"]:
        one["mobile_inverted_conv"] |= {"act_func": "relu6", "use_se": False}
    assert read(bare) == read(told)
    for one in told["blocks"]:  # half an expansion is one, too
        one["mobile_inverted_conv"] |= {"expand_ratio": 2.5, "mid_channels": None}
    assert [layer.mid_channels for layer in read(told).layers[1:3]] == [40, 20]


def changed(*path: str | int, **keys: Any) -> dict[str, Any]:
    """A small network with other values somewhere."""
    document = mcunet(SMALL)
    place = document
    for step in path:
        place = place[step]  # type: ignore[index]
    place |= keys
    return document


INNER = ("blocks", 1, "mobile_inverted_conv")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (mcunet(SMALL, resolution=None), "how large its pictures are, and this one does not. Give --resolution"),
        ({"input_stem": [], "blocks": [], "classifier": {}}, "this is a ResNet of once-for-all"),
        (
            {"classifier": {}},
            "first_conv, blocks, classifier.in_features, classifier.out_features: these keys are required",
        ),
        (changed("first_conv", dilation=2), "first_conv.dilation: Input should be 1, got 2"),
        (changed("first_conv", has_shuffle=True), "first_conv.has_shuffle"),
        (changed("first_conv", use_bn=False), "first_conv: `use_bn` is true and `bias` false here, got False"),
        (changed("first_conv", bias=True), "first_conv: `use_bn` is true and `bias` false here"),
        (changed("first_conv", act_func="tanh"), "first_conv.act_func: an activation is one of relu, relu6, h_swish"),
        (changed("first_conv", kernel_size=[3, 5]), "first_conv.kernel_size: Input should be a valid integer"),
        (changed("first_conv", kernel_size=4), "first_conv: `kernel` of a conv layer is odd, got 4"),
        (changed(*INNER, name="DepthConvLayer"), "blocks.1.mobile_inverted_conv: Input tag 'DepthConvLayer'"),
        (changed(*INNER, groups=2), "groups: Input should be None, got 2"),
        (changed(*INNER, in_channels=9), "Layer 2 (mbconv) takes channels × height × width 9×80×80"),
        (changed(*INNER, mid_channels=None, expand_ratio=None), "blocks.1: it has `mid_channels` or `expand_ratio`"),
        (changed("blocks", 1, shortcut=identity_of(16)), "blocks.1: A residual mbconv layer has stride 1"),
        (
            changed("blocks", 1, mobile_inverted_conv=None),
            "blocks.1: without a convolution a block is an IdentityLayer",
        ),
        (changed("classifier", in_features=7), "classifier: it takes 7 features, what comes before gives 16"),
        (changed("classifier", use_bn=True), "classifier.use_bn"),
        (
            changed(feature_mix_layer=conv(16, 16, 3)),
            "feature_mix_layer: it is a 1×1 convolution of 16 channels, got one of 16",
        ),
        (changed(mixup=0.1), "mixup: no such key"),
        (changed(resolution=0), "resolution: Input should be greater than or equal to 1, got 0"),
    ],
)
def test_what_has_no_equal_is_refused_by_name(document: dict[str, Any], says: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        read(document)
    message = str(caught.value)
    assert message.startswith("net.json: ")
    assert says in message
    assert "\n" not in message

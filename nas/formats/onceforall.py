"""Networks as once-for-all, ProxylessNAS and MCUNet write them: JSON with `first_conv`, `blocks` and `classifier`.

    first_conv           ConvLayer                                         → conv
    blocks               MBInvertedConvLayer, by now MBConvLayer           → mbconv; sepconv where it does not expand
                         ZeroLayer, or null                                → identity
    feature_mix_layer    of ProxylessNAS, a 1×1 ConvLayer or null          → head, with it or without
    final_expand_layer   of MobileNetV3, a 1×1 ConvLayer                   → conv
      feature_mix_layer  after the pooling                                 → pooled_head
    classifier           LinearLayer

The field has several dialects of one code (github.com/mit-han-lab): names of classes changed, keys came later and
have defaults before, lists stand for numbers. Momentum of batch normalisation and dropout are of training, not of the
network. What has no equal here is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from nas.blocks.architecture import MAX_LAYERS, Architecture
from nas.blocks.layer import MAX_DIMENSION, NORM_EPS, Layer
from nas.errors import ArchitectureError
from nas.formats.blockstring import make_divisible
from nas.system.files import read_model
from nas.system.strict import Strict

PAGE = "docs/architectures.md"
_ACTIVATIONS = {
    "relu": "relu",
    "relu6": "relu6",
    "h_swish": "hard-swish",
    "swish": "swish",
    "none": "none",
    None: "none",
}
SQUEEZED = 4
"""Squeeze-and-excitation reduces to the expanded width divided by this, rounded to multiples of 8."""


def is_onceforall(document: Any) -> bool:
    """Whether the content of a JSON file is meant as such a network."""
    return isinstance(document, dict) and not {"first_conv", "input_stem", "classifier"}.isdisjoint(document)


def parse_onceforall(document: Any, path: Path, resolution: int | None = None) -> Architecture:
    """The network that the content of such a file stands for; `path` is what errors name.

    Raises `ArchitectureError` for what is wrong or has no equal here, and where neither the file nor `resolution`
    says how large its pictures are.
    """
    rule = "a network of once-for-all is a mapping with `first_conv`, `blocks` and `classifier`"
    if isinstance(document, dict) and "input_stem" in document:
        raise ArchitectureError(
            f"{path}: this is a ResNet of once-for-all; networks of its MobileNetV3, ProxylessNAS and MCUNet are read."
        )
    file = read_model(_File, document, path, ArchitectureError, rule=rule, page=PAGE)
    size = resolution or file.resolution
    if size is None:
        raise ArchitectureError(
            f"{path}: a network of once-for-all need not say how large its pictures are, and this one does not. "
            "Give --resolution, such as 224."
        )
    try:
        return file.architecture(size)
    except ArchitectureError as problem:
        raise ArchitectureError(f"{path}: {problem}") from None


def squeezed(mid: int) -> int:
    """Inner width of squeeze-and-excitation."""
    return make_divisible(mid // SQUEEZED)


def _activation(value: str | None) -> str:
    if value not in _ACTIVATIONS:
        known = ", ".join(name for name in _ACTIVATIONS if name)
        raise ValueError(f"an activation is one of {known} or null")
    return _ACTIVATIONS[value]


def _only(value: Any) -> Any:
    """The number in a list of one, as which supernets of once-for-all write it."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


Size = Annotated[int, BeforeValidator(_only), Field(ge=1, le=MAX_DIMENSION)]
Act = Annotated[str | None, AfterValidator(_activation)]
Share = Annotated[float, Field(ge=0, le=1, strict=False)]
Order = Literal["weight_bn_act"]


class _Conv(Strict):
    name: Literal["ConvLayer"] = "ConvLayer"
    in_channels: Size
    out_channels: Size
    kernel_size: Size = 3
    stride: Size = 1
    dilation: Literal[1] = 1
    groups: Size = 1
    bias: bool = False
    has_shuffle: Literal[False] = False
    use_se: Literal[False] = False
    use_bn: bool = True
    act_func: Act = "relu"
    dropout_rate: Share = 0.0
    ops_order: Order = "weight_bn_act"

    def layer(self, size: int) -> Layer:
        """A convolution with batch normalisation."""
        if self.bias or not self.use_bn:
            raise ArchitectureError(f"`use_bn` is true and `bias` false here, got {self.use_bn} and {self.bias}.")
        return Layer(
            kind="conv",
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            kernel=self.kernel_size,
            stride=self.stride,
            groups=self.groups,
            activation=self.act_func,
            height=size,
            width=size,
        )


class _Inverted(Strict):
    name: Literal["MBInvertedConvLayer", "MBConvLayer"]
    in_channels: Size
    out_channels: Size
    kernel_size: Size = 3
    stride: Size = 1
    expand_ratio: Annotated[float, Field(gt=0, le=64, strict=False)] | None = 6.0
    mid_channels: Size | None = None
    act_func: Act = "relu6"
    use_se: bool = False
    groups: None = None

    def layer(self, size: int, residual: bool) -> Layer:
        """Its ratio of 1 says that nothing expands, whatever the inner width."""
        if self.mid_channels is None and self.expand_ratio is None:
            raise ArchitectureError("it has `mid_channels` or `expand_ratio`, got null for both.")
        mid = self.mid_channels or round(self.in_channels * (self.expand_ratio or 1))
        return Layer(
            kind="sepconv" if self.expand_ratio == 1 else "mbconv",
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            mid_channels=mid,
            kernel=self.kernel_size,
            stride=self.stride,
            se_channels=squeezed(mid) if self.use_se else 0,
            se_gate="hard-sigmoid" if self.use_se else "sigmoid",
            activation=self.act_func,
            residual=residual,
            height=size,
            width=size,
        )


class _Zero(Strict):
    name: Literal["ZeroLayer"]
    stride: Size = 1


class _Identity(Strict):
    name: Literal["IdentityLayer"]
    in_channels: Size
    out_channels: Size
    use_bn: Literal[False] = False
    act_func: None = None
    dropout_rate: Share = 0.0
    ops_order: Order = "weight_bn_act"


Inner = Annotated[_Inverted | _Zero, Field(discriminator="name")]
Shortcut = Annotated[_Identity | _Zero, Field(discriminator="name")]


class _Block(Strict):
    name: Literal["MobileInvertedResidualBlock", "ResidualBlock"] = "ResidualBlock"
    mobile_inverted_conv: Inner | None = None
    conv: Inner | None = None
    """Its name by now."""
    shortcut: Shortcut | None

    def layer(self, shape: tuple[int, ...]) -> Layer:
        """As once-for-all computes it: without a convolution a block is its shortcut, else their sum."""
        inner = self.mobile_inverted_conv or self.conv
        skips = isinstance(self.shortcut, _Identity)
        if isinstance(inner, _Inverted):
            return inner.layer(shape[1], skips)
        if not skips:
            raise ArchitectureError("without a convolution a block is an IdentityLayer, got neither.")
        channels, size, _ = shape
        return Layer(kind="identity", in_channels=channels, out_channels=channels, height=size, width=size)


class _Linear(Strict):
    name: Literal["LinearLayer"] = "LinearLayer"
    in_features: Size
    out_features: Size
    bias: bool = True
    use_bn: Literal[False] = False
    act_func: None = None
    dropout_rate: Share = 0.0
    ops_order: Order = "weight_bn_act"


class _Norm(Strict):
    eps: Annotated[float, Field(gt=0, le=1)] = NORM_EPS
    momentum: Any = None
    ws_eps: None = None
    """Weight standardisation has no equal here."""


class _File(Strict):
    name: Annotated[str, Field(max_length=100)] = ""
    bn: _Norm | None = None
    first_conv: _Conv
    blocks: list[_Block] = Field(min_length=1, max_length=MAX_LAYERS)
    final_expand_layer: _Conv | None = None
    feature_mix_layer: _Conv | None = None
    classifier: _Linear
    resolution: Size | None = None

    def architecture(self, size: int) -> Architecture:
        """The network for pictures of this size."""
        with _within("first_conv"):
            layers = [self.first_conv.layer(size)]
            shape = layers[-1].output
        for index, block in enumerate(self.blocks):
            with _within(f"blocks.{index}"):
                layers.append(block.layer(shape))
                shape = layers[-1].output
        if self.final_expand_layer is not None:
            with _within("final_expand_layer"):
                layers.append(self.final_expand_layer.layer(shape[1]))
                shape = layers[-1].output
        layers.append(self.head(shape))
        if self.bn is not None:
            layers = [layer.changed(norm_eps=self.bn.eps) for layer in layers]
        return Architecture(self.first_conv.in_channels, size, size, tuple(layers))

    def head(self, shape: tuple[int, ...]) -> Layer:
        """What follows the last feature map, of this shape."""
        channels, height, width = shape
        mix = self.feature_mix_layer
        settings: dict[str, Any] = {"classifier_bias": self.classifier.bias, "dropout": self.classifier.dropout_rate}
        pooled_first = mix is not None and self.final_expand_layer is not None
        if mix is not None:
            with _within("feature_mix_layer"):
                if (mix.in_channels, mix.kernel_size, mix.stride, mix.groups) != (channels, 1, 1, 1):
                    raise ArchitectureError(
                        f"it is a 1×1 convolution of {channels} channels, got one of {mix.in_channels} with kernel "
                        f"{mix.kernel_size}, stride {mix.stride} and {mix.groups} group(s)."
                    )
                if not pooled_first:
                    mix.layer(height)
                elif mix.use_bn:
                    raise ArchitectureError("after the pooling it has no batch normalisation, got one.")
            settings |= {"mid_channels": mix.out_channels, "activation": mix.act_func}
            settings |= {"head_bias": mix.bias} if pooled_first else {}
        given = mix.out_channels if mix else channels
        if self.classifier.in_features != given:
            raise ArchitectureError(
                f"classifier: it takes {self.classifier.in_features} features, what comes before gives {given}."
            )
        return Layer(
            kind="pooled_head" if pooled_first else "head",
            in_channels=channels,
            out_channels=self.classifier.out_features,
            height=height,
            width=width,
            **settings,
        )


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Errors name this place."""
    try:
        yield
    except ArchitectureError as problem:
        raise ArchitectureError(f"{place}: {problem}") from None

"""Heads: what ends a network for classification."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from nas.blocks.attention import LayerNorm
from nas.blocks.block import Activation
from nas.blocks.convolution import Conv
from nas.blocks.elementwise import Norm
from nas.blocks.graph import Graph, Wire
from nas.blocks.join import Mean
from nas.blocks.linear import Classifier, Linear, Pool
from nas.errors import ArchitectureError


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What both have."""

    out_channels: int
    mid_channels: int
    activation: Activation = "relu"
    classifier_bias: bool = True
    head: ClassVar[bool] = True

    def _classified(self, g: Graph, y: Wire) -> Wire:
        return g.add("classifier", Classifier(y.channels, self.out_channels, bias=self.classifier_bias), y)


@dataclass(frozen=True, kw_only=True)
class Head(_Head):
    """1×1 convolution to `mid_channels`, pooling, classifier."""

    mid_channels: int = 0
    """0: no convolution, as in MobileNetV1, ResNets and MCUNet."""

    def write(self, g: Graph, x: Wire) -> Wire:
        if self.mid_channels:
            x = g.add("conv", Conv(x.channels, self.mid_channels, activation=self.activation), x)
        elif self.activation != "relu":  # one key for one layer
            raise ArchitectureError(f"Without `mid_channels`, `activation` stays 'relu', got {self.activation!r}.")
        return self._classified(g, g.add("pool", Pool(), x))


@dataclass(frozen=True, kw_only=True)
class PooledHead(_Head):
    """Pooling first, then two fully connected layers (MobileNetV3, arXiv:1905.02244, section 5.1)."""

    head_bias: bool = True
    """Of the first of them; once-for-all has none."""
    head_norm: bool = False
    """Whether it has batch normalisation in place of a bias, as in MobileNetV4."""

    def write(self, g: Graph, x: Wire) -> Wire:
        if not self.head_norm:
            op = Linear(x.channels, self.mid_channels, self.activation, self.head_bias)
            return self._classified(g, g.add("features", op, g.add("pool", Pool(), x)))
        if not self.head_bias:
            raise ArchitectureError("With `head_norm`, `head_bias` stays true: what is normalised has no bias.")
        x = g.add("pool", Pool(flat=False), x)
        x = g.add("features", Conv(x.channels, self.mid_channels, activation=self.activation), x)
        return self._classified(g, g.add("flat", Pool(), x))


@dataclass(frozen=True, kw_only=True)
class NormHead:
    """Normalisation, pooling, classifier (EfficientFormer, arXiv:2206.01191; SHViT, arXiv:2401.16456; MOAT,
    arXiv:2210.01820)."""

    out_channels: int
    norm_kind: Literal["layer", "batch"] = "layer"
    pool_first: bool = False
    """Whether what is pooled is normalised, not each pixel."""
    classifiers: int = 1
    """Whose answers are averaged: 2 where one has learned from labels and one from a teacher (arXiv:2012.12877, section
    4)."""
    classifier_bias: bool = True
    head: ClassVar[bool] = True

    def write(self, g: Graph, x: Wire) -> Wire:
        norm = LayerNorm(x.channels) if self.norm_kind == "layer" else Norm(x.channels)
        x = g.add("pool", Pool(), x) if self.pool_first else g.add("norm", norm, x)
        x = g.add("norm", norm, x) if self.pool_first else g.add("pool", Pool(), x)
        answers = []
        for place in range(self.classifiers):
            name = f"classifier{place + 1 if place else ''}"
            answers.append(g.add(name, Classifier(x.channels, self.out_channels, bias=self.classifier_bias), x))
        return answers[0] if len(answers) == 1 else g.add("average", Mean(), *answers)


@dataclass(frozen=True)
class Ending:
    """What arch-def and space files say of the head, beside its width and activation."""

    head_after_pool: bool
    head_bias: bool
    classifier_bias: bool
    head_norm: bool = False

    def check(self, widths: Collection[int]) -> None:
        """Raise `ArchitectureError`, with the key in front, where it does not fit a head of one of these widths."""
        if self.head_after_pool and 0 in widths:
            raise ArchitectureError("head: with `head_after_pool` its width is at least 1, got 0.")
        if not self.head_bias and not self.head_after_pool:
            raise ArchitectureError(
                "head_bias: is of the layer behind the pooling, so false needs `head_after_pool: true`; "
                "`classifier_bias` is of the classifier."
            )
        if self.head_norm and not (self.head_after_pool and self.head_bias):
            raise ArchitectureError(
                "head_norm: is of the layer behind the pooling, in place of its bias, so true needs "
                "`head_after_pool: true` and no `head_bias`."
            )

    def settings(self, width: int, activation: str) -> dict[str, Any]:
        """Kind and settings of a head of this width, as of a Layer."""
        kind = "pooled_head" if self.head_after_pool else "head"
        bias = {"head_bias": self.head_bias, "head_norm": self.head_norm} if self.head_after_pool else {}
        activation = activation if width else "relu"
        return {
            "kind": kind,
            "mid_channels": width,
            "activation": activation,
            "classifier_bias": self.classifier_bias,
            **bias,
        }

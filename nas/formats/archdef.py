"""Arch-def files: a network as JSON around timm's block strings, in both directions.

The strings alone go to timm's `decode_arch_def`; the other keys are arguments of its network. An arch-def
file `arch.txt` is built by timm as

    import json
    from functools import partial
    import torch
    from timm.layers import EcaModule, get_act_layer
    from timm.models._efficientnet_blocks import SqueezeExcite
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet
    from timm.models.mobilenetv3 import MobileNetV3

    text = json.load(open("arch.txt"))
    pooled_first = text.get("head_after_pool", False)
    from_mid = text.get("se_from", "in") == "mid"
    of_v3 = {
        "se_from_exp": from_mid,
        "head_bias": text.get("head_bias", True),
        "head_norm": text.get("head_norm", False),
        "layer_scale_init_value": 1e-5 if text.get("layer_scale") else None,
    }
    network = (MobileNetV3 if pooled_first else EfficientNet)(
        decode_arch_def(text["blocks"]),
        num_classes=text["num_classes"],
        num_features=text["head"],
        drop_rate=text.get("dropout", 0.0),
        stem_size=text["stem"],
        fix_stem=True,
        in_chans=text.get("in_channels", 3),
        act_layer=get_act_layer(text["activation"]),
        norm_layer=partial(torch.nn.BatchNorm2d, eps=text.get("norm_eps", 1e-5)),
        pad_type=text.get("padding", ""),
        aa_layer={"average": "avg", "blur": "blurpc"}.get(text.get("anti_alias")),
        round_chs_fn=partial(round_channels, divisor=text.get("round_to", 8)),
        se_layer=partial(EcaModule, gate_layer=text.get("se_gate", "sigmoid"))
        if text.get("excitation") == "eca"
        else partial(
            SqueezeExcite,
            force_act_layer=get_act_layer(text.get("se_activation", "relu")),
            gate_layer=get_act_layer(text.get("se_gate", "sigmoid")),
            rd_round_fn=round_channels if from_mid else None,
        ),
        **(of_v3 if pooled_first else {}),
    )

for a file that `to_archdef` wrote: those are in timm's spelling, and have nothing that timm cannot express.
Otherwise timm has no `stem_activation` other than `activation`, no `classifier_bias`, no `g`, no `proj`, no
`se_from: mid` without `head_after_pool`, and knows `hard-swish` as `hard_swish`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from nas.blocks.architecture import MAX_LAYERS, Architecture
from nas.blocks.block import absent
from nas.blocks.heads import Ending
from nas.blocks.layer import MAX_DIMENSION, NORM_EPS, PADDINGS, Layer
from nas.errors import ArchitectureError
from nas.formats.blockstring import Block, Rounding, make_divisible, parse_block
from nas.formats.stage_strings import MAX_SHRINK, Inexpressible, StageStrings, stages
from nas.system.files import read_json, read_model
from nas.system.strict import Strict

PAGE = "docs/architectures.md"
MAX_ARCHDEF_BYTES = 1 << 20

_SPELLINGS = {
    "relu": "relu",
    "relu6": "relu6",
    "swish": "swish",
    "silu": "swish",
    "hard-swish": "hard-swish",
    "hard_swish": "hard-swish",
    "hswish": "hard-swish",
    "gelu": "gelu",
    "sigmoid": "sigmoid",
    "hard-sigmoid": "hard-sigmoid",
    "hard_sigmoid": "hard-sigmoid",
}


def is_archdef(document: Any) -> bool:
    """Whether the content of a JSON file is meant as an arch-def."""
    return isinstance(document, dict) and "blocks" in document


def read_archdef(path: Path) -> Architecture:
    """The network in an arch-def file. Raises `ArchitectureError` naming the file, the place, the rule, the value."""
    document = read_json(path, ArchitectureError, MAX_ARCHDEF_BYTES)
    return parse_archdef(document, path)


def parse_archdef(document: Any, path: Path = Path("arch-def")) -> Architecture:
    """The network that the content of an arch-def file stands for; `path` is what errors name."""
    rule = "an arch-def is a mapping with `blocks`"
    file = read_model(_ArchDefFile, document, path, ArchitectureError, rule=rule, page=PAGE)
    try:
        return file.architecture()
    except ArchitectureError as problem:
        raise ArchitectureError(f"{path}: {problem}") from None


def to_archdef(architecture: Architecture) -> dict[str, Any]:
    """The content of an arch-def file from which timm builds this network: see the head of this module.

    Raises `ArchitectureError` with the reason where timm cannot. Skips that compute nothing are left out.
    """
    layers = [layer for layer in architecture.layers if layer.graph.nodes]
    if len(layers) < 3:
        raise Inexpressible("a network has a stem, at least one block and a head")
    conventions = {(layer.norm_eps, layer.padding) for layer in layers}
    inside = {layer.se_activation for layer in layers if layer.se_channels} or {"relu"}
    if len(conventions) > 1 or len(inside) > 1:
        raise Inexpressible("all layers share one `norm_eps`, `padding` and `se_activation`")
    ((norm_eps, padding),), (inner,) = conventions, inside
    usual = {"norm_eps": NORM_EPS, "padding": PADDINGS[0], "se_activation": "relu", "dropout": 0.0}
    stem, *body, head = (layer.changed(**usual) for layer in layers)
    _check_frame(architecture, stem, head)
    pooled = head.kind == "pooled_head"
    activation = head.activation if head.mid_channels else stem.activation
    rounding = Rounding(
        channels=next(d for d in (8, 4, 2, 1) if all(_fixed(layer.out_channels, d) for layer in body)),
        se_from_mid=pooled and all(_quarter(layer) for layer in body if layer.se_channels),
        se_gate=_one(body, "se_gate", lambda layer: layer.gated),
        excitation=_one(body, "excitation", lambda layer: layer.gated),
        layer_scale=_one(body, "layer_scale", lambda layer: layer.kind in {"uir", "mqa"}),
        anti_alias=_one(body, "anti_alias", lambda layer: layer.stride > 1),
    )
    if rounding.excitation == "scse":
        raise Inexpressible("its gates are se or eca, got scse")
    if rounding.layer_scale and not pooled:
        raise Inexpressible("with `layer_scale` it has a head that pools first")
    strings = StageStrings(activation, rounding)
    document = {
        "resolution": architecture.height,
        "in_channels": architecture.channels,
        "stem": stem.out_channels,
        "head": head.mid_channels,
        "activation": _timm_spelling(activation),
        "num_classes": head.out_channels,
        "se_gate": _timm_spelling(rounding.se_gate),
        "excitation": rounding.excitation,
        "se_from": "mid" if rounding.se_from_mid else "in",
        "round_to": rounding.channels,
        "head_after_pool": pooled,
        "norm_eps": norm_eps,
        "padding": padding,
        "se_activation": _timm_spelling(inner),
        "head_bias": head.head_bias,
        "head_norm": head.head_norm,
        "layer_scale": rounding.layer_scale,
        "anti_alias": rounding.anti_alias,
        "dropout": layers[-1].dropout,
        "blocks": [strings.stage(stage) for stage in stages(body)],
    }
    shortened = {key: value for key, value in document.items() if key in _ALWAYS or _DEFAULTS.get(key) != value}
    assert parse_archdef(shortened).layers == tuple(layers)
    return shortened


def format_archdef(document: dict[str, Any]) -> str:
    """An arch-def as JSON text with one stage a line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items() if key != "blocks"]
    stages = ",\n".join(f"    {json.dumps(stage)}" for stage in document["blocks"])
    return "{\n" + ",\n".join([*lines, f'  "blocks": [\n{stages}\n  ]']) + "\n}\n"


def _activation(value: str) -> str:
    names = [name for name in _SPELLINGS if "sigmoid" not in name]
    if value not in names:
        raise ValueError(f"an activation is one of {', '.join(names)}")
    return _SPELLINGS[value]


Size = Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
Activation = Annotated[str, Field(max_length=20), AfterValidator(_activation)]
Text = Annotated[str, Field(min_length=2, max_length=100)]


class _ArchDefFile(Strict):
    """An arch-def file; widths of stem and head are exact, those of blocks are rounded."""

    resolution: Size
    stem: Size
    head: Annotated[int, Field(ge=0, le=MAX_DIMENSION)] = 0
    """0: pooling and the classifier alone."""
    activation: Activation
    num_classes: Size = 1_000
    blocks: list[Annotated[list[Text], Field(min_length=1, max_length=MAX_LAYERS)]] = Field(
        min_length=1, max_length=MAX_LAYERS
    )
    in_channels: Size = 3
    stem_activation: Activation | None = None
    """That of the stem, where it is not `activation`."""
    se_gate: Literal["sigmoid", "hard-sigmoid", "hard_sigmoid"] = "sigmoid"
    excitation: Literal["se", "eca"] = "se"
    """What `se` in the strings stands for; an eca has no width, whatever the ratio."""
    se_from: Literal["in", "mid"] = "in"
    round_to: Size = 8
    head_after_pool: bool = False
    norm_eps: Annotated[float, Field(gt=0, le=1)] = NORM_EPS
    padding: Literal["symmetric", "same"] = "symmetric"
    """`same` is TensorFlow's."""
    se_activation: Activation = "relu"
    head_bias: bool = True
    """Of the fully connected layer after the pooling."""
    head_norm: bool = False
    """Whether that layer has batch normalisation instead."""
    layer_scale: bool = False
    """Of uir and mqa."""
    anti_alias: Literal["none", "average", "blur"] = "none"
    """Of layers with a stride, the stem aside."""
    classifier_bias: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of features that are dropped before the classifier while it is trained."""

    def architecture(self) -> Architecture:
        """The network. Raises `ArchitectureError` with the place of what does not fit."""
        usual = self._usual()
        shared = {"norm_eps": self.norm_eps, "padding": self.padding}
        inside = {"se_activation": self.se_activation}
        layers = [layer.changed(**shared, **(inside if layer.se_channels else {})) for layer in usual.layers]
        return replace(usual, layers=(*layers[:-1], layers[-1].changed(dropout=self.dropout)))

    def _usual(self) -> Architecture:
        gate = _SPELLINGS[self.se_gate]
        rounding = Rounding(
            channels=self.round_to,
            se_from_mid=self.se_from == "mid",
            se_gate=gate,
            excitation=self.excitation,
            layer_scale=self.layer_scale,
            anti_alias=self.anti_alias,
        )
        stem = Layer(
            kind="conv",
            in_channels=self.in_channels,
            out_channels=self.stem,
            kernel=3,
            stride=2,
            activation=self.stem_activation or self.activation,
            height=self.resolution,
            width=self.resolution,
        )
        layers = [stem]
        for stage, first, text, block in self.parsed():
            for repeat in range(block.repeats):
                channels, height, width = layers[-1].output
                try:
                    layers.append(
                        block.layer(
                            (channels, height, width),
                            first=first and not repeat,
                            activation=self.activation,
                            rounding=rounding,
                        )
                    )
                except ArchitectureError as problem:
                    raise ArchitectureError(f"blocks.{stage}: {text!r}: {problem}") from None
        channels, height, width = layers[-1].output
        ending = Ending(self.head_after_pool, self.head_bias, self.classifier_bias, self.head_norm)
        ending.check([self.head])
        settings = ending.settings(self.head, self.activation) | {"out_channels": self.num_classes}
        layers.append(Layer(in_channels=channels, height=height, width=width, **settings))
        return Architecture(self.in_channels, self.resolution, self.resolution, tuple(layers))

    def parsed(self) -> list[tuple[int, bool, str, Block]]:
        """Every string as (stage, whether it is the stage's first, text, block), their sizes checked together."""
        parsed: list[tuple[int, bool, str, Block]] = []
        shrink, depth = 2, 2
        for stage, texts in enumerate(self.blocks):
            for index, text in enumerate(texts):
                try:
                    block = parse_block(text)
                except ArchitectureError as problem:
                    raise ArchitectureError(f"blocks.{stage}: {problem}") from None
                shrink *= block.stride
                depth += block.repeats
                if index and block.stride > 1:
                    raise ArchitectureError(
                        f"blocks.{stage}: {text!r}: only the first string of a stage has a stride; "
                        f"begin a new stage, as timm would ignore it."
                    )
                if shrink > MAX_SHRINK:
                    raise ArchitectureError(
                        f"blocks.{stage}: {text!r}: all strides together, the stem's 2 among them, are at most "
                        f"{MAX_SHRINK}, where timm begins to dilate; got {shrink}."
                    )
                if depth > MAX_LAYERS:
                    raise ArchitectureError(
                        f"blocks.{stage}: {text!r}: a network has at most {MAX_LAYERS:,} layers, got {depth:,} so far."
                    )
                parsed.append((stage, not index, text, block))
        return parsed


_ALWAYS = {"num_classes", "head"}
"""Keys that are written also where they are the defaults."""
_DEFAULTS = {name: field.default for name, field in _ArchDefFile.model_fields.items()}


def _check_frame(architecture: Architecture, stem: Layer, head: Layer) -> None:
    """What stands around the blocks: a square picture, a stem and a head that share their activation."""
    if architecture.height != architecture.width:
        raise Inexpressible(f"its input is square, got {architecture.height}×{architecture.width}")
    if (stem.kind, stem.kernel, stem.stride, stem.groups) != ("conv", 3, 2, 1):
        raise Inexpressible(
            f"its stem is a convolution with kernel 3 and stride 2, "
            f"got {stem.kind}, kernel {stem.kernel}, stride {stem.stride}, {stem.groups} group(s)"
        )
    if head.kind not in {"head", "pooled_head"}:
        raise Inexpressible(f"it ends in a head, got {head.kind}")
    if head.mid_channels and stem.activation != head.activation:
        raise Inexpressible(f"stem and head share one activation, got {stem.activation} and {head.activation}")
    if not head.classifier_bias:
        raise Inexpressible("its classifier has a bias, got none")
    if stem.activation not in _SPELLINGS:
        raise Inexpressible(f"stem and head have an activation of timm's, got {stem.activation}")


def _one(layers: Sequence[Layer], name: str, of: Callable[[Layer], Any]) -> Any:
    """The one value that these layers have of a setting, or what an absent one counts as."""
    values = {getattr(layer, name) for layer in layers if of(layer)} or {absent(name)}
    if len(values) > 1:
        raise Inexpressible(f"all blocks share one `{name}`, got {' and '.join(sorted(map(str, values)))}")
    return next(iter(values))


def _fixed(width: int, divisor: int) -> bool:
    return make_divisible(width, divisor) == width


def _quarter(layer: Layer) -> bool:
    return bool(layer.se_channels == make_divisible(layer.mid_channels * 0.25))


def _timm_spelling(name: str) -> str:
    return name.replace("-", "_")

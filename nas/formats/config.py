"""config.json: a network with every shape explicit, and where it came from (format `nas-architecture/1`).

A config is complete: it can be estimated, built, trained and exported without the space it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from nas.blocks.architecture import MAX_LAYERS, Architecture
from nas.blocks.layer import MAX_DIMENSION, Layer
from nas.errors import ArchitectureError
from nas.system.files import read_json, read_model
from nas.system.strict import Strict

FORMAT = "nas-architecture/1"
PAGE = "docs/architectures.md"
MAX_CONFIG_BYTES = 4 << 20

TOP5_ABOVE = 10
"""Classes above which a top-5 accuracy tells something."""

Weights = Literal["random", "supernet", "trained"]
"""Where the weights that belong to a config come from."""

Name = Annotated[str, Field(max_length=200)]
Size = Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
SizeOrNone = Annotated[int, Field(ge=0, le=MAX_DIMENSION)]


@dataclass(frozen=True)
class Pictures:
    """What pictures the weights were made for: how they are fed, and what the outputs stand for."""

    mean: tuple[float, ...]
    """By colour, on the scale 0 to 1: the network sees (picture / 255 - mean) / std."""
    std: tuple[float, ...]
    classes: tuple[str, ...]
    """Their names, in the order of the outputs; empty where nobody said."""

    @property
    def colours(self) -> str:
        """What their channels are, in words."""
        return "grey" if len(self.mean) == 1 else "red, green and blue"


@dataclass(frozen=True)
class Config:
    """What a config.json says."""

    architecture: Architecture
    decisions: Mapping[str, int | float | str | bool] | None = None
    """The options that were chosen, by decision name; none where the network came from elsewhere."""
    space: str | None = None
    metrics: Mapping[str, Any] | None = None
    """What is known of the network and how it was obtained, as its writer put it."""
    weights: Weights = "random"
    pictures: Pictures | None = None
    """None where nobody said: random weights fit any."""


def to_config(
    architecture: Architecture,
    *,
    decisions: Mapping[str, Any] | None = None,
    space: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    weights: Weights = "random",
    pictures: Pictures | None = None,
) -> dict[str, Any]:
    """The content of a config.json: JSON values only, given that `decisions` and `metrics` are."""
    shown = {} if pictures is None else {"pictures": {name: list(value) for name, value in vars(pictures).items()}}
    return {
        "format": FORMAT,
        "input": {"channels": architecture.channels, "height": architecture.height, "width": architecture.width},
        "num_classes": architecture.num_classes,
        "space": space,
        "decisions": None if decisions is None else dict(decisions),
        "metrics": None if metrics is None else dict(metrics),
        "weights": weights,
        **shown,
        "layers": [_row(layer) for layer in architecture.layers],
        **({} if architecture.wires is None else {"wires": [list(wires) for wires in architecture.wires]}),
        **({} if architecture.outputs is None else {"outputs": list(architecture.outputs)}),
    }


def _row(layer: Layer) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in layer.row.items()}


def told_latencies(metrics: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What a config says of its network's latency, an entry for each target that it was searched for."""
    known = metrics or {}
    several = known.get("latencies")
    found = several if isinstance(several, list) else [known.get("latency")]
    return [told for told in found if isinstance(told, dict)]


def is_config(document: Any) -> bool:
    """Whether the content of a JSON file is meant as a config."""
    return isinstance(document, dict) and not {"format", "layers"}.isdisjoint(document)


def read_config(path: Path) -> Config:
    """The config in a file. Raises `ArchitectureError` naming the file, the place in it, the rule and the value."""
    return parse_config(read_json(path, ArchitectureError, MAX_CONFIG_BYTES), path)


def parse_config(document: Any, path: Path) -> Config:
    """The config that the content of a file is; `path` is what errors name."""
    rule = f"a config is a mapping with `format: {FORMAT}`"
    file = read_model(_ConfigFile, document, path, ArchitectureError, rule=rule, page=PAGE)
    try:
        architecture = file.architecture()
    except ArchitectureError as problem:
        raise ArchitectureError(f"{path}: {problem}") from None
    shown = file.pictures
    pictures = Pictures(tuple(shown.mean), tuple(shown.std), tuple(shown.classes)) if shown else None
    return Config(architecture, file.decisions, file.space, file.metrics, file.weights, pictures)


def _option(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("an option is a number, a text, true or false")
    return value


class _Input(Strict):
    channels: Size
    height: Size
    width: Size


class _Row(Strict):
    """The columns that every Layer has; further ones, and what they may be together, are the Layer's own business.

    What is absent has its default, as a column that a table does not have.
    """

    model_config = ConfigDict(extra="allow")
    kind: Name
    in_channels: Size | Annotated[list[Size], Field(min_length=2, max_length=64)]
    out_channels: Size
    height: Size
    width: Size
    mid_channels: SizeOrNone = 0
    kernel: SizeOrNone = 1
    stride: Size = 1
    groups: Size = 1
    se_channels: SizeOrNone = 0
    se_gate: Name = "sigmoid"
    activation: Name = "relu"
    residual: bool = False

    def layer(self) -> Layer:
        """The Layer, its graph drawn. Raises `ArchitectureError` where the fields do not fit together."""
        fields = self.model_dump(exclude_unset=True)
        if isinstance(self.in_channels, list):
            fields["in_channels"] = tuple(self.in_channels)
        found = Layer(**fields)
        _ = found.graph
        return found


class _Pictures(Strict):
    mean: list[float] = Field(max_length=MAX_DIMENSION)
    std: list[Annotated[float, Field(gt=0)]] = Field(max_length=MAX_DIMENSION)
    classes: list[Name] = Field(max_length=MAX_DIMENSION)

    def check(self, architecture: Architecture) -> None:
        expected = {"mean": architecture.channels, "std": architecture.channels}
        for name, count in (expected | ({"classes": architecture.num_classes} if self.classes else {})).items():
            if len(getattr(self, name)) != count:
                raise ArchitectureError(
                    f"pictures.{name}: has {count:,} entries here, got {len(getattr(self, name)):,}."
                )


class _ConfigFile(Strict):
    format: Literal["nas-architecture/1"]
    input: _Input
    num_classes: Size
    space: Name | None = None
    decisions: dict[Name, Annotated[Any, AfterValidator(_option)]] | None = None
    metrics: dict[Name, JsonValue] | None = None
    weights: Weights = "random"
    pictures: _Pictures | None = None
    layers: list[_Row] = Field(min_length=1, max_length=MAX_LAYERS)
    wires: Annotated[list[Annotated[list[int], Field(max_length=64)]], Field(max_length=MAX_LAYERS)] | None = None
    outputs: Annotated[list[int], Field(min_length=1, max_length=64)] | None = None

    def architecture(self) -> Architecture:
        layers = []
        for index, row in enumerate(self.layers):
            try:
                layers.append(row.layer())
            except ArchitectureError as problem:
                raise ArchitectureError(f"layers.{index}: {problem}") from None
        try:
            architecture = Architecture(
                self.input.channels,
                self.input.height,
                self.input.width,
                tuple(layers),
                None if self.wires is None else tuple(map(tuple, self.wires)),
                None if self.outputs is None else tuple(self.outputs),
            )
        except ArchitectureError as problem:
            raise ArchitectureError(f"layers: {problem}") from None
        if architecture.num_classes != self.num_classes:
            raise ArchitectureError(
                f"num_classes: equals `out_channels` of the last layer, {architecture.num_classes}, "
                f"got {self.num_classes}."
            )
        if self.pictures:
            self.pictures.check(architecture)
        return architecture

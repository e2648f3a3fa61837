"""The typed form of a search-space file, `search_spaces/*.yaml` (format `nas-space/1`, described in docs/spaces.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from nas.blocks.block import BLOCKS, MAX_DIMENSION, Activation, Gate, is_head
from nas.blocks.cell import MOST_NODES, Edge
from nas.system.strict import Name, Strict, Text

T = TypeVar("T")


def block_kinds() -> list[str]:
    """Kinds of layers that a stage may be made of: all that are registered but heads."""
    return [kind for kind in BLOCKS if not is_head(kind)]


def _kind(value: str) -> str:
    if value not in block_kinds():
        raise ValueError(f"a kind is one of {', '.join(block_kinds())}")
    return value


def _sides(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: object) -> object:
    if isinstance(value, int) and abs(value) <= MAX_DIMENSION:
        return value
    if isinstance(value, str) and len(value) <= 64:
        return value
    raise ValueError("a setting is a whole number, a word, or true or false")


Width = Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
Sides = Annotated[tuple[Width, Width], BeforeValidator(_sides)]
WidthOrNone = Annotated[int, Field(ge=0, le=MAX_DIMENSION)]
Depth = Annotated[int, Field(ge=1, le=1_000)]
Expansion = Annotated[float, Field(gt=0, le=64)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Multiplier = Annotated[float, Field(ge=0.01, le=16)]
Kind = Annotated[str, AfterValidator(_kind)]
Plain = Annotated[Any, AfterValidator(_plain)]
"""A field of a block, which says in `nas.space.load` what may stand there."""


class Setting(Strict, Generic[T]):
    """A fixed value, or `{choice: [...], per: stage | layer}`."""

    choice: list[T] = Field(min_length=1, max_length=255)
    per: Literal["stage", "layer"] = "stage"

    @model_validator(mode="before")
    @classmethod
    def _fixed(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise ValueError("a choice is written {choice: [...]}, a fixed value without brackets")
        return value if isinstance(value, Mapping) else {"choice": [value]}

    @model_validator(mode="after")
    def _distinct(self) -> Setting[T]:
        if any(value in self.choice[:index] for index, value in enumerate(self.choice)):
            raise ValueError("the options of a choice differ from each other")
        return self

    @property
    def options(self) -> list[T]:
        """The choices; whole numbers are integers, also where fractions are allowed."""
        return [int(v) if isinstance(v, float) and v.is_integer() else v for v in self.choice]  # type: ignore[misc]

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.choice) == 1


class Global(Setting[T], Generic[T]):
    """A setting of the whole network: `per` does not apply."""

    per: Literal["stage"] = "stage"


class Block(Strict):
    """A named candidate: a kind with some of its settings fixed, which a stage's own settings must not repeat."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Plain] = Field(init=False)

    kind: Kind
    expansion: Expansion | None = None
    se: Ratio | None = None
    rank: Share | None = None
    expand: Literal["needed", "always"] = "needed"
    """Whether an mbconv of expansion 1 has its first pointwise convolution: `always` in FBNet (arXiv:1812.03443)."""

    @model_validator(mode="after")
    def _expands(self) -> Block:
        if self.expand == "always" and self.kind != "mbconv":
            raise ValueError(f"`expand` is of mbconv blocks, not of {self.kind}")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """What it fixes, by the name of the setting."""
        return _written(expansion=self.expansion, se=self.se, rank=self.rank, **self.__pydantic_extra__)


class CellChoice(Strict):
    """A cell whose edges are chosen once for the network: every stage of it has the same."""

    nodes: Annotated[int, Field(ge=2, le=MOST_NODES)]
    """The first is what comes in, the last what goes out."""
    ops: Annotated[list[Edge], Field(min_length=1)]
    """What each edge may be, in the order of its options."""

    @model_validator(mode="after")
    def _distinct(self) -> CellChoice:
        if len(set(self.ops)) < len(self.ops):
            raise ValueError("the operations of a cell differ from each other")
        return self


class Stage(Strict):
    """Layers of one output width; the first has the stride, the others stride 1."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Setting[Plain]] = Field(init=False)

    name: Name
    width: Global[Width]
    stride: Annotated[int, Field(ge=1, le=4)] = 1
    depth: Global[Depth] = Global[Depth](choice=[1])
    block: Setting[Name]
    """A kind of layer, or a name in `blocks`."""
    expansion: Setting[Expansion] | None = None
    """Inner width over input width."""
    se: Setting[Ratio] | None = None
    """Inner width of squeeze-and-excitation, relative to the width that the file's `se_from` names; 0 is none."""
    rank: Setting[Share] | None = None
    """Of a tucker: the width behind its full convolution over the output width."""

    @property
    def settings(self) -> dict[str, Setting[Any]]:
        """What it says of its blocks, by the name of the setting."""
        return _written(expansion=self.expansion, se=self.se, rank=self.rank, **self.__pydantic_extra__)


def _written(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


class Head(Strict):
    """Classifier: 1×1 convolution to `width`, pooling, linear; without the convolution where the width is 0."""

    width: Global[WidthOrNone]
    activation: Activation | None = None

    @model_validator(mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return {"width": 0} if value == 0 and type(value) is int else value

    @model_validator(mode="after")
    def _activated(self) -> Head:
        if self.activation is not None and self.width.options == [0]:
            raise ValueError("a head of width 0 has no convolution, so no activation")
        return self


class Resolution(Global[Width | Sides]):
    """Pixels of the picture, high and wide: a number, a choice of numbers, or [height, width]."""

    @model_validator(mode="before")
    @classmethod
    def _fixed(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"choice": [value]}

    @model_validator(mode="after")
    def _square(self) -> Resolution:
        if not self.fixed and any(isinstance(option, tuple) for option in self.choice):
            raise ValueError("a choice is of square pictures, each a number; [height, width] is fixed")
        return self


class Input(Strict):
    """The picture."""

    resolution: Resolution
    channels: Annotated[int, Field(ge=1, le=1_024)] = 3


class SpaceFile(Strict):
    """A whole search-space file."""

    format: Literal["nas-space/1"]
    name: Name
    source: Text
    input: Input
    num_classes: Width = 1_000
    activation: Global[Activation]
    width_multiplier: Global[Multiplier] = Global[Multiplier](choice=[1])
    """Of the widths of all stages and of the head (arXiv:1704.04861, section 3.3), which are then rounded to multiples
    of `round_to`, or of 8."""
    se_from: Literal["in", "mid"] = "in"
    """What `se` is relative to: a layer's input, or its inner width as in MobileNetV3."""
    se_gate: Gate = "sigmoid"
    """Of stages and blocks that say nothing else."""
    round_to: Width | None = None
    """Inner widths are rounded to multiples of this. None: those of `se_from: mid` to 8, others to whole numbers."""
    head_after_pool: bool = False
    head_bias: bool = True
    """Of the fully connected layer after the pooling."""
    head_norm: bool = False
    """Whether that layer has batch normalisation instead."""
    classifier_bias: bool = True
    blocks: dict[Name, Block] = {}
    cells: dict[Name, CellChoice] = {}
    stages: list[Stage] = Field(min_length=1, max_length=1_000)
    head: Head = Head(width=Global[WidthOrNone](choice=[0]))
    references: dict[Name, dict[str, Any]] = {}

"""The typed form of a search-space file, `search_spaces/*.yaml` (format `nas-space/1`, described in docs/spaces.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nas.blocks.block import BLOCKS, MAX_DIMENSION, is_head

T = TypeVar("T")


def block_kinds() -> list[str]:
    """Kinds of layers that a stage may be made of: all that are registered but heads."""
    return [kind for kind in BLOCKS if not is_head(kind)]


def _kind(value: str) -> str:
    if value not in block_kinds():
        raise ValueError(f"a kind is one of {', '.join(block_kinds())}")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a text is one line of printable characters")
    return value


Text = Annotated[str, Field(max_length=4_000), AfterValidator(_printable)]
"""Spaces and tables come from elsewhere, and their texts are shown on terminals."""
Width = Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
Depth = Annotated[int, Field(ge=1, le=1_000)]
Kernel = Literal[1, 3, 5, 7, 9, 11]
Expansion = Annotated[float, Field(gt=0, le=64)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Activation = Literal["relu", "relu6", "hard-swish", "swish", "none"]
Kind = Annotated[str, AfterValidator(_kind)]


class Strict(BaseModel):
    """Unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


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

    kind: Kind
    kernel: Kernel | None = None
    expansion: Expansion | None = None
    se: Ratio | None = None
    groups: Width | None = None
    residual: bool | None = None
    activation: Activation | None = None
    expand: Literal["needed", "always"] = "needed"
    """Whether an mbconv of expansion 1 has its first pointwise convolution: `always` in FBNet (arXiv:1812.03443)."""

    @model_validator(mode="after")
    def _expands(self) -> Block:
        if self.expand == "always" and self.kind != "mbconv":
            raise ValueError(f"`expand` is of mbconv blocks, not of {self.kind}")
        return self


class Stage(Strict):
    """Layers of one output width; the first has the stride, the others stride 1."""

    name: Name
    width: Global[Width]
    stride: Annotated[int, Field(ge=1, le=4)] = 1
    depth: Global[Depth] = Global[Depth](choice=[1])
    block: Setting[Name]
    """A kind of layer, or a name in `blocks`."""
    kernel: Setting[Kernel] | None = None
    expansion: Setting[Expansion] | None = None
    se: Setting[Ratio] | None = None
    """Inner width of squeeze-and-excitation, relative to the layer's input channels; 0 is none."""
    groups: Setting[Width] | None = None
    residual: Setting[bool] | None = None
    """Whether the input is added where stride and widths allow it; true unless said otherwise."""
    activation: Setting[Activation] | None = None


class Head(Strict):
    """Classifier: 1×1 convolution to `width`, pooling, linear."""

    width: Global[Width]
    activation: Activation | None = None


class Input(Strict):
    """The picture: square, `resolution` pixels wide."""

    resolution: Global[Width]
    channels: Annotated[int, Field(ge=1, le=1_024)] = 3


class SpaceFile(Strict):
    """A whole search-space file."""

    format: Literal["nas-space/1"]
    name: Name
    source: Text
    input: Input
    num_classes: Width = 1_000
    activation: Global[Activation]
    blocks: dict[Name, Block] = {}
    stages: list[Stage] = Field(min_length=1, max_length=1_000)
    head: Head
    references: dict[Name, dict[str, Any]] = {}

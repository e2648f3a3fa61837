"""Block strings: timm's notation for a run of equal blocks, such as `ir_r2_k3_s2_e6_c24_se0.25`.

The type, then letters with a number, in any order (timm, `_efficientnet_builder._decode_block_str`):

ds   depthwise-separable           r  repeats              e   expansion, of the input channels
dsa  likewise, activated twice     k  kernel               se  squeeze-and-excitation ratio
ir   inverted residual             s  stride of the first  n   activation: re, r6, hs, sw
er   fused inverted residual       c  output channels      noskip, skip   no residual; one for a cn or dsa
cn   convolution                   gs  channels per group of a cn, or of the expanded ones of an er
uir  universal inverted residual   a  kernel of its depthwise convolution before the expansion, k of that after it, or 0
mqa  multi-query attention         h  heads, d their width, v stride of keys and values, k kernel of what takes that
g    groups of the pointwise convolutions of an ir (FBNet; not in timm)
proj  where stride or width change the input is added by a 1×1 convolution (not in timm)

An ir may have several kernels, `k3.5.7`, each for a share of the channels, and `a1.1` or `p1.1`, an expansion or a
projection in as many groups (MixNet). `ir` has an expansion convolution even with e1; `ds` has none. What timm reads
and ignores (a stride in the middle of a stage, an expansion of a ds) is an error here, so that a string never means
two networks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.blocks.block import block_class, columns_of, expands
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError

LETTERS = {
    "ds": "sepconv",
    "ir": "mbconv",
    "er": "fused",
    "cn": "conv",
    "dsa": "dsa",
    "uir": "uir",
    "mqa": "mqa",
}
ELSEWHERE = {"mha": "multi-head attention"}
"""timm's other types of blocks."""
ACTIVATIONS = {"re": "relu", "r6": "relu6", "hs": "hard-swish", "sw": "swish"}

_NEEDED = {"ds": "rksc", "ir": "rksec", "er": "rksec", "cn": "rksc", "dsa": "rksc", "uir": "rksec", "mqa": "rkhsdc"}
_ALLOWED = {
    "ds": {"e", "se", "gs"},
    "ir": {"se", "g", "gs", "a", "p"},
    "er": {"se", "gs"},
    "cn": {"e", "gs"},
    "dsa": {"e", "se", "gs"},
    "uir": {"se", "gs", "a", "p"},
    "mqa": {"v"},
}
_NUMBER = re.compile(r"([a-z]+)([0-9]+(?:\.[0-9]+)*)")
_FRACTIONS = {"e", "se"}


@dataclass(frozen=True)
class Rounding:
    """How the layers of a network follow from its strings."""

    channels: int = 8
    """Output channels are rounded to multiples of this."""
    se_from_mid: bool = False
    """Squeeze-and-excitation is relative to the expanded width and rounded to 8, as in MobileNetV3."""
    se_gate: str = "sigmoid"
    excitation: str = "se"
    layer_scale: bool = False
    """Of uir and mqa."""
    anti_alias: str = "none"
    """Of layers with a stride."""


@dataclass(frozen=True)
class Block:
    """What one block string says."""

    kind: str
    repeats: int
    kernel: int
    stride: int
    channels: int
    expansion: float = 1.0
    se: float = 0.0
    activation: str | None = None
    """None is the activation of the network."""
    skip: bool | None = None
    projection: bool = False
    groups: int = 1
    group_size: int = 0
    """Input channels per group of a `cn`, inner ones of an `er`; 0 is all of them in one group."""
    own: Mapping[str, int] = field(default_factory=dict)
    """Settings of its kind alone."""

    def layer(self, shape: tuple[int, int, int], *, first: bool, activation: str, rounding: Rounding) -> Layer:
        """The block as a Layer for an input of `shape` (channels, height, width); only the `first` has the stride."""
        width, *size = shape
        stride = self.stride if first else 1
        out = make_divisible(self.channels, rounding.channels)
        inner = "mid_channels" in columns_of(block_class(self.kind))
        mid = make_divisible(width * self.expansion) if expands(self.kind) else width if inner else 0
        skips = self.skip is True if self.kind in {"conv", "dsa"} else self.skip is not False
        same = stride == 1 and width == out
        settings: dict[str, Any] = {"kernel": self.kernel, **self.own}
        if self.se and rounding.excitation != "se":
            settings["excitation"] = rounding.excitation
        if self.kind in {"uir", "mqa"}:
            settings["layer_scale"] = rounding.layer_scale
        if self.kind != "mqa":
            settings |= {
                "mid_channels": mid,
                "stride": stride,
                "groups": _groups(mid or width, self.group_size) if self.group_size else self.groups,
                "se_channels": self.squeezed(mid, rounding),
                "se_gate": rounding.se_gate if self.se else "sigmoid",
                "activation": self.activation or activation,
                "projection": self.projection and not same,
                "anti_alias": rounding.anti_alias if stride > 1 else "none",
            }
        shape_of: dict[str, Any] = {"in_channels": width, "out_channels": out, "height": size[0], "width": size[1]}
        return Layer(kind=self.kind, residual=skips and same, **shape_of, **settings)

    def squeezed(self, mid: int, rounding: Rounding) -> int:
        """Inner width of squeeze-and-excitation, by timm's own order of operations."""
        if not self.se or rounding.excitation == "eca":
            return 0
        squeezed = make_divisible(mid * self.se) if rounding.se_from_mid else round(mid * (self.se / self.expansion))
        if not squeezed:
            raise ArchitectureError(f"`se` leaves at least one channel, got {self.se:g} for a width of {mid}.")
        return squeezed


def parse_block(text: str) -> Block:
    """A block string taken apart. Raises `ArchitectureError` that names the string and what is wrong in it."""
    kind, *parts = text.split("_")
    if kind in ELSEWHERE:
        raise ArchitectureError(
            f"{text!r}: nas has no block `{kind}` ({ELSEWHERE[kind]}); it has {', '.join(LETTERS)}. "
            "A block of your own is a class: docs/own.md."
        )
    if kind not in LETTERS:
        raise ArchitectureError(f"{text!r}: the type of a block is one of {', '.join(LETTERS)}, got {kind!r}.")
    numbers: dict[str, float] = {}
    several: dict[str, list[int]] = {}
    activation: str | None = None
    skip: bool | None = None
    seen: set[str] = set()
    for part in parts:
        match = _NUMBER.fullmatch(part)
        if part in {"skip", "noskip"}:
            letter, skip = "skip", part == "skip"
        elif part == "proj":
            letter = part
        elif part.startswith("n") and part[1:] in ACTIVATIONS:
            letter, activation = "n", ACTIVATIONS[part[1:]]
        elif match and match[1] in {*_NEEDED[kind], *_ALLOWED[kind]}:
            letter = match[1]
            if kind == "ir" and letter in {"k", "a", "p"}:
                several[letter] = [int(digits) for digits in match[2].split(".")]
            numbers[letter] = several[letter][-1] if letter in several else _value(text, letter, match[2])
        else:
            letters = ", ".join([*_NEEDED[kind], *sorted(_ALLOWED[kind])])
            names = ", ".join(f"n{name}" for name in ACTIVATIONS)
            raise ArchitectureError(
                f"{text!r}: `{kind}` takes {letters} with a number each, {names}, skip, noskip and proj; got {part!r}."
            )
        if letter in seen:
            raise ArchitectureError(f"{text!r}: each part is given once, got `{letter}` twice.")
        seen.add(letter)
    for letter in _NEEDED[kind]:
        if letter not in numbers:
            raise ArchitectureError(f"{text!r}: `{kind}` needs `{letter}`.")
    _check(text, kind, numbers)
    own, groups = _of_kind(text, kind, numbers, several)
    if kind == "mqa" and seen & {"n", "proj"}:
        raise ArchitectureError(f"{text!r}: `mqa` has neither an activation nor a projected input.")
    return Block(
        kind="mixconv" if own.keys() & {"kernels", "project_groups"} else LETTERS[kind],
        repeats=int(numbers["r"]),
        kernel=int(numbers["k"]) if kind != "mqa" or numbers.get("v", 1) > 1 else 1,
        stride=int(numbers["s"]),
        channels=int(numbers["c"]),
        expansion=numbers.get("e", 1.0),
        se=numbers.get("se", 0.0),
        activation=activation,
        skip=skip,
        projection="proj" in seen,
        groups=groups,
        group_size=int(numbers.get("gs", 0)) if kind in {"cn", "er"} else 0,
        own=own,
    )


def make_divisible(width: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one of it and at least 90 % of `width` (timm, TensorFlow)."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def _of_kind(
    text: str, kind: str, numbers: Mapping[str, float], several: Mapping[str, list[int]]
) -> tuple[dict[str, int], int]:
    """Settings of its kind alone, and its groups."""
    if kind == "uir":
        if numbers.get("p"):
            raise ArchitectureError(f"{text!r}: no block of nas has a kernel after the projection (`p` is 0).")
        return {"start_kernel": int(numbers.get("a", 0))}, 1
    if kind == "mqa":
        stride = {"key_stride": int(numbers.get("v", 1))}
        return {"heads": int(numbers["h"]), "key_dim": int(numbers["d"]), **stride}, 1
    groups = int(numbers.get("g", 1))
    if kind != "ir":
        return {}, groups
    for letter in ("a", "p"):
        if set(several.get(letter, [1])) != {1} or (letter in several and groups > 1):
            raise ArchitectureError(
                f"{text!r}: `{letter}` of an ir is a 1 for each of its groups, such as {letter}1.1, and not beside g."
            )
    kernels = several["k"]
    if kernels != list(range(kernels[0], kernels[0] + 2 * len(kernels), 2)):
        raise ArchitectureError(f"{text!r}: several kernels grow by 2, such as k3.5.7, got {numbers['k']:g} at last.")
    expand, project = (len(several.get(letter, [1])) for letter in ("a", "p"))
    own = {"kernels": len(kernels), "project_groups": project * groups}
    if own["kernels"] == 1 and expand == project:
        return {}, expand * groups
    return own, expand * groups


def _value(text: str, letter: str, digits: str) -> float:
    if digits.count(".") > int(letter in _FRACTIONS):
        raise ArchitectureError(f"{text!r}: `{letter}` is one whole number, got {digits}.")
    return float(digits) if letter in _FRACTIONS else int(digits)


def _check(text: str, kind: str, numbers: dict[str, float]) -> None:
    if numbers["s"] not in {1, 2}:
        raise ArchitectureError(f"{text!r}: `s` is 1 or 2, got {numbers['s']}.")
    if numbers.get("v", 1) > 2:
        raise ArchitectureError(f"{text!r}: `v` is 1 or 2, got {numbers['v']}.")
    if kind == "mqa" and numbers["s"] != 1:
        raise ArchitectureError(f"{text!r}: attention has no stride (`s` is 1), got {numbers['s']}.")
    for letter in ("r", "k", "c", "e", "g", "h", "d", "v"):
        if letter in numbers and not numbers[letter] > 0 and (kind, letter) != ("uir", "k"):
            raise ArchitectureError(f"{text!r}: `{letter}` is more than 0, got {numbers[letter]:g}.")
    if kind in {"ds", "dsa", "cn"} and numbers.get("e", 1) != 1:
        raise ArchitectureError(f"{text!r}: `{kind}` has no expansion (`e` is 1), got {numbers['e']:g}.")
    if kind not in {"cn", "er"} and numbers.get("gs", 1) != 1:
        raise ArchitectureError(f"{text!r}: `{kind}` is depthwise inside (`gs` is 1), got {numbers['gs']}.")


def _groups(width: int, group_size: int) -> int:
    if width % group_size:
        raise ArchitectureError(f"`gs` divides the channels, got {group_size} for {width} channels.")
    return width // group_size

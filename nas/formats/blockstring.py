"""Block strings: timm's notation for a run of equal blocks, such as `ir_r2_k3_s2_e6_c24_se0.25`.

The type, then letters with a number, in any order (timm, `_efficientnet_builder._decode_block_str`):

ds  depthwise-separable           r  repeats              e   expansion, of the input channels
ir  inverted residual             k  kernel               se  squeeze-and-excitation ratio
er  fused inverted residual       s  stride of the first  n   activation: re, r6, hs, sw
cn  convolution                   c  output channels      noskip, skip   no residual; one for a cn
gs  channels per group of a cn    g  groups of the pointwise convolutions of an ir (FBNet; not in timm)
proj  where stride or width change the input is added by a 1×1 convolution (not in timm)

`ir` has an expansion convolution even with e1; `ds` has none. What timm reads and ignores (a stride in the
middle of a stage, an expansion of a ds) is an error here, so that a string never means two networks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nas.blocks.layer import Layer
from nas.errors import ArchitectureError

LETTERS = {"ds": "sepconv", "ir": "mbconv", "er": "fused", "cn": "conv"}
ELSEWHERE = {
    "dsa": "depthwise-separable, activated after its pointwise convolution",
    "uir": "universal inverted bottleneck",
    "mha": "multi-head attention",
    "mqa": "multi-query attention",
}
"""timm's other types of blocks."""
ACTIVATIONS = {"re": "relu", "r6": "relu6", "hs": "hard-swish", "sw": "swish"}

_NEEDED = {"ds": "rksc", "ir": "rksec", "er": "rksec", "cn": "rksc"}
_ALLOWED = {"ds": {"e", "se", "gs"}, "ir": {"se", "g", "gs"}, "er": {"se"}, "cn": {"e", "gs"}}
_NUMBER = re.compile(r"([a-z]+)([0-9]+(?:\.[0-9]+)?)")
_FRACTIONS = {"e", "se"}


@dataclass(frozen=True)
class Rounding:
    """How the widths of a network follow from its strings."""

    channels: int = 8
    """Output channels are rounded to multiples of this."""
    se_from_mid: bool = False
    """Squeeze-and-excitation is relative to the expanded width and rounded to 8, as in MobileNetV3."""
    se_gate: str = "sigmoid"


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
    """Input channels per group of a `cn`; 0 is all of them in one group."""

    def layer(self, shape: tuple[int, int, int], *, first: bool, activation: str, rounding: Rounding) -> Layer:
        """The block as a Layer for an input of `shape` (channels, height, width); only the `first` has the stride."""
        width, *size = shape
        stride = self.stride if first else 1
        out = make_divisible(self.channels, rounding.channels)
        expands = self.kind in {"mbconv", "fused"}
        mid = 0 if self.kind == "conv" else make_divisible(width * self.expansion) if expands else width
        skips = self.skip is True if self.kind == "conv" else self.skip is not False
        same = stride == 1 and width == out
        return Layer(
            kind=self.kind,
            in_channels=width,
            out_channels=out,
            mid_channels=mid,
            kernel=self.kernel,
            stride=stride,
            groups=self.groups if not self.group_size else _groups(width, self.group_size),
            se_channels=self.squeezed(mid, rounding),
            se_gate=rounding.se_gate if self.se else "sigmoid",
            activation=self.activation or activation,
            residual=skips and same,
            projection=self.projection and not same,
            height=size[0],
            width=size[1],
        )

    def squeezed(self, mid: int, rounding: Rounding) -> int:
        """Inner width of squeeze-and-excitation, by timm's own order of operations."""
        if not self.se:
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
            numbers[letter] = _value(text, letter, match[2])
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
    return Block(
        kind=LETTERS[kind],
        repeats=int(numbers["r"]),
        kernel=int(numbers["k"]),
        stride=int(numbers["s"]),
        channels=int(numbers["c"]),
        expansion=numbers.get("e", 1.0),
        se=numbers.get("se", 0.0),
        activation=activation,
        skip=skip,
        projection="proj" in seen,
        groups=int(numbers.get("g", 1)),
        group_size=int(numbers.get("gs", 0)) if kind == "cn" else 0,
    )


def make_divisible(width: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one of it and at least 90 % of `width` (timm, TensorFlow)."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def _value(text: str, letter: str, digits: str) -> float:
    if letter not in _FRACTIONS and "." in digits:
        raise ArchitectureError(f"{text!r}: `{letter}` is one whole number, got {digits}.")
    return float(digits) if letter in _FRACTIONS else int(digits)


def _check(text: str, kind: str, numbers: dict[str, float]) -> None:
    if numbers["s"] not in {1, 2}:
        raise ArchitectureError(f"{text!r}: `s` is 1 or 2, got {numbers['s']}.")
    for letter in ("r", "k", "c", "e", "g"):
        if letter in numbers and not numbers[letter] > 0:
            raise ArchitectureError(f"{text!r}: `{letter}` is more than 0, got {numbers[letter]:g}.")
    if kind in {"ds", "cn"} and numbers.get("e", 1) != 1:
        raise ArchitectureError(f"{text!r}: `{kind}` has no expansion (`e` is 1), got {numbers['e']:g}.")
    if kind != "cn" and numbers.get("gs", 1) != 1:
        raise ArchitectureError(f"{text!r}: `{kind}` is depthwise inside (`gs` is 1), got {numbers['gs']}.")


def _groups(width: int, group_size: int) -> int:
    if width % group_size:
        raise ArchitectureError(f"`gs` divides the input channels, got {group_size} for {width} channels.")
    return width // group_size

"""StageStrings: the layers of a network's stages as block strings that timm reads the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.blocks.block import expands
from nas.blocks.layer import Layer
from nas.errors import ArchitectureError
from nas.formats.blockstring import ACTIVATIONS, LETTERS, Block, Rounding, make_divisible, parse_block

MOST_PARTS = 16
"""Of a mixed convolution that is written out, `a1.1.…`."""
MAX_SHRINK = 32
"""timm dilates instead of shrinking a picture further than this."""
_LETTER_OF = {name: letter for letter, name in LETTERS.items()} | {"mixconv": "ir"}


class Inexpressible(ArchitectureError):
    """What timm's strings have no words for."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"timm cannot express this network: {reason}.")


def stages(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Runs of layers that begin where the stride is 2 or, but behind attention, the width changes."""
    stage: list[Layer] = []
    for layer in layers:
        wider = stage and stage[-1].kind != "mqa" and layer.out_channels != stage[-1].out_channels
        if stage and (layer.stride > 1 or wider):
            yield stage
            stage = []
        stage.append(layer)
    yield stage


class StageStrings:
    """Writes the block strings of a network's stages; keeps count of how far the picture has shrunk."""

    def __init__(self, activation: str, rounding: Rounding) -> None:
        self.activation = activation
        self.rounding = rounding
        self.shrink = 2

    def stage(self, layers: Sequence[Layer]) -> list[str]:
        """The strings of one stage; equal layers are one string."""
        if layers[-1].kind == "mqa":
            raise Inexpressible("attention is not the last before a stride or the head")
        strings: list[str] = []
        rest = list(layers)
        while rest:
            parts = self.parts(rest[0])
            count = self.run(parse_block("_".join(parts)), rest, first=not strings)
            assert count, (parts, rest[0])
            strings.append("_".join([parts[0], f"r{count}", *parts[2:]]))
            del rest[:count]
        return strings

    def run(self, block: Block, layers: Sequence[Layer], first: bool) -> int:
        """How many of these layers are repeats of the block."""
        for count, layer in enumerate(layers):
            shape = (layer.in_channels, layer.height, layer.width)
            try:
                again = block.layer(
                    shape, first=first and not count, activation=self.activation, rounding=self.rounding
                )
            except ArchitectureError:  # its ratios do not suit this layer's width
                return count
            if again != layer:
                return count
        return len(layers)

    def parts(self, layer: Layer) -> list[str]:
        """The parts of a block string that stands for one layer."""
        if layer.kind not in _LETTER_OF:
            raise Inexpressible(f"it has blocks of kind {', '.join(_LETTER_OF)}, got {layer.kind}")
        if layer.kind == "mqa":
            if layer.key_stride > 2:
                raise Inexpressible(f"strides are 1 or 2, got {layer.key_stride} of keys")
            heads = f"h{layer.heads}_v{layer.key_stride}_d{layer.key_dim}".split("_")
            kernel = layer.kernel if layer.key_stride > 1 else 3
            skips = [] if layer.residual or layer.in_channels != layer.out_channels else ["noskip"]
            return ["mqa", "r1", f"k{kernel}", "s1", *heads, f"c{layer.out_channels}", *skips]
        if layer.activation in ("none", "evonorm"):
            raise Inexpressible(f"every block has an activation of timm's, got a {layer.kind} with {layer.activation}")
        if layer.stride > 2:
            raise Inexpressible(f"strides are 1 or 2, got {layer.stride}")
        if layer.projection:
            raise Inexpressible("inputs are added as they are, got a projection")
        self.shrink *= layer.stride
        if self.shrink > MAX_SHRINK:
            raise Inexpressible(f"all strides together are at most {MAX_SHRINK}, got {self.shrink}")
        kind = _LETTER_OF[layer.kind]
        kernels = [layer.kernel - 2 * place for place in reversed(range(layer.kernels))]
        parts = [kind, "r1", f"k{'.'.join(map(str, kernels))}", f"s{layer.stride}"]
        expansion = _expansion(layer) if expands(layer.kind) else "1"
        if kind not in {"cn", "dsa"}:
            parts.append(f"e{expansion}")
        parts += [f"a{layer.start_kernel}"] if kind == "uir" else []
        parts.append(f"c{layer.out_channels}")
        if kind == "ir":  # groups of a pointwise convolution are a mixed one, whose parts are alike
            ends = {"a": layer.groups, "p": layer.project_groups if layer.kind == "mixconv" else layer.groups}
            if max(ends.values()) > MOST_PARTS:
                raise Inexpressible(f"pointwise convolutions have at most {MOST_PARTS} groups, got {layer.groups}")
            parts += [letter + ".".join("1" * count) for letter, count in ends.items() if count > 1]
        elif layer.groups > 1:
            parts.append(f"gs{(layer.mid_channels or layer.in_channels) // layer.groups}")
        if layer.gated:
            parts.append(f"se{self.ratio(layer, float(expansion))}")
        if layer.activation != self.activation:
            letter = next((letter for letter, name in ACTIVATIONS.items() if name == layer.activation), None)
            if letter is None:
                raise Inexpressible(f"only whole networks have {layer.activation}, got a {layer.kind} with it")
            parts.append(f"n{letter}")
        if kind in {"ds", "dsa"} and layer.anti_alias == "blur" and layer.in_channels != layer.out_channels:
            raise Inexpressible(f"it blurs no {layer.kind} that changes the width")
        if kind == "dsa" and layer.residual:
            raise Inexpressible("blocks that are activated at their end have no residual")
        if layer.stride == 1 and layer.in_channels == layer.out_channels and layer.residual == (kind == "cn"):
            parts.append("skip" if layer.residual else "noskip")
        return parts

    def ratio(self, layer: Layer, expansion: float) -> str:
        """A short ratio that gives the inner width in timm, and in `int(ratio · input channels)` too if any does."""
        if self.rounding.se_from_mid or not layer.se_channels:
            return "0.25"
        inner, width = layer.se_channels, layer.in_channels
        texts = [_decimal(-(-inner * 10**n // width) / 10**n, n) for n in _exact_first(inner, width)]  # rounded up
        texts += [_decimal(inner * expansion / layer.mid_channels, n) for n in range(12)]
        fits = [text for text in texts if round(layer.mid_channels * (float(text) / expansion)) == inner]
        return next((text for text in fits if int(float(text) * width) == inner), fits[0])


def _expansion(layer: Layer) -> str:
    """The shortest expansion ratio that gives the expanded width."""
    for digits in _exact_first(layer.mid_channels, layer.in_channels):
        text = _decimal(layer.mid_channels / layer.in_channels, digits)
        if float(text) > 0 and make_divisible(layer.in_channels * float(text)) == layer.mid_channels:
            return text
    raise Inexpressible(f"expanded widths are multiples of 8, got {layer.mid_channels}")


def _exact_first(numerator: int, denominator: int) -> list[int]:
    """Numbers of decimals to write a quotient with: few before many, but those that are exact before all others."""
    return sorted(range(9), key=lambda digits: (numerator * 10**digits % denominator != 0, digits))


def _decimal(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

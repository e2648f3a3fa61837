"""Block: a kind of layer. Its fields are the columns of a latency table, the settings of a space and the keys of a
config.json; it writes the graph of ops that it stands for.

`BLOCKS` is the one place where kinds are registered: name → class, or `"package.module:Class"`, read when it is used.
A block is a frozen dataclass of whole numbers, words and flags, with a method `write`:

    @dataclass(frozen=True, kw_only=True)
    class Ghost:
        out_channels: int
        kernel: int = 3
        activation: Activation = "relu"

        def write(self, g: Graph, x: Wire) -> Wire:
            half = self.out_channels // 2
            main = g.add("primary", Conv(x.channels, half, activation=self.activation), x)
            cheap = g.add("cheap", Conv(half, half, self.kernel, groups=half, activation=self.activation), main)
            return g.add("join", Concat(), main, cheap)

    BLOCKS["ghost"] = Ghost
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from typing import Any, Literal, Protocol, get_args, get_origin, get_type_hints

from nas.blocks.graph import Graph, Wire
from nas.errors import ArchitectureError
from nas.system.lazy import load

MAX_DIMENSION = 65_536

Activation = Literal["relu", "relu6", "hard-swish", "swish", "gelu", "evonorm", "none"]
Gate = Literal["sigmoid", "hard-sigmoid"]
Excitation = Literal["se", "eca", "scse"]
AntiAlias = Literal["none", "average", "blur"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
GATES: tuple[str, ...] = get_args(Gate)


class Block(Protocol):
    """One kind of layer with its settings. Class attributes that it may have besides:

    `family`  kinds of one family share weights in a superkernel where their ops have one name; by default the kind
    `head`    True for what only the end of a network is made of
    `described` numbers, by their names, that tell its time beside its fields, where there are thousands of its layers
    `expands` False where `mid_channels` is the width of the input, not a choice
    `inside`  True where inner widths are multiples of the output's width; as a rule they are of the input's
    `keeps_width` True where it gives as many channels as it takes
    `parts`   names of fields that are parts of the output's width, and keep their share where it changes
    `untimed` names of fields that its time does not depend on: no columns of a table

    A block that is trained in another form than it is used in has a method `write_training` beside `write`. Instead of
    a `BiasConv` called X it then has branches called X_1, X_2, … (`branch`): `Conv` and `Norm` of one input. Their sum
    is what the one convolution computes (`nas.formats.merged`). All other ops are the same, by the same names.
    """

    def write(self, g: Graph, x: Wire, /) -> Wire:
        """Add its ops to a graph, and return the wire of the last one, or `x` where it has none. A block of several
        inputs takes as many wires. Raises `ArchitectureError` where its settings do not fit what comes in."""


BLOCKS: dict[str, Any] = {
    "conv": "nas.blocks.plain:ConvBlock",
    "sepconv": "nas.blocks.inverted:SepConv",
    "mbconv": "nas.blocks.inverted:MBConv",
    "fused": "nas.blocks.inverted:FusedMBConv",
    "tucker": "nas.blocks.tucker:Tucker",
    "dsa": "nas.blocks.inverted:ActivatedSepConv",
    "uir": "nas.blocks.universal:UniversalInverted",
    "mqa": "nas.blocks.multi_query:MultiQueryAttention",
    "mixconv": "nas.blocks.mixed:MixConv",
    "s2d": "nas.blocks.space_to_depth:SpaceToDepth",
    "mhsa": "nas.blocks.mhsa:Mhsa",
    "moat": "nas.blocks.moat:Moat",
    "shsa": "nas.blocks.shsa:Shsa",
    "poolformer": "nas.blocks.poolformer:PoolFormer",
    "ghost": "nas.blocks.ghost:Ghost",
    "pconv": "nas.blocks.pconv:PConv",
    "patch": "nas.blocks.pconv:Patch",
    "pool": "nas.blocks.parameter_free:PoolBlock",
    "shift": "nas.blocks.parameter_free:ShiftBlock",
    "identity": "nas.blocks.plain:Identity",
    "cell": "nas.blocks.cell:Cell",
    "preact": "nas.blocks.preactivation:Preact",
    "norm": "nas.blocks.preactivation:NormAct",
    "rep": "nas.blocks.rep:Rep",
    "head": "nas.blocks.heads:Head",
    "pooled_head": "nas.blocks.heads:PooledHead",
    "norm_head": "nas.blocks.heads:NormHead",
}


def block_class(kind: str) -> Any:
    """The class of a kind of layer. Raises `ArchitectureError`, with those that there are, for an unknown one."""
    found = BLOCKS.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise ArchitectureError(f"`kind` of a layer is one of {', '.join(BLOCKS)}, got {kind!r}.")
    if isinstance(found, str):
        found = BLOCKS[kind] = load(found)
    return found


def is_head(kind: str) -> bool:
    """Whether only the end of a network is made of it."""
    return bool(getattr(block_class(kind), "head", False))


def expands(kind: str) -> bool:
    """Whether a space chooses its `mid_channels`, as a multiple of the input's width."""
    found = block_class(kind)
    return "mid_channels" in columns_of(found) and bool(getattr(found, "expands", True))


def inside(kind: str) -> bool:
    """Whether a space's `expansion` and `se` of it are relative to its output's width."""
    return bool(getattr(block_class(kind), "inside", False))


def family_of(kind: str) -> str:
    """Name of the family of a kind of layer."""
    return str(getattr(block_class(kind), "family", kind))


@dataclass(frozen=True)
class Column:
    """A field of a block: what may stand in a table's column, a space's setting or a config's key of that name."""

    name: str
    default: Any
    """`MISSING` where a block needs a value."""
    options: tuple[str, ...] = ()
    """Of a word; empty for a number or a flag."""
    flag: bool = False
    least: int = 0
    """Of a number."""
    timed: bool = True
    """Whether a layer's time depends on it."""

    @property
    def absent(self) -> Any:
        """What stands there for a layer that has no such field."""
        if self.default is not MISSING:
            return self.default
        return self.options[0] if self.options else False if self.flag else 0

    def check(self, kind: str, value: Any) -> None:
        """Raise `ArchitectureError` for a value of another type, or out of bounds."""
        if self.options:
            if value not in self.options:
                raise ArchitectureError(f"`{self.name}` is one of {', '.join(self.options)}, got {value!r}.")
        elif self.flag:
            if type(value) is not bool:
                raise ArchitectureError(f"`{self.name}` is true or false, got {value!r}.")
        elif type(value) is not int:
            raise ArchitectureError(f"`{self.name}` of a {kind} layer is a whole number, got {value!r}.")
        elif not self.least <= value <= MAX_DIMENSION:
            raise ArchitectureError(
                f"`{self.name}` of a {kind} layer lies in {self.least}..{MAX_DIMENSION}, got {value}."
            )
        elif self.name.endswith("kernel") and value and value % 2 == 0:
            raise ArchitectureError(f"`{self.name}` of a {kind} layer is odd, got {value}.")


STANDARD = (
    Column("out_channels", MISSING, least=1),
    Column("mid_channels", 0),
    Column("kernel", 1, least=1),
    Column("stride", 1, least=1),
    Column("groups", 1, least=1),
    Column("se_channels", 0),
    Column("se_gate", "sigmoid", GATES),
    Column("activation", "relu", ACTIVATIONS),
    Column("residual", False, flag=True),
)
"""Columns that every table has, whether or not one of its layers uses them."""
_STANDARD = {column.name: column for column in STANDARD}


@cache
def columns_of(block: Any) -> Mapping[str, Column]:
    """The fields of a class of blocks, in order."""
    hints = get_type_hints(block)
    found = {}
    for field in fields(block):
        hint, default = hints[field.name], field.default
        words = get_args(hint) if get_origin(hint) is Literal else ()
        if not words and hint not in (int, bool):
            raise ArchitectureError(
                f"{block.__name__}.{field.name}: a block's field is an int, a bool or a Literal of words, got {hint}."
            )
        standard = _STANDARD.get(field.name)
        least = standard.least if standard else 1
        least = min(least, default) if isinstance(default, int) else least
        least = 1 if default is MISSING else least  # what has no default is needed
        timed = field.name not in getattr(block, "untimed", ())
        found[field.name] = Column(field.name, default, words, hint is bool, least, timed)
    return found


@cache
def timed_columns(block: Any) -> Mapping[str, Column]:
    """Those of them that a layer's time depends on: the ones that a table has."""
    return {name: column for name, column in columns_of(block).items() if column.timed}


def further_columns(of: Callable[[Any], Mapping[str, Column]] = timed_columns) -> dict[str, Column]:
    """Columns of registered kinds that are not among the standard ones, in the order of the kinds. One that several
    kinds have is the first one's, and holds what any of them allows."""
    found: dict[str, Column] = {}
    for kind in BLOCKS:
        for name, column in of(block_class(kind)).items():
            if name not in _STANDARD:
                one = found.setdefault(name, column)
                words = tuple(dict.fromkeys((*one.options, *column.options)))
                found[name] = replace(one, options=words, least=min(one.least, column.least))
    return found


def absent(name: str) -> Any:
    """What a column holds for a layer of a kind that has no such field. Raises `KeyError` for an unknown column."""
    column = _STANDARD.get(name)
    return (column or further_columns(columns_of)[name]).absent


def least(name: str) -> int:
    """The least number that a column holds: for some kind the least that it may have, for others what is absent."""
    kinds = [columns_of(block_class(kind)) for kind in BLOCKS]
    return int(min(columns[name].least if name in columns else absent(name) for columns in kinds))

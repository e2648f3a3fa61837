"""Layer: a block with the shapes of its inputs and its precision; no knowledge of torch, of spaces or of wiring."""

from __future__ import annotations

from dataclasses import MISSING
from functools import lru_cache, partial
from typing import Any

from nas.blocks.block import (
    ACTIVATIONS,
    GATES,
    MAX_DIMENSION,
    STANDARD,
    Block,
    Column,
    absent,
    block_class,
    columns_of,
    further_columns,
    is_head,
    timed_columns,
)
from nas.blocks.evonorm import EVONORM
from nas.blocks.graph import Graph
from nas.blocks.op import Shape
from nas.blocks.precision import PRECISIONS
from nas.errors import ArchitectureError

__all__ = ["ACTIVATIONS", "GATES", "KEY_COLUMNS", "MAX_DIMENSION", "Layer", "key_columns", "shared_layer"]

PADDINGS = ("symmetric", "same")
"""Of convolutions: torch's usual one, and TensorFlow's."""
NORM_EPS = 1e-5
KEY_COLUMNS = ("kind", "in_channels", *(column.name for column in STANDARD), "height", "width")
"""Key columns that every latency table has, and keys of every layer in a config.json, in order."""


def key_columns() -> tuple[str, ...]:
    """All that there can be: `KEY_COLUMNS`, the fields of registered blocks that are not among them, and precision."""
    return (*KEY_COLUMNS, *further_columns(), "precision")


_SIZE = {name: Column(name, MISSING, least=1) for name in ("in_channels", "height", "width")}
_PRECISION = Column("precision", PRECISIONS[0], PRECISIONS)
_PADDING = Column("padding", PADDINGS[0], PADDINGS)
_SE_ACTIVATION = Column("se_activation", "relu", tuple(name for name in ACTIVATIONS if name not in (EVONORM, "none")))
_BRANCHED = Column("branched", False, flag=True)
_USUAL = {"norm_eps": NORM_EPS, "padding": PADDINGS[0], "se_activation": "relu", "dropout": 0.0}
"""Conventions of whole networks, which change what a layer computes and not its time."""


class Layer:
    """One block of a network with every shape explicit: the key of a row in a latency table.

    Written flat, `Layer(kind="conv", in_channels=3, out_channels=16, kernel=3, height=32, width=32)`: the settings are
    the fields of the block. A layer of several inputs has a tuple of `in_channels`; all are of one height and width.
    A setting that the kind does not have reads as its default, so that all layers have the same columns.
    Raises `ArchitectureError` for an unknown kind, and for a setting of the wrong type, of an absurd size or of another
    kind.
    """

    __slots__ = (
        *("_graph", "_key", "_rest", "block", "branched", "conventions", "dropout", "height", "in_channels", "kind"),
        *("norm_eps", "padding", "precision", "se_activation", "width"),
    )
    block: Block
    kind: str
    in_channels: Any
    height: int
    """Of the input, in pixels; `width` likewise."""
    width: int
    precision: str
    norm_eps: float
    """What batch normalisation adds to variances."""
    padding: str
    """Of convolutions: see `nas.blocks.convolution.Conv`."""
    se_activation: str
    """Inside squeeze-and-excitation."""
    dropout: float
    """Of a head: the share of features that are dropped before the classifier while it is trained."""
    branched: bool
    """Whether it has the branches that are trained, and not yet the convolution that they become."""
    _key: tuple[Any, ...]
    _rest: tuple[Any, ...]
    conventions: dict[str, Any]
    """Of the four before, those that are not as usual."""
    _graph: Graph | None

    def __init__(
        self,
        *,
        kind: str,
        in_channels: int | tuple[int, ...],
        height: int,
        width: int,
        precision: str = PRECISIONS[0],
        norm_eps: float = NORM_EPS,
        padding: str = PADDINGS[0],
        se_activation: str = "relu",
        dropout: float = 0.0,
        branched: bool = False,
        **settings: Any,
    ) -> None:
        found = block_class(kind)
        columns = columns_of(found)
        for name, value in settings.items():
            if name in columns:
                columns[name].check(kind, value)
            else:
                try:
                    usual = absent(name)
                except KeyError:
                    raise ArchitectureError(f"No block has a setting {name!r}, got it for a {kind} layer.") from None
                if value != usual:
                    raise ArchitectureError(f"A {kind} layer has no `{name}` (it stays {usual!r}), got {value!r}.")
        widths = in_channels if isinstance(in_channels, tuple) else (in_channels,)
        for name, number in (*(("in_channels", width_) for width_ in widths), ("height", height), ("width", width)):
            _SIZE[name].check(kind, number)
        _PRECISION.check(kind, precision)
        _PADDING.check(kind, padding)
        _SE_ACTIVATION.check(kind, se_activation)
        _BRANCHED.check(kind, branched)
        if branched and not hasattr(found, "write_training"):
            raise ArchitectureError(f"A {kind} layer has no other form for training, so `branched` stays false.")
        if not isinstance(norm_eps, float) or not 0 < norm_eps <= 1:
            raise ArchitectureError(f"`norm_eps` of a {kind} layer lies in 0..1, above 0, got {norm_eps!r}.")
        if type(dropout) not in (int, float) or not 0 <= dropout < 1 or (dropout and not is_head(kind)):
            where = "" if is_head(kind) else " and is of a head"
            raise ArchitectureError(f"`dropout` of a {kind} layer lies in 0..1, below 1{where}, got {dropout!r}.")
        own = {name: settings[name] for name in columns if name in settings}
        try:
            block = found(**own)
        except TypeError:
            missing = [name for name, column in columns.items() if name not in own and column.default is MISSING]
            raise ArchitectureError(f"A {kind} layer needs `{missing[0]}` of at least 1.") from None
        if settings.get("residual") and (settings.get("stride", 1) != 1 or in_channels != settings["out_channels"]):
            raise ArchitectureError(
                f"A residual {kind} layer has stride 1 and equal widths, got stride {settings.get('stride', 1)}, "
                f"{in_channels} → {settings['out_channels']} channels."
            )
        timed = timed_columns(found)
        key = (kind, in_channels, height, width, precision, *(getattr(block, name) for name in timed))
        rest = tuple(getattr(block, name) for name in columns if name not in timed)
        if branched:
            key, rest = (*key, "branched", *rest), ()
        shared = {"norm_eps": norm_eps, "padding": padding, "se_activation": se_activation, "dropout": dropout}
        for name, value in (
            ("block", block),
            ("kind", kind),
            ("in_channels", in_channels),
            ("height", height),
            ("width", width),
            ("precision", precision),
            ("norm_eps", norm_eps),
            ("padding", padding),
            ("se_activation", se_activation),
            ("dropout", dropout),
            ("branched", branched),
            ("conventions", {name: given for name, given in shared.items() if given != _USUAL[name]}),
            ("_key", key),
            ("_rest", rest),
            ("_graph", None),
        ):
            object.__setattr__(self, name, value)

    @property
    def key(self) -> tuple[Any, ...]:
        """Kind, input, precision and the fields of the block that its time depends on."""
        return self._key

    @property
    def gated(self) -> bool:
        """Whether it has a gate by channel: squeeze-and-excitation, or another in its place."""
        return bool(self.se_channels) or self.excitation == "eca"

    @property
    def inputs(self) -> tuple[Shape, ...]:
        """Shapes of what it takes."""
        widths = self.in_channels if isinstance(self.in_channels, tuple) else (self.in_channels,)
        return tuple((channels, self.height, self.width) for channels in widths)

    @property
    def graph(self) -> Graph:
        """Its ops. Raises `ArchitectureError` where the block's settings do not fit its input."""
        if self._graph is not None:
            return self._graph
        graph = Graph(*self.inputs, conventions=self.conventions)
        write = self.block.write_training if self.branched else self.block.write  # type: ignore[attr-defined]
        graph.closed(self.kind, write(graph, *graph.inputs))
        object.__setattr__(self, "_graph", graph)
        return graph

    @property
    def output(self) -> Shape:
        """Shape of what it gives: channels, height, width; (classes,) of a head."""
        return self.graph.output

    @property
    def macs(self) -> int:
        """Multiply-accumulates of its convolutions and linear layers, for one picture."""
        return self.graph.macs

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return self.graph.params

    def changed(self, **settings: Any) -> Layer:
        """The same layer with other settings. Raises as the constructor does."""
        return Layer(**{**self.settings, **settings})

    def for_training(self) -> Layer:
        """It with its branches, where it is trained with some; else itself."""
        if not hasattr(self.block, "write_training"):
            return self
        return shared_layer(**{**self.settings, "branched": True})

    @property
    def settings(self) -> dict[str, Any]:
        """What the constructor takes: kind, input, and the block's fields; what is no `KEY_COLUMNS` only where it is
        not at its default, so that files written before there was any stay as they are."""
        columns = columns_of(type(self.block))
        later = {name for name in columns if name not in KEY_COLUMNS and getattr(self, name) == columns[name].default}
        names = ("kind", "in_channels", *(name for name in columns if name not in later), "height", "width")
        found = {name: getattr(self, name) for name in names}
        precision = {} if self.precision == PRECISIONS[0] else {"precision": self.precision}
        form = {"branched": True} if self.branched else {}
        return {**found, **precision, **self.conventions, **form}

    @property
    def row(self) -> dict[str, Any]:
        """What stands for it in a config.json and a table: all of `KEY_COLUMNS`, and of further columns those that are
        not at their defaults."""
        return {name: getattr(self, name) for name in KEY_COLUMNS} | self.settings

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "block":
            raise AttributeError(name)
        if name in columns_of(type(self.block)):
            return getattr(self.block, name)
        try:
            return absent(name)
        except KeyError:
            raise AttributeError(f"A layer has no {name!r}.") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A layer is frozen: {name!r} cannot be set.")

    def __eq__(self, other: object) -> bool:
        mine = (self._key, self._rest, self.conventions)
        return isinstance(other, Layer) and mine == (other._key, other._rest, other.conventions)

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Layer, **self.settings), ()

    def __repr__(self) -> str:
        """In the words of version 0.1, whose fingerprints of spaces are of this text."""
        return f"Layer({', '.join(f'{name}={value!r}' for name, value in self.row.items())})"


@lru_cache(maxsize=1 << 16, typed=True)
def shared_layer(**settings: Any) -> Layer:
    """`Layer(**settings)`, one object for equal settings: a space asks for the same few again and again."""
    return Layer(**settings)

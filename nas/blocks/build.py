"""Layer and Architecture → torch modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from torch import nn

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.blocks.modules import Wired
from nas.blocks.op import Op


def module_class(op: Op) -> type[nn.Module]:
    """The class of an op's torch module."""
    found = op.module
    if isinstance(found, str):
        module, _, name = found.partition(":")
        found = getattr(import_module(module), name)
    return found  # type: ignore[no-any-return]


def build_op(op: Op) -> nn.Module:
    """The torch module of one op."""
    return module_class(op)(**op.arguments())


def build_layer(layer: Layer) -> nn.Sequential:
    """The torch module of one layer: N,C,H,W in; N,C,H,W out, or N,classes from a head."""
    return _wired([build_op(op) for op in layer.graph.ops()], layer.graph.takes)


def build(architecture: Architecture) -> nn.Sequential:
    """The torch module of a network with torch's default random weights: N,C,H,W to N,classes; a tuple where it has
    several outputs."""
    return _wired([build_layer(layer) for layer in architecture.layers], architecture.takes, architecture.outputs)


def _wired(
    modules: Sequence[nn.Module], takes: Mapping[int, tuple[int, ...]], outputs: tuple[int, ...] | None = None
) -> nn.Sequential:
    if takes or outputs is not None:
        return Wired(*modules, takes=dict(takes), outputs=outputs)
    return nn.Sequential(*modules)

"""Layer and Architecture → torch modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.blocks.modules import Wired
from nas.blocks.op import Op
from nas.system.lazy import load


def build_op(op: Op) -> nn.Module:
    """The torch module of one op."""
    made: type[nn.Module] = load(op.module) if isinstance(op.module, str) else op.module
    return made(**op.arguments())


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

"""merged(): the weights of branches as those of the one convolution that computes their sum.

Batch normalisation with s = gamma / sqrt(variance + epsilon) makes of a kernel w the kernel s w and the bias
beta - s mean; normalisation alone is that of a kernel of a single 1 at its centre. Kernels add where they see the same
pixel (arXiv:2101.03697, section 3.3), and biases add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.blocks.architecture import Architecture
from nas.blocks.convolution import BiasConv, Conv, branch
from nas.blocks.elementwise import Norm
from nas.blocks.graph import Graph, Node

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]


def merged(trained: Architecture, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Weights of a network, as it was `trained`, as those of the same network with its branches merged.

    Both under the names of `nas.blocks.build.build(…).state_dict()`; where the network has no branches they are the
    same. Sums are taken in float64: in evaluation mode both compute the same, up to rounding to float32.
    """
    own: dict[int, dict[int, dict[str, Array]]] = {}
    for name, array in weights.items():
        number, place, rest = name.split(".", 2)
        own.setdefault(int(number), {}).setdefault(int(place), {})[rest] = array
    found: dict[str, Array] = {}
    for index, layer in enumerate(trained.layers):
        tensors: Mapping[int, Tensors] = own.get(index, {})
        if layer.branched:
            tensors = _merged(layer.graph, layer.changed(branched=False).graph, tensors)
        found |= {f"{index}.{place}.{name}": array for place, part in tensors.items() for name, array in part.items()}
    return found


def _merged(branched: Graph, graph: Graph, weights: Mapping[int, Tensors]) -> dict[int, Tensors]:
    """Of a block in both of its forms: see `nas.blocks.block.Block`."""
    places = {node.name: place for place, node in enumerate(branched.nodes)}
    found: dict[int, Tensors] = {}
    for place, node in enumerate(graph.nodes):
        if isinstance(node.op, BiasConv) and node.name not in places:
            names = (branch(node.name, number) for number in range(1, len(places) + 1))
            parts = [places[name] for name in names if name in places]
            found[place] = _sum(node, [(branched.nodes[part].op, weights[part]) for part in parts])
        else:
            found[place] = weights.get(places[node.name], {})
    return found


def _sum(node: Node, parts: Sequence[tuple[Any, Tensors]]) -> dict[str, Array]:
    op: Any = node.op
    ((_, *size),) = node.shapes
    kernel, bias = (np.zeros(weight.shape, np.float64) for weight in op.weights().values())
    for part, weights in parts:
        assert isinstance(part, Conv | Norm)
        gamma, beta, mean, variance = (
            weights[f"norm.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + part.norm_eps)
        bias += beta - mean * scale
        if isinstance(part, Norm):
            channels = np.arange(op.out_channels)
            kernel[channels, channels % kernel.shape[1], op.kernel // 2, op.kernel // 2] += scale
        else:
            top, left = (op.pads(side)[0] - part.pads(side)[0] for side in size)  # where the smaller one begins
            place = np.s_[:, :, top : top + part.kernel, left : left + part.kernel]
            kernel[place] += scale[:, None, None, None] * weights["conv.weight"]
    return {"conv.weight": kernel.astype(np.float32), "conv.bias": bias.astype(np.float32)}

"""Names that version 0.1 gave to the weights of superkernels, so that its checkpoints are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nas.blocks.block import family_of
from nas.blocks.convolution import Conv, SqueezeExcite
from nas.blocks.layer import Layer
from nas.blocks.linear import Linear
from nas.blocks.op import Op

_ATTRIBUTES: dict[type[Op], dict[str, str]] = {
    Conv: {"conv.weight": "weight", "norm.weight": "scale", "norm.bias": "shift"},
    SqueezeExcite: {
        "squeeze.weight": "squeeze",
        "squeeze.bias": "squeeze_bias",
        "excite.weight": "excite",
        "excite.bias": "excite_bias",
    },
    Linear: {"linear.weight": "weight", "linear.bias": "bias"},
}


def former_names(slot: int, place: int, layer: Layer) -> Iterator[dict[str, str]]:
    """For each op of a layer, its weights by their names in `Op.weights`, with their former names in a `state_dict`.

    Ops of one type were counted from the last one of a layer.
    """
    found, seen = [], Counter[str]()
    for op in reversed(list(layer.graph.ops())):
        of = Linear if isinstance(op, Linear) else type(op)
        kind, attributes = of.__name__, _ATTRIBUTES.get(of, {})
        seen[kind] += 1
        part = f"{kind}{seen[kind]}"
        if isinstance(op, Conv) and op.groups > 1:
            part += "_depthwise" if op.depthwise else f"_groups{op.groups}"
        bank = f"banks.slot{slot}_{place}_{family_of(layer.kind).replace(' ', '_')}_{part}"
        found.append({name: f"{bank}.{attribute}" for name, attribute in attributes.items()})
    return reversed(found)

"""model.py: the network as plain torch, to be read and changed, with no import of nas.

The file has the torch modules that its network uses, then the layers written out, so that a `state_dict` of
`nas.blocks.build.build(architecture)` fits it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from nas.blocks.architecture import Architecture
from nas.blocks.layer import Layer
from nas.blocks.op import Op
from nas.formats.config import Pictures
from nas.formats.sources import sources

LINE = 120

_TAIL = """
if __name__ == "__main__":
    network = model().eval()
    picture = torch.zeros(1, {channels}, {height}, {width})
    with torch.inference_mode():
        shape = {shape}
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{{count:,}} parameters, input {{tuple(picture.shape)}}, output {{shape}}")
"""


def to_python(
    architecture: Architecture,
    *,
    decisions: Mapping[str, Any] | None = None,
    space: str | None = None,
    pictures: Pictures | None = None,
) -> str:
    """The source text of model.py, whose `model()` gives the network with torch's default random weights."""
    shape = {"channels": architecture.channels, "height": architecture.height, "width": architecture.width}
    layers = "".join(_layer(index, layer) for index, layer in enumerate(architecture.layers))
    takes, outputs = architecture.takes, architecture.outputs
    told = "[tuple(value.shape) for value in network(picture)]" if outputs else "tuple(network(picture).shape)"
    wires = [f"        takes={takes},\n"] if takes or outputs else []
    wires += [f"        outputs={outputs},\n"] if outputs else []
    return (
        f"{_header(architecture, decisions, space, pictures)}\n"
        f"{_modules(architecture)}\n\n"
        f"def model() -> nn.Sequential:\n"
        f'    """The network: float32 N,C,H,W with C,H,W = {_by(*shape.values(), sign=",")} in."""\n'
        f"    return {'Wired' if wires else 'nn.Sequential'}(\n{layers}{''.join(wires)}    )\n\n"
        f"{_TAIL.format(**shape, shape=told)}"
    )


def _header(
    architecture: Architecture, decisions: Mapping[str, Any] | None, space: str | None, pictures: Pictures | None
) -> str:
    size = _by(architecture.height, architecture.width, architecture.channels)
    lines = [
        f"A network for {size} pixels and {architecture.num_classes:,} classes, written by nas.",
        "",
        f"{architecture.macs:,} multiply-accumulates, {architecture.params:,} parameters.",
        "Its weights are random until some are loaded, those of model.safetensors for example:",
        "",
        "    from safetensors.torch import load_file",
        "",
        "    network = model()",
        '    network.load_state_dict(load_file("model.safetensors"))',
        "    network.eval()",
    ]
    if pictures is not None:
        mean, std = (
            json.dumps([float(f"{value:.6g}") for value in values]) for values in (pictures.mean, pictures.std)
        )
        lines += [
            "",
            f"Pictures are {pictures.colours} on the scale 0 to 1, less the mean, by the standard deviation:",
            "",
            f"    mean = {mean}",
            f"    std = {std}",
        ]
    if space is not None:
        lines += ["", f"It is of the search space {json.dumps(space)}."]
    if decisions:
        lines += ["", "Decisions:"]
        lines += [f"    {json.dumps(name)}: {json.dumps(option)}" for name, option in decisions.items()]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{text}\n"""\n'


def _modules(architecture: Architecture) -> str:
    """The torch modules that the network is made of."""
    used: list[Any] = [op.module for layer in architecture.layers for op in layer.graph.ops()]
    if architecture.takes or architecture.outputs or any(layer.graph.takes for layer in architecture.layers):
        used.append("nas.blocks.modules:Wired")
    return sources(used).strip("\n") + "\n"


def _layer(index: int, layer: Layer) -> str:
    widths = "+".join(str(channels) for channels, _, _ in layer.inputs)
    channels, *size = layer.output
    comment = f"        # {index}: {layer.kind}, {_by(layer.height, layer.width, widths)} → {_by(*size, channels)}\n"
    calls = [_call(op) for op in layer.graph.ops()]
    takes = layer.graph.takes
    wrapper = "Wired" if takes else "nn.Sequential"
    calls += [f"takes={takes}"] if takes else []
    if len(calls) < 2:
        line = f"        {wrapper}({', '.join(calls)}),\n"
        if len(line) <= LINE:
            return comment + line
    return comment + f"        {wrapper}(\n" + "".join(f"            {call},\n" for call in calls) + "        ),\n"


def _call(op: Op) -> str:
    """The constructor call of an operation's module, its defaults left out."""
    arguments = []
    for field in fields(op):
        value = getattr(op, field.name)
        if field.default is MISSING:
            arguments.append(repr(value))
        elif value != field.default:
            arguments.append(f"{field.name}={json.dumps(value) if isinstance(value, str) else repr(value)}")
    name = op.module.rpartition(":")[2] if isinstance(op.module, str) else op.module.__name__
    return f"{name}({', '.join(arguments)})"


def _by(*sizes: int | str, sign: str = "×") -> str:
    return sign.join(map(str, sizes))

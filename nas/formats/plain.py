"""model.py: the network as plain torch, to be read and changed, with no import of nas.

The file is a copy of `nas/blocks/modules.py` followed by the layers written out, so that a `state_dict` of
`nas.blocks.build.build(architecture)` fits it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from nas.blocks.architecture import Architecture
from nas.blocks.kinds import KINDS, ops, output_shape
from nas.blocks.layer import Layer
from nas.blocks.ops import Op
from nas.formats.config import Pictures

LINE = 120

_TAIL = """
if __name__ == "__main__":
    network = model().eval()
    picture = torch.zeros(1, {channels}, {height}, {width})
    with torch.inference_mode():
        shape = tuple(network(picture).shape)
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
    return (
        f"{_header(architecture, decisions, space, pictures)}\n"
        f"{_modules()}\n\n"
        f"def model() -> nn.Sequential:\n"
        f'    """The network: float32 N,C,H,W with C,H,W = {_by(*shape.values(), sign=",")} in."""\n'
        f"    return nn.Sequential(\n{layers}    )\n\n"
        f"{_TAIL.format(**shape)}"
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
            "Pictures are red, green and blue on the scale 0 to 1, less the mean, by the standard deviation:",
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


def _modules() -> str:
    """The text of modules.py below its docstring, without what is only there for our type checker."""
    import nas.blocks

    text = (Path(nas.blocks.__file__).parent / "modules.py").read_text(encoding="utf-8")
    docstring = ast.parse(text).body[0]
    below = text.splitlines()[docstring.end_lineno :]
    return re.sub(r"  # type: ignore\S*", "", "\n".join(below)).strip("\n") + "\n"


def _layer(index: int, layer: Layer) -> str:
    sizes = _by(layer.height, layer.width, layer.in_channels)
    channels, height, width = output_shape(layer)
    gives = str(channels) if KINDS[layer.kind].pools else _by(height, width, channels)
    wrapper = "Residual" if layer.residual else "nn.Sequential"
    calls = [_call(op) for op in ops(layer)]
    comment = f"        # {index}: {layer.kind}, {sizes} → {gives}\n"
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
            arguments.append(str(value))
        elif value != field.default:
            arguments.append(f"{field.name}={json.dumps(value)}")
    return f"{type(op).__name__}({', '.join(arguments)})"


def _by(*sizes: int, sign: str = "×") -> str:
    return sign.join(map(str, sizes))

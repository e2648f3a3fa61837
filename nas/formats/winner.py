"""The files that stand for one network: config.json, arch.txt, model.onnx, model.py; model.safetensors with weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nas import __version__
from nas.blocks.architecture import Architecture
from nas.blocks.precision import PRECISIONS
from nas.errors import ArchitectureError, NasError
from nas.formats import weights_file
from nas.formats.answers import Answers
from nas.formats.archdef import format_archdef, to_archdef
from nas.formats.card import EXAMPLES, to_card
from nas.formats.config import Pictures, Weights, to_config
from nas.formats.plain import to_python
from nas.formats.weights_file import Array
from nas.system.atomic import write_all_atomic


@dataclass(frozen=True)
class Origin:
    """Where a network comes from, as far as files tell it."""

    decisions: Mapping[str, Any] | None
    space: str | None
    metrics: Mapping[str, Any] | None
    seed: int
    """Of the random weights in model.onnx, where there are no others."""
    weights: Mapping[str, Array] | None = None
    """Under the names of `nas.blocks.build.build(architecture).state_dict()`."""
    weights_from: Weights = "random"
    pictures: Pictures | None = None
    batch: int | None = None
    """Pictures that ONNX graphs take at a time; None is any number of them."""
    answers: Answers | None = None
    """What it said of its test pictures, where that was kept."""

    @property
    def told(self) -> dict[str, Any]:
        """What every description of the network tells."""
        return {"decisions": self.decisions, "space": self.space, "pictures": self.pictures}


def config(architecture: Architecture, origin: Origin) -> str:
    """config.json: everything that a command needs to know of the network."""
    content = to_config(architecture, **origin.told, metrics=origin.metrics, weights=origin.weights_from)
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def timm(architecture: Architecture, origin: Origin) -> str:
    """arch.txt: an arch-def file, for every command that takes a network, and for timm."""
    return format_archdef(to_archdef(architecture.in_precision(PRECISIONS[0])))  # which has none of its own


def onnx(architecture: Architecture, origin: Origin) -> bytes:
    """model.onnx. Random weights are for timing and for looking at, and stay a graph as the profiler times it;
    others have their batch normalisation folded into the convolutions."""
    from nas.formats.folded import fold
    from nas.formats.onnx_graph import Inline, fix_batch, to_onnx
    from nas.formats.weights import random_weights

    metadata = {
        "weights": "random (untrained)" if origin.weights is None else origin.weights_from,
        "space": origin.space or "",
        "decisions": json.dumps(origin.decisions or {}),
        "nas_version": __version__,
    }
    if origin.pictures is not None:
        metadata["pictures"] = json.dumps(vars(origin.pictures))
    if origin.weights is None:
        model = to_onnx(architecture, Inline(random_weights(architecture, origin.seed)), metadata)
    else:
        model = fold(to_onnx(architecture, Inline(origin.weights), metadata))
    if origin.batch is not None:
        fix_batch(model, origin.batch)
    return bytes(model.SerializeToString())


def eight_bit(architecture: Architecture, origin: Origin) -> bytes | None:
    """model.int8.onnx of a network of int8 with random weights, for timing: its ranges are not of pictures. Of others
    it is `nas.export.int8` that writes it."""
    from nas.formats.folded import fold
    from nas.formats.onnx_graph import Inline, fix_batch, to_onnx
    from nas.formats.quantised import Nearest, quantised
    from nas.formats.weights import random_weights

    if origin.weights is not None or {layer.precision for layer in architecture.layers} != {"int8"}:
        return None
    metadata = {"weights": "random (untrained)", "space": origin.space or "", "nas_version": __version__}
    graph = to_onnx(architecture, Inline(random_weights(architecture, origin.seed)), metadata)
    model = quantised(fold(graph), Nearest())
    if origin.batch is not None:
        fix_batch(model, origin.batch)
    return bytes(model.SerializeToString())


def torch(architecture: Architecture, origin: Origin) -> str:
    """model.py: plain torch with no import of nas."""
    return to_python(architecture, **origin.told)


def card(architecture: Architecture, origin: Origin) -> str:
    """README.md: a model card."""
    return to_card(
        architecture,
        **origin.told,
        metrics=origin.metrics,
        weights_from=origin.weights_from,
        answers=origin.answers,
    )


def example(number: int, architecture: Architecture, origin: Origin) -> bytes | None:
    """example-N.png: a test picture that the card states an answer for; None where there is none."""
    samples = origin.answers.samples if origin.answers and origin.pictures and origin.pictures.classes else []
    return samples[number].content if number < len(samples) else None


@dataclass(frozen=True)
class File:
    """One file of an export."""

    name: str
    content: Callable[[Architecture, Origin], str | bytes | None]
    """None where there is nothing to be written."""


CONFIG, ONNX, MODEL = File("config.json", config), File("model.onnx", onnx), File("model.py", torch)
SHOWN = tuple(File(name, partial(example, number)) for number, name in enumerate(EXAMPLES))

EXPORTS: dict[str, tuple[File, ...]] = {
    "config": (CONFIG,),
    "timm": (File("arch.txt", timm),),
    "onnx": (ONNX, File("model.int8.onnx", eight_bit)),
    "torch": (MODEL,),
    "hf": (CONFIG, ONNX, MODEL, File("README.md", card), *SHOWN),
}
PLAIN = ("config", "timm", "onnx", "torch")
"""Formats that are written unless others are named."""
_WITH_WEIGHTS = frozenset({"config", "torch", "hf"})
"""Formats whose weights are a file beside them."""


def export(
    architecture: Architecture,
    folder: Path,
    formats: Sequence[str] | None = None,
    *,
    decisions: Mapping[str, Any] | None = None,
    space: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    seed: int = 0,
    weights: Mapping[str, Array] | None = None,
    weights_from: Weights = "random",
    pictures: Pictures | None = None,
    batch: int | None = None,
    answers: Answers | None = None,
    skipped: Callable[[str], object] = lambda reason: None,
) -> list[Path]:
    """Write a network in these formats (None: config, timm, onnx and torch) and return the files written.

    With `weights`, which are `weights_from` a supernet or a training, model.safetensors is written before the others
    and model.onnx has them. A format that was named but cannot express the network is an error, before anything is
    written; with None it is left out, and `skipped` is called with the reason. Raises `OSError` where the files cannot
    be written; those that were there before are then as they were.
    """
    assert (weights is None) == (weights_from == "random"), weights_from
    for name in formats or ():
        if name not in EXPORTS:
            raise NasError(f"No export format named {name!r}; there are {', '.join(EXPORTS)}.")
    origin = Origin(decisions, space, metrics, seed, weights, weights_from, pictures, batch, answers)
    chosen = PLAIN if formats is None else tuple(formats)
    contents: dict[str, str | bytes] = {}
    if weights is not None and _WITH_WEIGHTS.intersection(chosen):
        contents[weights_file.FILE] = weights_file.write_file(weights, weights_from)
    for name in chosen:
        for file in EXPORTS[name]:
            try:
                content = file.content(architecture, origin)
            except ArchitectureError as problem:
                if formats is not None:
                    raise ArchitectureError(f"{file.name}: {problem} Leave the format {name!r} out.") from None
                skipped(f"{file.name} is not written: {problem}")
                continue
            if content is not None:
                contents[file.name] = content
    folder.mkdir(parents=True, exist_ok=True)
    write_all_atomic({folder / name: content for name, content in contents.items()})
    return [folder / name for name in contents]

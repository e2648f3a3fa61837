"""The files that stand for one network: config.json, arch.txt, model.onnx and model.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import __version__
from nas.atomic import write_atomic
from nas.blocks.architecture import Architecture
from nas.errors import ArchitectureError, NasError
from nas.export.archdef import format_archdef, to_archdef
from nas.export.config import to_config
from nas.export.plain import to_python


@dataclass(frozen=True)
class Origin:
    """Where a network comes from, as far as files tell it."""

    decisions: Mapping[str, Any] | None
    space: str | None
    metrics: Mapping[str, Any] | None
    seed: int
    """Of the random weights in model.onnx."""


def config(architecture: Architecture, origin: Origin) -> str:
    """config.json: everything that a command needs to know of the network."""
    content = to_config(architecture, decisions=origin.decisions, space=origin.space, metrics=origin.metrics)
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def timm(architecture: Architecture, origin: Origin) -> str:
    """arch.txt: an arch-def file, for `nas estimate --arch-def` and for timm."""
    return format_archdef(to_archdef(architecture))


def onnx(architecture: Architecture, origin: Origin) -> bytes:
    """model.onnx, with random weights: for timing and for looking at, not for predicting."""
    from nas.blocks.onnx_graph import Inline, to_onnx
    from nas.export.weights import random_weights

    metadata = {
        "weights": "random (untrained)",
        "space": origin.space or "",
        "decisions": json.dumps(origin.decisions or {}),
        "nas_version": __version__,
    }
    model = to_onnx(architecture, Inline(random_weights(architecture, origin.seed)), metadata)
    return bytes(model.SerializeToString())


def torch(architecture: Architecture, origin: Origin) -> str:
    """model.py: plain torch with no import of nas."""
    return to_python(architecture, decisions=origin.decisions, space=origin.space)


@dataclass(frozen=True)
class Format:
    """One file of an export."""

    file: str
    content: Callable[[Architecture, Origin], str | bytes]


EXPORTS = {
    "config": Format("config.json", config),
    "timm": Format("arch.txt", timm),
    "onnx": Format("model.onnx", onnx),
    "torch": Format("model.py", torch),
}


def export(
    architecture: Architecture,
    folder: Path,
    formats: Sequence[str] | None = None,
    *,
    decisions: Mapping[str, Any] | None = None,
    space: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    seed: int = 0,
    skipped: Callable[[str], object] = lambda reason: None,
) -> list[Path]:
    """Write a network in these formats (None: all that can express it) and return the files written.

    A format that was named but cannot express the network is an error, before anything is written; with
    None it is left out, and `skipped` is called with the reason.
    """
    for name in formats or ():
        if name not in EXPORTS:
            raise NasError(f"No export format named {name!r}; there are {', '.join(EXPORTS)}.")
    origin = Origin(decisions, space, metrics, seed)
    contents: dict[str, str | bytes] = {}
    for name in EXPORTS if formats is None else formats:
        form = EXPORTS[name]
        try:
            contents[form.file] = form.content(architecture, origin)
        except ArchitectureError as problem:
            if formats is not None:
                raise ArchitectureError(f"{form.file}: {problem} Leave the format {name!r} out.") from None
            skipped(f"{form.file} is not written: {problem}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_atomic(folder / file, content)
    except OSError as problem:
        raise NasError(f"{folder}: cannot be written to ({problem.strerror or problem}).") from None
    return [folder / file for file in contents]

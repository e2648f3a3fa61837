"""answers.json: what a trained network said of its test pictures (format `nas-answers/1`).

It lies beside the weights, so that a report needs no pictures, and a model card can state what its example says. The
few pictures in it are small: they are passed on with a report or an export.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from nas.blocks.layer import MAX_DIMENSION
from nas.errors import ArchitectureError
from nas.system.files import read_json, read_model
from nas.system.strict import Strict

FILE = "answers.json"
MISTAKES, SAMPLES = 24, 3
MOST_LETTERS = 1 << 20
"""Of one picture."""
KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}

Class = Annotated[int, Field(ge=0, lt=MAX_DIMENSION)]


class Shown(Strict):
    """A picture, the class that it has, the class that it is taken for, and how likely the network finds that."""

    true: Class
    said: Class
    chance: float = Field(ge=0, le=1)
    picture: str = Field(max_length=MOST_LETTERS)
    """A PNG or JPEG file in base64."""

    @property
    def content(self) -> bytes:
        """The file."""
        return base64.b64decode(self.picture)

    @property
    def kind(self) -> str:
        """`png` or `jpeg`. Raises `ValueError` where it is neither."""
        content = base64.b64decode(self.picture, validate=True)
        for head, kind in KINDS.items():
            if content.startswith(head):
                return kind
        raise ValueError("a picture is a PNG or a JPEG file in base64")


class Answers(Strict):
    """Of all test pictures how many of which class were taken for which; some mistakes, and some samples."""

    format: Literal["nas-answers/1"] = "nas-answers/1"
    counts: list[Annotated[list[Class], Field(min_length=3, max_length=3)]]
    """True class, class that it was taken for, pictures: where there are any."""
    mistakes: list[Shown] = Field(max_length=MISTAKES)
    """The most confident ones first; what the network saw, made smaller."""
    samples: list[Shown] = Field(max_length=SAMPLES)
    """Of classes that lie far apart, as PNG files that give these answers."""


def read_answers(folder: Path, classes: int) -> Answers | None:
    """Those in the folder of a training; None where it has none. Raises `ArchitectureError` for what is something
    else, or of another number of classes."""
    path = folder / FILE
    if not path.is_file():
        return None
    rule = "answers are a mapping with `format: nas-answers/1`"
    document = read_json(path, ArchitectureError)
    answers = read_model(Answers, document, path, ArchitectureError, rule=rule, page="docs/training.md")
    shown = [*answers.mistakes, *answers.samples]
    try:
        most = max(
            [max(each[:2]) for each in answers.counts] + [max(each.true, each.said) for each in shown], default=0
        )
        if most >= classes:
            raise ValueError(f"a class is one of {classes:,} here, got number {most:,}")
        for each in shown:
            _ = each.kind
    except ValueError as problem:
        raise ArchitectureError(f"{path}: {problem}.") from None
    return answers

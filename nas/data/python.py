"""`python:module.function`: pictures from a function of one's own, called without arguments.

It returns a dictionary with `train` and, if there are such, `test` and `validation`: a pair (pictures, labels) each.
Pictures are uint8[N, H, W], uint8[N, H, W, 3], or a list of PIL images of any sizes; labels are N whole numbers from 0.
`classes` may name the classes, and `mirrors` may be False where a mirror image means something else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.pictures import BrokenPicture, to_rgb
from nas.data.source import Source, array_source
from nas.errors import DataError
from nas.system.lazy import current_folder
from nas.system.text import printable

PARTS = ("train", "validation", "test")
OPTIONS = ("classes", "mirrors")


def load_python(argument: str) -> Source:
    """What the function `module.function` returns. Raises `DataError` naming it, the rule and what came."""
    place = f"python:{argument}"
    result = _call(place, argument)
    if not isinstance(result, Mapping):
        raise DataError(f"{place}: returns a dictionary with `train`, got {type(result).__name__}. See docs/data.md.")
    unknown = [str(key) for key in result if key not in PARTS + OPTIONS]
    if unknown or "train" not in result:
        keys = ", ".join(map(str, result)) or "nothing"
        raise DataError(
            f"{place}: the dictionary has `train`, and may have test, validation, classes and mirrors; got {keys}."
        )
    given = {part: _pair(f"{place}: `{part}`", result[part]) for part in PARTS if part in result}
    labels = np.concatenate([values for _, values in given.values()])
    parts: dict[str, NDArray[np.int64]] = {}
    begin = 0
    for part, (_, values) in given.items():
        parts[part] = np.arange(begin, begin + len(values))
        begin += len(values)
    classes = _classes(place, result.get("classes"), labels)
    mirrors = result.get("mirrors", True)
    if not isinstance(mirrors, bool):
        raise DataError(f"{place}: `mirrors` is True or False, got {mirrors!r}.")
    pictures = [some for some, _ in given.values()]
    shapes = {some.shape[1:] for some in pictures if isinstance(some, np.ndarray)}
    if len(shapes) == 1 and all(isinstance(some, np.ndarray) for some in pictures):
        return array_source(place, np.concatenate(pictures), labels, parts, classes, mirrors=mirrors)
    return array_source(place, [one for some in pictures for one in some], labels, parts, classes, mirrors=mirrors)


def _call(place: str, argument: str) -> Any:
    """What the function returns; it may lie in the current folder."""
    module_name, _, name = argument.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in argument.split(".")):
        raise DataError(f"{place}: a function is given as python:module.function, got {argument[:80]!r}.")
    with current_folder():
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as problem:
            raise DataError(f"{place}: {problem}, neither installed nor in the folder {Path.cwd()}.") from None
        except Exception as problem:
            raise DataError(f"{place}: importing {module_name} raised {_told(problem)}.") from problem
        function: Callable[[], Any] | None = getattr(module, name, None)
        if not callable(function):
            raise DataError(f"{place}: the module {module_name} has no function {name!r}.")
        try:
            return function()
        except DataError:
            raise
        except Exception as problem:
            raise DataError(f"{place}: the function raised {_told(problem)}.") from problem


def _told(problem: Exception) -> str:
    return f"{type(problem).__name__}: {printable(str(problem))}".rstrip(".: ")


def _pair(place: str, pair: Any) -> tuple[NDArray[np.uint8] | list[NDArray[np.uint8]], NDArray[np.int64]]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"{place} is a pair (pictures, labels), got {type(pair).__name__}.")
    pictures = _pictures(place, pair[0])
    labels = np.asarray(pair[1])
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{place}: labels are whole numbers, one a picture; got {labels.dtype}{list(labels.shape)}.")
    if len(labels) != len(pictures):
        raise DataError(f"{place}: a label for each picture: {len(pictures):,} pictures, {len(labels):,} labels.")
    if not len(labels):
        raise DataError(f"{place} has no pictures.")
    return pictures, labels.astype(np.int64)


def _pictures(place: str, pictures: Any) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
    rule = f"{place}: pictures are uint8[N, H, W], uint8[N, H, W, 3] or a list of PIL images"
    if isinstance(pictures, np.ndarray):
        colours = pictures.ndim == 4 and pictures.shape[3] == 3
        if pictures.dtype != np.uint8 or not (pictures.ndim == 3 or colours) or 0 in pictures.shape[1:]:
            raise DataError(f"{rule}, got {pictures.dtype}{list(pictures.shape)}.")
        return pictures
    if not isinstance(pictures, list | tuple):
        raise DataError(f"{rule}, got {type(pictures).__name__}.")
    arrays = []
    for row, image in enumerate(pictures):
        if not isinstance(image, Image.Image):
            raise DataError(f"{rule}, got {type(image).__name__} as picture {row:,}.")
        try:
            arrays.append(np.asarray(to_rgb(image)))
        except BrokenPicture as problem:
            raise DataError(f"{place}: picture {row:,}: {str(problem).rstrip('.')}.") from problem
        except Exception as problem:  # of an image that is decoded only now
            raise DataError(f"{place}: picture {row:,}: {_told(problem)}.") from problem
    return arrays


def _classes(place: str, names: Any, labels: NDArray[np.int64]) -> tuple[str, ...]:
    count = int(labels.max()) + 1
    if names is not None:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise DataError(f"{place}: `classes` is a list of different names, got {printable(repr(names), 60)}.")
        count = len(names)
    if labels.min() < 0 or labels.max() >= count:
        wrong = labels[(labels < 0) | (labels >= count)][0]
        raise DataError(f"{place}: labels lie in 0..{count - 1}, got {wrong}.")
    return tuple(map(printable, names)) if names is not None else tuple(map(str, range(count)))

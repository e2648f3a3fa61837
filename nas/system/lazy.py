"""Lazy: what a name stands for, imported when it is first called, so that tables of names are read for nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from nas.errors import NasError

T = TypeVar("T")

_OWN = re.compile(r"([^\W\d]\w*)(\.[^\W\d]\w*)*:([^\W\d]\w*)(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Lazy(Generic[T]):
    """A function, or a class, that makes something."""

    place: str
    """`module:attribute`"""
    given: tuple[Any, ...] = ()
    """Arguments before all others."""

    def __call__(self, *arguments: Any) -> T:
        made: T = self.load()(*self.given, *arguments)
        return made

    def load(self) -> Any:
        """The function or class itself."""
        return load(self.place)


def load(place: str) -> Any:
    """What stands at `module:attribute`."""
    module, _, attribute = place.partition(":")
    return attrgetter(attribute)(import_module(module))


def is_own(name: str) -> bool:
    """Whether this is written as the place of somebody's own code, `module:Class`."""
    return _OWN.fullmatch(name) is not None


def load_own(place: str, what: str, needs: tuple[str, ...]) -> Any:
    """The class at `module:Class`, which may lie in the current folder, and is to be a `what` with these attributes.

    Raises `NasError` where there is none, it lacks one of them, or importing it fails.
    """
    with current_folder():
        try:
            found = load(place)
        except ModuleNotFoundError as problem:
            raise NasError(f"{what} {place}: {problem}, neither installed nor in the folder {Path.cwd()}.") from None
        except AttributeError as problem:
            raise NasError(f"{what} {place}: {problem}.") from None
        except Exception as problem:
            raise NasError(f"{what} {place}: importing it raised {type(problem).__name__}: {problem}.") from problem
    missing = [name for name in needs if not hasattr(found, name)]
    if missing or not callable(found):
        lacks = f"lacks {' and '.join(missing)}" if missing else "cannot be called"
        raise NasError(
            f"{what} {place}: a {what} is a class with {', '.join(needs)}; this one {lacks}. See docs/own.md."
        )
    return found


@contextmanager
def current_folder() -> Iterator[None]:
    """Modules of the current folder can be imported."""
    folder = str(Path.cwd())
    added = folder not in sys.path
    if added:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        if added and folder in sys.path:
            sys.path.remove(folder)

"""Commands as they are printed for the user to type: quoted for a shell, and read back as they were meant."""

from __future__ import annotations

import shlex
from pathlib import Path

Value = str | int | Path


def command(*words: str | Path, **options: Value | bool | list[str] | None) -> str:
    """`nas WORDS --option value …`: options that are None or False are left out, True is an option by itself, and a
    list one for each of its values. A `Path` that begins with a hyphen is written so that it is taken for no option.
    """
    written = ["nas", *map(_word, words)]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            written += [option] * value
        elif value is not None:
            for each in value if isinstance(value, list) else [value]:
                written += [option, _word(each)]
    return shlex.join(written)


def _word(value: Value) -> str:
    return f"./{value}" if isinstance(value, Path) and str(value).startswith("-") else str(value)

"""Files that come from outside: read with a bound on their size, strictly."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isinf
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from nas.errors import NasError

MAX_BYTES = 32 << 20

Model = TypeVar("Model", bound=BaseModel)


def read_text(path: Path, error: Callable[[str], NasError], limit: int = MAX_BYTES) -> str:
    """The text of a file of at most `limit` bytes; `error` makes the exception for whatever is wrong."""
    try:
        if not path.is_file():
            raise error(f"{path}: no such file.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}).") from None
    if len(data) > limit:
        raise error(f"{path}: at most {limit:,} bytes are read, this file has more.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: the text is UTF-8, byte {problem.start} is not.") from None


def read_json(path: Path, error: Callable[[str], NasError], limit: int = MAX_BYTES) -> Any:
    """The document in a JSON file; NaN, infinities and repeated keys are errors."""
    text = read_text(path, error, limit)

    def refuse(constant: str) -> None:
        raise ValueError(f"numbers are finite, got {constant}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        for key, value in pairs:
            if key in keys:
                raise ValueError(f"keys are unique, got {key!r} twice")
            keys[key] = value
        return keys

    def finite(digits: str) -> float:
        if isinf(number := float(digits)):
            refuse(digits)
        return number

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite, object_pairs_hook=unique)
    except (ValueError, RecursionError) as problem:
        raise error(f"{path}: not valid JSON: {_one_line(problem)}.") from None


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ConstructorError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConstructorError(None, None, f"keys are text, got {key!r}", key_node.start_mark)
            if key in keys:
                raise ConstructorError(None, None, f"keys are unique, got {key!r} twice", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path, error: Callable[[str], NasError], limit: int = 1 << 20) -> Any:
    """The document in a YAML file; aliases and repeated keys are errors. Note that YAML reads `1e-3` as text."""
    return parse_yaml(read_text(path, error, limit), path, error)


def parse_yaml(text: str, path: Path, error: Callable[[str], NasError]) -> Any:
    """The document in a YAML text; `path` is what errors name."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise error(f"{path}: {where}not valid YAML: {_one_line(problem.problem or problem)}.") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as problem:
        raise error(f"{path}: not valid YAML: {_one_line(problem)}.") from None


def read_model(
    model: type[Model], document: Any, path: Path, error: Callable[[str], NasError], *, rule: str, page: str
) -> Model:
    """A file's document in its typed form; `rule` says what it is, `page` where its format is described."""
    if not isinstance(document, dict):
        raise error(f"{path}: {rule}, got {type(document).__name__}.")
    try:
        return model.model_validate(document)
    except ValidationError as problem:
        raise error(_explain(path, problem, page)) from None


def _explain(path: Path, problem: ValidationError, page: str) -> str:
    """One pydantic error as `file: path.in.it: rule, got value`; the number of further ones is told."""
    errors = problem.errors(include_url=False)
    first = errors[0]
    place = _one_line(".".join(str(part) for part in first["loc"])).removesuffix(".choice.0") or "document"
    rule = {"missing": "this key is required", "extra_forbidden": "no such key"}.get(first["type"], first["msg"])
    rule = rule.removeprefix("Value error, ").rstrip(".")
    got = "" if first["type"] in {"missing", "extra_forbidden"} else f", got {_short(first['input'])}"
    more = f" ({len(errors) - 1} more like it.)" if len(errors) > 1 else ""
    return f"{path}: {place}: {rule}{got}. See {page}.{more}"


def _one_line(problem: object, most: int = 160) -> str:
    line = " ".join(str(problem).split())[:most].rstrip(".")
    return "".join(letter if letter.isprintable() else "?" for letter in line)  # nothing that moves the cursor


def _short(value: object, most: int = 60) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"

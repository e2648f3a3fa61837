"""Files that come from outside: plain ones, read with bounds on all that they could be large in, strictly.

The bounds are told in docs/safety.md.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from math import isinf
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from nas.errors import NasError
from nas.system.text import one_line, short

MAX_FILE_BYTES = 32 << 20
MAX_YAML_BYTES = 1 << 20
MAX_VALUES = 2_000_000
"""Of a JSON document; each takes up to a hundred bytes of memory."""
MAX_YAML_VALUES = 50_000
"""Of a YAML document; each takes 30 µs to read, and a kilobyte."""
MAX_LINE = 65_536
"""Letters of a line of a CSV file."""
MAX_DEPTH = 64
"""Lists and mappings within each other."""
MAX_DIGITS = 308
"""Of a whole number; a float holds any of them."""

Model = TypeVar("Model", bound=BaseModel)


def open_plain(path: Path, *, links: bool = True) -> BinaryIO:
    """A plain file, to be read. Raises `OSError` for all else: a pipe would be waited for, a device never ends.

    Without `links` a symbolic link at the end of the path is refused, too.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW)
    try:
        handle = os.open(path, flags)
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "links are not followed here", str(path)) from None
        if problem.errno == errno.ENXIO:  # a socket
            raise OSError(errno.ENXIO, "not a plain file", str(path)) from None
        raise
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        what = "a folder, not a plain file" if stat.S_ISDIR(kind) else "not a plain file"
        raise OSError(errno.EINVAL, what, str(path))
    return open(handle, "rb")


def check_plain_folder(folder: Path, what: str, error: Callable[[str], NasError]) -> None:
    """Refuse a folder that is to be written into where it, or a folder in it, holds a link, a pipe or a device.

    Writing through a link would change what lies elsewhere; `what` is what messages call the folder.
    """
    for place in (folder, *(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))):
        for entry in os.scandir(place):
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                kind = "a link" if entry.is_symlink() else "none of them"
                raise error(f"{entry.path}: {what} holds plain files and folders, this is {kind}. Remove it.")


def read_bytes(
    path: Path, error: Callable[[str], NasError], limit: int = MAX_FILE_BYTES, *, links: bool = True
) -> bytes:
    """The content of a plain file of at most `limit` bytes; `error` makes the exception for whatever is wrong."""
    try:
        with open_plain(path, links=links) as file:
            long = os.fstat(file.fileno()).st_size > limit
            data = b"" if long else file.read(limit + 1)  # it may be growing
    except FileNotFoundError:
        raise error(f"{path}: no such file.") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path}: cannot be read ({getattr(problem, 'strerror', None) or problem}).") from None
    if long or len(data) > limit:
        raise error(f"{path}: at most {limit:,} bytes are read, this file has more.")
    return data


def read_text(path: Path, error: Callable[[str], NasError], limit: int = MAX_FILE_BYTES) -> str:
    """The text of a plain file of at most `limit` bytes, of a `.gz` file that of what is packed in it; `error` makes
    the exception for whatever is wrong."""
    data = read_bytes(path, error, limit)
    try:
        return (_unpacked(data, path, error, limit) if path.suffix == ".gz" else data).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: the text is UTF-8, byte {problem.start} is not.") from None


def _unpacked(data: bytes, path: Path, error: Callable[[str], NasError], limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        content = decoder.decompress(data, limit + 1)
    except zlib.error as problem:
        raise error(f"{path}: not valid gzip: {problem}.") from None
    if len(content) > limit:
        raise error(f"{path}: at most {limit:,} bytes are read, this file unpacks to more.")
    if not decoder.eof:
        raise error(f"{path}: not valid gzip: its end is missing.")
    return content


def lines(text: str, path: Path, error: Callable[[str], NasError]) -> Iterator[str]:
    """The lines of a text, with their ends, for `csv.reader`, which makes a list of each before one can look at it."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    begin, number = 0, 0
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        number += 1
        if end - begin > MAX_LINE:
            raise error(f"{path}: line {number}: a line has at most {MAX_LINE:,} letters, this one has more.")
        yield text[begin:end]
        begin = end


def read_json(path: Path, error: Callable[[str], NasError], limit: int = MAX_FILE_BYTES) -> Any:
    """The document in a JSON file; NaN, infinities, repeated keys and what is past a bound are errors."""
    text = read_text(path, error, limit)
    _few(sum(map(text.count, ",[{")), MAX_VALUES, path, error)

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

    def short(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise ValueError(_LONG)
        return int(digits)

    try:
        return _shallow(
            json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=short, object_pairs_hook=unique)
        )
    except RecursionError:
        raise error(f"{path}: not valid JSON: {_DEEP}.") from None
    except ValueError as problem:
        raise error(f"{path}: not valid JSON: {_told(problem)}.") from None


_LONG = f"a whole number has at most {MAX_DIGITS} digits"
_DEEP = f"lists and mappings are nested at most {MAX_DEPTH} deep"


def _few(values: int, most: int, path: Path, error: Callable[[str], NasError]) -> None:
    """Refuse a text by its marks, before anything is made of it: every value has one."""
    if values > most:
        raise error(f"{path}: at most {most:,} values are read, this file has {values:,} commas, brackets or lines.")


def _shallow(document: Any) -> Any:
    """The document. Raises `ValueError` where it is nested so deep that code which walks through it would not end."""
    level, depth = [document], 0
    while level := [
        inner
        for outer in level
        if isinstance(outer, dict | list)
        for inner in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(_DEEP)
    return document


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases, without repeated keys and without endless numbers."""

    def construct_yaml_int(self, node: Any) -> int:
        """As YAML has it; numbers to the base of 60 take a time that grows with the square of their length."""
        if len(node.value) > MAX_DIGITS:
            raise ConstructorError(None, None, _LONG, node.start_mark)
        return super().construct_yaml_int(node)

    def construct_yaml_float(self, node: Any) -> float:
        if len(node.value) > 2 * MAX_DIGITS:
            raise ConstructorError(None, None, f"a number has at most {2 * MAX_DIGITS} letters", node.start_mark)
        return super().construct_yaml_float(node)

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


for _tag in ("int", "float"):  # the loader keeps functions, not names
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", getattr(_StrictLoader, f"construct_yaml_{_tag}"))


def read_yaml(path: Path, error: Callable[[str], NasError]) -> Any:
    """The document in a YAML file; aliases and repeated keys are errors. Note that YAML reads `1e-3` as text."""
    return parse_yaml(read_text(path, error, MAX_YAML_BYTES), path, error)


def parse_yaml(text: str, path: Path, error: Callable[[str], NasError]) -> Any:
    """The document in a YAML text; `path` is what errors name."""
    _few(sum(map(text.count, ",[{")) + len(text.splitlines()), MAX_YAML_VALUES, path, error)
    try:
        return _shallow(yaml.load(text, Loader=_StrictLoader))
    except RecursionError:
        raise error(f"{path}: not valid YAML: {_DEEP}.") from None
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise error(f"{path}: {where}not valid YAML: {_told(problem.problem or problem)}.") from None
    except (yaml.YAMLError, ValueError, OverflowError) as problem:
        raise error(f"{path}: not valid YAML: {_told(problem)}.") from None


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


def _told(problem: object) -> str:
    return one_line(problem, 160).rstrip(".")


def _explain(path: Path, problem: ValidationError, page: str) -> str:
    """pydantic's errors as `file: path.in.it: rule, got value`: the first one, or all keys that break the first one's
    rule where that is about keys; the number of further ones is told."""
    errors = problem.errors(include_url=False)
    first = errors[0]
    alike = [error for error in errors if error["type"] == first["type"]] if first["type"] in _KEYS else [first]
    one, several = _KEYS.get(first["type"], (first["msg"], ""))
    places = [".".join(map(str, error["loc"])).removesuffix(".choice.0") or "document" for error in alike[:MAX_NAMED]]
    named = _told(", ".join(places)) + (", …" if len(alike) > MAX_NAMED else "")
    rule = (one if len(alike) == 1 else several).removeprefix("Value error, ").rstrip(".")
    got = "" if first["type"] in _KEYS else f", got {short(first['input'])}"
    more = f" ({len(errors) - len(alike)} more like it.)" if len(errors) > len(alike) else ""
    return f"{path}: {named}: {rule}{got}. See {page}.{more}"


_KEYS = {
    "missing": ("this key is required", "these keys are required"),
    "extra_forbidden": ("no such key", "no such keys"),
}
"""Rules about keys, of one that breaks them and of several."""
MAX_NAMED = 8
"""Keys that one message names."""

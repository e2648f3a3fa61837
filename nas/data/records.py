"""Records: what lies in a pickle of dictionaries, lists, texts, numbers and byte arrays, without unpickling it.

A pickle is a program for a machine that may call anything it can name, and whose memory grows with what it says, not
with what it is. Here its instructions are read one by one, and only those that make data are known. Of names it may say
those of numpy's arrays, which become `Bytes`; nothing is called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

MOST = 500_000
"""Instructions that are read; a file of CIFAR-10 has a tenth of it."""

_MARK = object()


class NotRecords(ValueError):
    """Not a pickle of records; the text is the reason, without a full stop."""


@dataclass(eq=False)
class Bytes:
    """A numpy array of uint8, row by row."""

    shape: tuple[int, ...] = ()
    data: bytes = b""


@dataclass(frozen=True)
class _Name:
    """A name in a pickle: what it stands for, but is not."""

    text: str


@dataclass(eq=False)
class _Dtype:
    code: object


def read_records(data: bytes) -> Any:
    """The document that a pickle describes; texts of Python 2 are bytes. Raises `NotRecords`."""
    machine = _Machine()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(data)):
            if count == MOST:
                raise NotRecords(f"it has over {MOST:,} instructions")
            if instruction.name == "STOP":
                return machine.pop()
            machine.step(instruction.name, argument)
    except NotRecords:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError, RecursionError) as problem:
        raise NotRecords(f"it is damaged: {str(problem)[:120] or type(problem).__name__}") from None
    raise NotRecords("it is cut short")


class _Machine:
    """A pickle's stack and memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        """The last value."""
        if self.stack[-1] is _MARK:
            raise NotRecords("it is damaged: a value is missing")
        return self.stack.pop()

    def above_mark(self) -> list[Any]:
        """The values since the last mark, which goes with them."""
        place = len(self.stack) - 1 - next(n for n, value in enumerate(reversed(self.stack)) if value is _MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def step(self, name: str, argument: Any) -> None:
        """Do what one instruction says. Raises `NotRecords` where it is none of those that make data."""
        if name in _LITERALS:
            self.stack.append(_latin(argument) if name in _OLD_TEXTS else argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _MAKES:
            self.stack.append(_MAKES[name]())
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _TUPLES:
            count = _TUPLES[name]
            values = [self.pop() for _ in range(count)][::-1]
            self.stack.append(tuple(values))
        elif name in ("TUPLE", "LIST"):
            values = self.above_mark()
            self.stack.append(tuple(values) if name == "TUPLE" else values)
        elif name == "DICT":
            values = self.above_mark()
            self.stack.append(_filled({}, values))
        elif name in ("APPEND", "APPENDS"):
            values = [self.pop()] if name == "APPEND" else self.above_mark()
            _of(list, self.stack[-1]).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.above_mark()
            _filled(_of(dict, self.stack[-1]), values)
        elif name == "GLOBAL":
            self.stack.append(_named(argument))
        elif name == "STACK_GLOBAL":
            last, module = self.pop(), self.pop()
            self.stack.append(_named(f"{module} {last}"))
        elif name == "REDUCE":
            arguments, called = self.pop(), self.pop()
            self.stack.append(_made(called, arguments))
        elif name == "BUILD":
            state = self.pop()
            _build(self.stack[-1], state)
        elif name not in ("PROTO", "FRAME"):
            raise NotRecords(f"it has the instruction {name}, which no file of CIFAR-10 has")


def _named(text: str) -> _Name:
    if text not in _NAMES:
        raise NotRecords(f"it names {text.replace(' ', '.')}, which no file of CIFAR-10 does")
    return _Name(text)


def _latin(text: Any) -> Any:
    return text.encode("latin-1") if isinstance(text, str) else text


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise NotRecords(f"it puts something into what is no {kind.__name__}")
    return value


def _filled(mapping: dict[Any, Any], values: list[Any]) -> dict[Any, Any]:
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) not in (str, bytes):  # the hash of others may take for ever
            raise NotRecords("its keys are texts")
        mapping[key] = value
    return mapping


def _made(called: Any, arguments: Any) -> Any:
    """What stands for the result of a call."""
    name = called.text if isinstance(called, _Name) else ""
    if name.endswith("_reconstruct"):
        return Bytes()
    if name == "numpy dtype":
        return _Dtype(_latin(arguments[0]))
    if name == "_codecs encode" and isinstance(arguments[0], str):  # bytes, as Python 3 writes them for Python 2
        return _latin(arguments[0])
    raise NotRecords("it calls what cannot be called")


def _build(made: Any, state: Any) -> None:
    """Give an array its shape and bytes; a dtype's state, byte order and the like, has no meaning for bytes."""
    if isinstance(made, _Dtype):
        return
    match made, state:
        case Bytes(), (int(), tuple() as shape, _Dtype(code=b"u1"), bool() | 0 | 1 as columns_first, bytes() as data):
            whole = len(shape) < 8 and all(type(length) is int and 0 <= length < 2**40 for length in shape)
            if whole and not columns_first and prod(shape) == len(data):
                made.shape, made.data = shape, data
                return
    raise NotRecords("arrays hold whole bytes (uint8), row by row")


_NAMES = frozenset(
    {
        *("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"),
        *("numpy ndarray", "numpy dtype", "_codecs encode"),
    }
)
_MAKES: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_OLD_TEXTS = frozenset({"STRING", "BINSTRING", "SHORT_BINSTRING"})
_LITERALS = _OLD_TEXTS | {
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
}

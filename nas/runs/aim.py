"""Aim: a target and what was asked of the latency on it. A search has one, or one for each device of a fleet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from nas.errors import NasError

MOST = 16
"""Targets of a search."""

FIELDS = ("target", "latency_ms", "latency_share")
"""What of a request may have an entry for each target."""


class Aim(NamedTuple):
    """A target, and the bound on the latency on it: an amount, a share of the first reference's, or neither."""

    target: str
    latency_ms: float | None
    latency_share: float | None

    @property
    def asked(self) -> bool:
        """Whether somebody gave a bound."""
        return self.latency_ms is not None or self.latency_share is not None


def settled(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, with one form of `FIELDS`: a single entry stands alone, several are a tuple, and bounds that are
    all None are None."""
    found = dict(asked)
    for name in FIELDS:
        if isinstance(value := found.get(name), list | tuple):
            entries = tuple(value)
            given = name == "target" or any(entry is not None for entry in entries)
            found[name] = entries[0] if len(entries) == 1 else entries if given else None
    return found


def aims(target: Any, latency_ms: Any, latency_share: Any) -> tuple[Aim, ...]:
    """The aims that `settled` fields describe. Raises `NasError` where they describe none."""
    targets = target if isinstance(target, tuple) else (target,)
    if not all(type(each) is str for each in targets):
        raise NasError(f"A target is text such as pixel-cpu, got {target!r}.")
    if not 1 <= len(targets) <= MOST:
        raise NasError(f"A search is for 1 to {MOST} targets, got {len(targets)}.")
    if (twice := next((each for each in targets if targets.count(each) > 1), None)) is not None:
        raise NasError(f"A search is for different targets, got {twice!r} more than once.")
    columns = []
    for value in (latency_ms, latency_share):
        column = (None,) * len(targets) if value is None else value if isinstance(value, tuple) else (value,)
        if len(column) != len(targets):
            raise NasError(
                f"There is a bound on latency for each target, in their order, or for none: got {len(column)} for "
                f"{len(targets)} targets."
            )
        columns.append(column)
    found = tuple(map(Aim, targets, *columns))
    for aim in found:
        if aim.latency_ms is not None and aim.latency_share is not None:
            raise NasError("The bound on latency is an amount or a share, not both.")
        check_positive("latency_ms", aim.latency_ms)
        check_positive("latency_share", aim.latency_share)
    return found


def check_positive(name: str, value: float | None) -> None:
    """Raise `NasError` for what is given and no positive number."""
    if value is not None and not (type(value) in (int, float) and math.isfinite(value) and 0 < value < 1e9):
        raise NasError(f"`{name}` is a positive number, got {value!r}.")

"""Interrupts: SIGINT and SIGTERM are answered where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_open: list[list[int]] = []
"""Signals that each of the contexts that are open has received, the innermost one last."""


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Tells whether SIGINT or SIGTERM has come, to be asked between two steps; once more is answered at once.

    What came too late to be asked for is handed on to the context around this one, if there is one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []
    asked = 0

    def note(number: int, frame: object) -> None:
        received.append(number)
        if received.count(number) > 1:  # torchrun sends SIGTERM after a Ctrl-C: that is one wish
            raise KeyboardInterrupt

    def ask() -> bool:
        nonlocal asked
        asked = len(received)
        return bool(received)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    _open.append(received)
    try:
        yield ask
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _open[:] = [other for other in _open if other is not received]
        if _open:
            _open[-1].extend(received[asked:])

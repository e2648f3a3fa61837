"""Interrupts: SIGINT and SIGTERM are answered where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Tells whether SIGINT or SIGTERM has come, to be asked between two steps; once more is answered at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        received.append(number)
        if received.count(number) > 1:  # torchrun sends SIGTERM after a Ctrl-C: that is one wish
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

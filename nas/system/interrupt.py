"""Interrupts: SIGINT, SIGTERM and SIGHUP are answered where nothing is lost; pauses do not count as time.

SIGHUP, which a closed terminal sends, is left alone where it is ignored on purpose (nohup).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Signals received while steps are made. Calling it says whether to stop; call it between two steps."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.asked = 0
        """How many had been received at the last call."""
        self.pauses = 0
        """How often the process was stopped (Ctrl-Z, SIGSTOP) and then continued."""

    def __call__(self) -> bool:
        self.asked = len(self.received)
        return bool(self.received)

    def note(self, number: int, frame: object) -> None:
        """Take note of a signal to end. The same signal once more ends the process at once."""
        self.received.append(number)
        if self.received.count(number) > 1:  # torchrun sends SIGTERM after a Ctrl-C: that is one wish
            raise KeyboardInterrupt

    def continued(self, number: int, frame: object) -> None:
        """SIGCONT, with which a pause ends."""
        self.pauses += 1


class Stopwatch:
    """Seconds of work, step by step, on top of those before. A step in which the process was stopped does not count."""

    def __init__(self, signals: Signals, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._signals = signals
        self.restart()

    def restart(self) -> None:
        """Begin a step now."""
        self._pauses, self._last = self._signals.pauses, perf_counter()

    def lap(self) -> bool:
        """End a step and begin the next; whether it counts."""
        now, counts = perf_counter(), self._signals.pauses == self._pauses
        if counts:
            self.seconds += now - self._last
        self._pauses, self._last = self._signals.pauses, now
        return counts


_open: list[Signals] = []
"""One for each open context, the innermost last."""


@contextmanager
def interruptible() -> Iterator[Signals]:
    """Hold signals back until the end of a step, in the main thread; other threads receive none.

    Those received after the last call are handed to the enclosing context, if there is one.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    with _handled(signals.note, signals.continued):
        _open.append(signals)
        try:
            yield signals
        finally:
            _open.remove(signals)
            if _open:
                _open[-1].received.extend(signals.received[signals.asked :])


@contextmanager
def raised() -> Iterator[None]:
    """All signals to end are a `KeyboardInterrupt`, as Ctrl-C is, so that whatever was begun is put in order."""

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with _handled(end):
        yield


@contextmanager
def _handled(end: Callable[[int, object], None], go_on: Callable[[int, object], None] | None = None) -> Iterator[None]:
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        handlers = {number: end for number in SIGNALS if not (ignored and number == signal.SIGHUP)}
        if go_on is not None:
            handlers[signal.SIGCONT] = go_on
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

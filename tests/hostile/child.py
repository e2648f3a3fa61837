"""Runs a command and says what it took: `python child.py SECONDS BYTES PROGRAM WORD…`; the last line on stderr is JSON.

A process of its own, since Linux counts the memory of whoever starts a process as that process's own until it begins:
a child of pytest would never seem smaller than pytest.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time


def limited(seconds: int, size: int) -> None:
    """Bound the processor seconds and the bytes of addresses of this process."""
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def waited(child: int, seconds: int, begin: float) -> dict[str, float]:
    """Exit code, peak MB, processor and wall seconds of a child that gets four times its processor's seconds."""
    signal.signal(signal.SIGALRM, lambda number, frame: os.kill(child, signal.SIGKILL))
    signal.alarm(4 * seconds)  # for one that sleeps
    _, status, used = os.wait4(child, 0)
    signal.alarm(0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "peak_mb": used.ru_maxrss / 1024,
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": time.monotonic() - begin,
    }


def main(seconds: str, size: str, *argv: str) -> None:
    begin = time.monotonic()
    child = os.fork()
    if not child:
        limited(int(seconds), int(size))
        os.execv(argv[0], argv)
    sys.stderr.write(f"\n{json.dumps(waited(child, int(seconds), begin))}")


if __name__ == "__main__":
    main(*sys.argv[1:])

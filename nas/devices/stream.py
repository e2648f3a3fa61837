"""A program of this machine, run for its lines, with a limit on how long it may be silent."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from nas.devices.device import MAX_LINE, Fault
from nas.system.text import one_line

SOON_S = 5.0
"""Silence after which a person should know what is waited for."""


def stream(
    argv: Sequence[str], silence_s: float, cwd: Path | None = None, waits: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Lines that a program prints, as they come, without their ends (LF or CR LF). Raises `Fault`.

    It is a fault when the program cannot be started, prints no line for longer than `silence_s`, prints one of over a
    megabyte, or ends with another code than 0; the last line that it wrote on stderr is told. The program and
    its children are gone when the generator ends, however it ends. `waits` is called after `SOON_S` seconds of silence,
    so that it can be told.
    """
    with TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as problem:
            raise Fault(f"{argv[0]} cannot be started: {problem.strerror}.") from None
        try:
            yield from _lines(process, argv[0], silence_s, waits)
            code = _wait(process, argv[0], silence_s)
            if code:
                raise Fault(_last_line(errors.fileno()) or f"{Path(argv[0]).name} ended with code {code}.")
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()


def _lines(process: subprocess.Popen[bytes], name: str, silence_s: float, waits: Callable[[], None]) -> Iterator[str]:
    assert process.stdout is not None
    handle, pending = process.stdout.fileno(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        began = time.monotonic()
        told = False
        while True:
            silent_s = time.monotonic() - began
            limit_s = silence_s if told else min(SOON_S, silence_s)
            if not selector.select(max(0.0, limit_s - silent_s)):
                if limit_s < silence_s:
                    told = True
                    waits()
                    continue
                words = f", after {one_line(pending[-200:].decode('utf-8', 'replace'), 100)!r}" if pending else ""
                raise Fault(f"{Path(name).name} said nothing for {silence_s:.0f} s{words}.")
            chunk = os.read(handle, 1 << 16)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            if len(pending) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
                raise Fault(f"a line has at most {MAX_LINE:,} bytes, {Path(name).name} sent more.")
            for line in lines:
                yield line.decode("utf-8", "replace").rstrip("\r")
            if lines:  # bytes alone do not count: they could drip on for ever
                began, told = time.monotonic(), False
    if pending:
        yield pending.decode("utf-8", "replace").rstrip("\r")


def _wait(process: subprocess.Popen[bytes], name: str, silence_s: float) -> int:
    try:
        return process.wait(silence_s)
    except subprocess.TimeoutExpired:
        raise Fault(f"{Path(name).name} did not end within {silence_s:.0f} s of its last line.") from None


def _last_line(handle: int) -> str:
    size = os.lseek(handle, 0, os.SEEK_END)
    os.lseek(handle, max(0, size - 4096), os.SEEK_SET)
    lines = os.read(handle, 4096).decode("utf-8", "replace").split("\n")
    written = [line for line in lines if line.strip()]
    return one_line(written[-1]) if written else ""

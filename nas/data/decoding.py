"""Decoding: every picture of a source brought to one size, in worker processes where there are many."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.data.pictures import BrokenPicture, View, picture_array
from nas.data.source import Encoded, Source
from nas.errors import DataError
from nas.system.interrupt import SIGNALS

FEW = 300
"""Up to so many pictures are decoded in this process: workers take a second to start."""
CHUNK = 64
CHUNK_BYTES = 16 << 20
"""A worker gets pictures until either is reached."""


@dataclass(frozen=True)
class Decoded:
    """Some of a source's pictures: numbers, uint8[H, W, C] each, and the broken ones with reasons."""

    rows: list[int]
    pictures: list[NDArray[np.uint8]]
    broken: list[tuple[int, str]]


Chunk = list[tuple[int, Encoded]]


def decode_chunk(chunk: Chunk, view: View) -> Decoded:
    """The pictures of one chunk, in this process."""
    decoded = Decoded([], [], [])
    for row, encoded in chunk:
        try:
            picture = picture_array(encoded, view)
        except BrokenPicture as problem:
            decoded.broken.append((row, str(problem)))
        else:
            decoded.rows.append(row)
            decoded.pictures.append(picture)
    return decoded


def decode_all(source: Source, view: View, *, alone: bool) -> Generator[Decoded, None, None]:
    """Every picture of the source once, in any order; `alone` starts no workers. Raises what reading it raises."""
    chunks = _chunks(source)
    workers = _processors()
    if alone or len(source.labels) <= FEW or workers == 1 or multiprocessing.parent_process() is not None:
        for chunk in chunks:
            yield decode_chunk(chunk, view)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads that it lacks
    pool = ProcessPoolExecutor(workers, context, initializer=_serve)
    waiting: deque[Future[Decoded]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(decode_chunk, chunk, view))
            if len(waiting) > 3 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise DataError(
            "A process that decoded pictures ended without a result: it was killed, for instance for want of memory, "
            'or the script that loads data lacks `if __name__ == "__main__":`.'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def refuse_being_imported() -> None:
    """Raise where a worker's start has run the user's script again: it would start workers without end."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise DataError('A script that loads data does so below `if __name__ == "__main__":`, since workers import it.')


def _chunks(source: Source) -> Iterator[Chunk]:
    chunk: Chunk = []
    size = 0
    for row, encoded in source.read():
        chunk.append((row, encoded))
        size += encoded.nbytes if isinstance(encoded, np.ndarray) else len(bytes(encoded))
        if len(chunk) == CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _serve() -> None:
    """Ignore what a terminal sends to all processes: the parent answers it, and this worker ends with the parent."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

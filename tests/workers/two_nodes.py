"""A Ray cluster of two nodes of one core each, on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nas.workers.on_ray  # noqa: F401  # settings of Ray, before it is imported

MEMORY = 100 << 20
"""Bytes of each node's object store."""


class TwoNodes:
    """A running cluster; `address` is its head's."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        self._add(include_dashboard=False)
        self._second: Any = None
        self._held: int | None = None
        self.address = str(self._cluster.address)
        self.mend()

    def mend(self) -> None:
        """Have a second node, if it was killed."""
        if self._second is None:
            self._second = self._add()

    def _add(self, **more: Any) -> Any:
        """A node; Ray gives each half a minute to start, which is short where other tests run."""
        for tries in (2, 1, 0):
            try:
                return self._cluster.add_node(num_cpus=1, object_store_memory=MEMORY, **more)
            except Exception as problem:
                if "timed out during startup" not in str(problem) or not tries:
                    raise
        raise AssertionError

    def hold_work(self, seconds: float = 120.0) -> None:
        """Until the second node has a piece of work, whose process is stopped, so that it does not end before it is
        killed: Ray names a process after its task, and an idle one so."""
        raylet = self._second.all_processes["raylet"][0].process.pid
        end = time.monotonic() + seconds
        while self._held is None:
            assert time.monotonic() < end, "the second node was never given work"
            for child in _children(raylet):
                if _works(child):
                    os.kill(child, signal.SIGSTOP)
                    if _works(child):
                        self._held = child
                        break
                    os.kill(child, signal.SIGCONT)  # it has just ended its work
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill the second node, and all that runs there."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None
        if self._held is not None:  # it does not see by itself that its node is gone
            with suppress(ProcessLookupError):
                os.kill(self._held, signal.SIGKILL)
            self._held = None

    def stop(self) -> None:
        """Stop all of it."""
        self._cluster.shutdown()


def _children(parent: int) -> Iterator[int]:
    """A process's children."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may have ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                yield int(folder.name)


def _works(process: int) -> bool:
    """Whether a process of Ray's has a piece of work."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::_carry_out")
    except OSError:
        return False


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """The cluster, stopped at the end."""
    cluster = TwoNodes()
    try:
        yield cluster
    finally:
        cluster.stop()

"""A Ray cluster of two nodes of one core each, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

    def kill(self) -> None:
        """Kill the second node, and all that runs there."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    def stop(self) -> None:
        """Stop all of it."""
        self._cluster.shutdown()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """The cluster, stopped at the end."""
    cluster = TwoNodes()
    try:
        yield cluster
    finally:
        cluster.stop()

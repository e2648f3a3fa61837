"""A Ray cluster of two nodes of one core each, on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

MEMORY = 100 << 20
"""Bytes of each node's object store."""


class TwoNodes:
    """A running cluster; `address` is its head's."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._second: Any = None
        self.address = str(self._cluster.address)
        self.mend()

    def mend(self) -> None:
        """Have a second node, if it was killed."""
        if self._second is None:
            self._second = self._cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

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

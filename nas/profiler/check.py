"""The error of a table, measured anew on networks that it has not seen."""

from __future__ import annotations

import numpy as np

from nas.devices.device import Device
from nas.profiler.networks import random_networks
from nas.profiler.verify import error_of, measure_networks
from nas.space.space import Space
from nas.system.teller import Teller
from nas.tables.header import NetworksError
from nas.tables.table import LatencyTable

NETWORKS = 20


def measured_error(table: LatencyTable, space: Space, device: Device, seed: int, teller: Teller) -> NetworksError:
    """Twenty random networks by the table and by the clock. Raises as `measure_networks` does, and before it
    `LatencyMissing` where the table does not answer."""
    networks = random_networks(space, NETWORKS, np.random.default_rng([seed, 7]))
    estimated = np.array([table.estimate(network).latency_ms for network in networks])  # first: it may not answer
    measured = measure_networks(networks, table, device, teller)
    if measured.too_busy:
        teller.say(f"too busy: measure again ({measured.too_busy})")
    return error_of(estimated, measured.ms, measured.floor_pct)
